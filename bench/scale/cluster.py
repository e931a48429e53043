"""A cluster of the benchmark's own (`./run cluster`), in `.millrace/bench/scale/state/`; it ends with the benchmark."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psycopg

from bench.measure import descendants, snapshot
from stack.api import AirflowApi
from stack.cluster import plan
from stack.cluster.command import check_machine
from stack.cluster.topology import Place
from stack.errors import StackError
from stack.ports import free_port
from stack.settings import REPOSITORY

UP_SECONDS, DAG_SECONDS, POLL_SECONDS = 300.0, 120.0, 0.5
QUOTAS, ACCOUNTS = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpuacct")  # version 1 of control groups
PERIOD_MICROSECONDS = 50_000


class Cluster:
    """Hosts that run. Use it as a context; it ends, with its files, at the end of that."""

    def __init__(self, folder: Path, *, workers: int, concurrency: int, say: Callable[[str], None]) -> None:
        check_machine()
        self.state, self.workers, self.say = folder / "state", workers, say
        self.variables = {
            "MILLRACE_STATE": str(self.state), "API_PORT": str(free_port()), "WAREHOUSE_PORT": str(free_port()),
            "WORKER_CONCURRENCY": str(concurrency), "MEMORY_SECONDS": "3600",
        }  # fmt: skip
        self.place = Place(REPOSITORY, self.state.resolve() / "cluster")
        self.inbox = self.place.volumes / "inbox"
        self._limits: list[Path] = []
        self._group = ACCOUNTS / f"millrace-bench-{os.getpid()}"

    def __enter__(self) -> Self:
        self._run("--down", "--delete")  # what a killed benchmark left
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "cluster.log").open("wb") as log:
            self._process = subprocess.Popen(
                [REPOSITORY / "run", "cluster", "--workers", str(self.workers)], env={**os.environ, **self.variables},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            self._account()
            self._await_ready()
            self._log_in()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._run("--down", "--delete")
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        for limit in self._limits:
            limit.rmdir()

    def processes(self, host: str) -> list[int]:
        """All processes of a host."""
        first = plan.first_process(self.place, host)
        if first is None:
            raise StackError(f"{host} does not run")
        return descendants(snapshot(), first)

    def limit(self, cores: float) -> None:
        """Let each worker have so much of a core, whatever it forks. Raises StackError where that can't be had."""
        for number in range(1, self.workers + 1):
            group = QUOTAS / f"millrace-bench-{os.getpid()}-{number}"
            try:
                group.mkdir()
                self._limits.append(group)
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
                (group / "cpu.cfs_quota_us").write_text(str(round(PERIOD_MICROSECONDS * cores)))
                for pid in self.processes(f"worker-{number}"):
                    (group / "cgroup.procs").write_text(str(pid))
            except OSError as fault:
                raise StackError(
                    f"no quota of CPU can be set here ({fault}); version 1 of cgroups is needed"
                ) from fault

    @property
    def cpu_seconds(self) -> float | None:
        """CPU that all hosts have used so far, tasks that have ended too; None where nobody counts it."""
        usage = self._group / "cpuacct.usage"
        return int(usage.read_text()) / 1e9 if usage.exists() else None

    def on(self, host: str, *arguments: str, seconds: float = 120.0) -> str:
        """What a command on a host prints."""
        return self._run("--on", host, *arguments, seconds=seconds, check=True)

    def warehouse(self) -> psycopg.Connection[Any]:
        """The warehouse, as role `ingest`."""
        return psycopg.connect(self.settings.database_url("warehouse"), autocommit=True)

    def await_dag(self, dag: str, *, paused: bool) -> None:
        """Wait until Airflow shows the DAG, and pause it or not."""
        deadline = time.monotonic() + DAG_SECONDS
        while (self.api.get(f"dags/{dag}") or {"is_stale": True})["is_stale"]:
            if time.monotonic() > deadline:
                raise StackError(f"Airflow does not show DAG {dag} after {DAG_SECONDS:.0f} s")
            time.sleep(1)
        self.api.patch(f"dags/{dag}", {"is_paused": paused})

    def await_run(self, dag: str, run_id: str, seconds: float, look: Callable[[], None]) -> dict[str, Any]:
        """A run that has ended; `look` is called now and then. Raises StackError when it failed or takes longer."""
        path, deadline = f"dags/{dag}/dagRuns/{quote(run_id, safe='')}", time.monotonic() + seconds
        while time.monotonic() < deadline:
            found: dict[str, Any] = self.api.get(path)
            if found["state"] == "failed":
                raise StackError(f"run {run_id} failed, see {self.place.logs}")
            if found["state"] == "success":
                return found
            look()
            time.sleep(POLL_SECONDS)
        raise StackError(f"run {run_id} did not end within {seconds:.0f} s")

    def _account(self) -> None:
        """Have the kernel count what all hosts use: the command that starts them is in a group, and so is all of it."""
        with contextlib.suppress(OSError):
            self._group.mkdir()
            self._limits.append(self._group)
            (self._group / "cgroup.procs").write_text(str(self._process.pid))

    def _await_ready(self) -> None:
        began = time.monotonic()
        while not (self.place.state / "ready").exists():
            if self._process.poll() is not None or time.monotonic() - began > UP_SECONDS:
                words = (self.state / "cluster.log").read_text().strip().splitlines()[-3:]
                raise StackError(f"the cluster does not start: {' / '.join(words)}")
            time.sleep(0.5)
        self.say(f"  the cluster is up after {time.monotonic() - began:.0f} s")

    def _log_in(self) -> None:
        ports = int(self.variables["API_PORT"]), int(self.variables["WAREHOUSE_PORT"])
        self.settings = plan.settings_of(self.place, *ports)
        self.api = AirflowApi(self.settings)
        self.api.login()

    def _run(self, *arguments: str, seconds: float = 500.0, check: bool = False) -> str:
        command: Sequence[str | Path] = [REPOSITORY / "run", "cluster", *arguments]
        done = subprocess.run(
            command, env={**os.environ, **self.variables}, capture_output=True, text=True, timeout=seconds, check=False
        )
        if check and done.returncode:
            raise StackError(f"{' '.join(arguments)}: {(done.stdout + done.stderr).strip()[-300:]}")
        return done.stdout


def cpu_of(pids: Sequence[int]) -> float:
    """CPU seconds that processes have used so far."""
    found = snapshot()
    return sum(found[pid].cpu_seconds for pid in pids if pid in found)


def seconds_of(stamp: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(stamp).timestamp()
