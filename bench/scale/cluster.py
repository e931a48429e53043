"""A cluster of the benchmark's own (`./run cluster`), in `.millrace/bench/scale/state/`; it ends with the benchmark."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Self

import psycopg

from bench.airflow import Airflow, wait_for
from bench.figures import Say
from bench.measure import descendants, snapshot
from stack.cluster import plan
from stack.cluster.command import check_machine
from stack.cluster.topology import Place
from stack.errors import StackError
from stack.ports import free_port
from stack.settings import REPOSITORY

UP_SECONDS = 300.0
QUOTAS, ACCOUNTS = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpuacct")  # version 1 of control groups
PERIOD_MICROSECONDS = 50_000


class Cluster:
    """Hosts that run. Use it as a context; it ends, with its files, at the end of that."""

    def __init__(self, folder: Path, *, workers: int, concurrency: int, say: Say) -> None:
        check_machine()
        self.state, self.workers, self.say = folder / "state", workers, say
        self.ports = free_port(), free_port()
        self.variables = os.environ | {
            "MILLRACE_STATE": str(self.state), "API_PORT": str(self.ports[0]), "WAREHOUSE_PORT": str(self.ports[1]),
            "WORKER_CONCURRENCY": str(concurrency), "MEMORY_SECONDS": "3600",
            "ROOTS": str(folder.parent / "files"),
        }  # fmt: skip
        self.place = Place(REPOSITORY, self.state.resolve() / "cluster")
        self.inbox = self.place.volumes / "inbox"
        self._groups: list[Path] = []
        self._account = ACCOUNTS / f"millrace-bench-{os.getpid()}"

    def __enter__(self) -> Self:
        self._run("--down", "--delete")  # what a killed benchmark left
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "cluster.log").open("wb") as log:
            self._process = subprocess.Popen(
                [REPOSITORY / "run", "cluster", "--workers", str(self.workers)], env=self.variables,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            # The kernel counts what all hosts use: the command that starts them is in a group, and so is all of it.
            with contextlib.suppress(OSError):
                self._group(self._account, [self._process.pid])
            ready = self.place.state / "ready"
            wait_for(lambda: ready.exists() or self._process.poll() is not None, UP_SECONDS)
            if not ready.exists():
                words = (self.state / "cluster.log").read_text().strip().splitlines()[-3:]
                raise StackError(f"the cluster does not start: {' / '.join(words)}")
            self.settings = plan.settings_of(self.place, *self.ports)
            self.airflow = Airflow(self.settings)
            self.say("  the cluster is up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._run("--down", "--delete")
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        for group in self._groups:
            group.rmdir()

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
            quota = {"cpu.cfs_period_us": PERIOD_MICROSECONDS, "cpu.cfs_quota_us": round(PERIOD_MICROSECONDS * cores)}
            try:
                self._group(group, self.processes(f"worker-{number}"), **quota)
            except OSError as fault:
                raise StackError(
                    f"no quota of CPU can be set here, which takes cgroups of version 1: {fault}"
                ) from fault

    @property
    def cpu_seconds(self) -> float | None:
        """CPU that all hosts have used so far, tasks that have ended too; None where nobody counts it."""
        usage = self._account / "cpuacct.usage"
        return int(usage.read_text()) / 1e9 if usage.exists() else None

    def on(self, host: str, *arguments: str, seconds: float = 120.0) -> None:
        """Run a command on a host."""
        done = self._run("--on", host, *arguments, seconds=seconds)
        if done.returncode:
            raise StackError(f"{' '.join(arguments)}: {(done.stdout + done.stderr).strip()[-300:]}")

    def warehouse(self) -> psycopg.Connection[Any]:
        """The warehouse, as role `ingest`."""
        return psycopg.connect(self.settings.database_url("warehouse"), autocommit=True)

    def _group(self, group: Path, pids: list[int], **settings: int) -> None:
        """Put processes into a new control group."""
        group.mkdir()
        self._groups.append(group)
        for name, value in settings.items():
            (group / name).write_text(str(value))
        for pid in pids:
            (group / "cgroup.procs").write_text(str(pid))

    def _run(self, *arguments: str, seconds: float = 500.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [REPOSITORY / "run", "cluster", *arguments], env=self.variables, capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip
