"""The processes of Airflow: what is run, and how a dead one comes back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from stack.errors import StackError
from stack.processes import Started, end
from stack.status import Part

# The API server reads the logs of this machine's tasks itself, so nobody needs to serve them.
COMMANDS: dict[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
STEADY_SECONDS = 60.0  # one that lasted longer dies of something new
LONGEST_PAUSE_SECONDS = 30.0
TRIES = 4  # of one that was never ready, and would die for ever
BIG_LOG_BYTES = 20_000_000


class Component:
    """One long-lived Airflow process in a session of its own, started again with growing pauses when it dies."""

    def __init__(self, name: str, environment: Mapping[str, str], logs: Path) -> None:
        self.part = Part(name)
        self.log_file = logs / f"{name}.log"
        self.started: Started | None = None
        self._command = [sys.executable, "-m", "airflow", *COMMANDS[name]]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        self._not_before = 0.0

    def start(self) -> None:
        """Start the process."""
        rotate(self.log_file)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._environment["AIRFLOW_HOME"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started = Started.of(self.part.name, self._process.pid)
        self.part.pid = self._process.pid
        self.part.enter("starting")

    def tend(self) -> bool:
        """Notice a death, start again when the pause is over. True when the process changed."""
        if self._process is not None and self._process.poll() is not None:
            self._bury()
            return True
        if self._process is None and time.monotonic() >= self._not_before:
            self.start()
            return True
        return False

    def heard(self, heartbeat: float | None) -> None:
        """Take note of the last sign of life, in seconds since 1970; an earlier process's does not count."""
        if self.part.state == "starting" and self.started and heartbeat and heartbeat > self.started.created:
            self.part.enter("ready")

    def reap(self) -> None:
        """Collect the exit code once the process was ended."""
        if self._process is not None:
            self._process.wait()
        self._process, self.part.pid = None, None

    def _bury(self) -> None:
        assert self._process is not None
        assert self.started is not None
        end([self.started], grace_seconds=2.0)
        lasted = time.time() - self.started.created
        self._deaths = 1 if lasted > STEADY_SECONDS else self._deaths + 1
        if self._deaths >= TRIES and self.part.restarts == self._deaths - 1 and self.part.state == "starting":
            code = self._process.returncode
            raise StackError(f"{self.part.name} does not start (exit code {code}), see {self.log_file}")
        self._process, self.part.pid = None, None
        self._not_before = time.monotonic() + min(2.0 ** (self._deaths - 1), LONGEST_PAUSE_SECONDS)
        self.part.restarts += 1
        self.part.enter("restarting")


def rotate(log_file: Path) -> None:
    """Keep one old log, once the log has grown big."""
    if log_file.exists() and log_file.stat().st_size > BIG_LOG_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))
