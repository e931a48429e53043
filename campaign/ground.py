"""The cluster that the campaign is on: a copy of the project, disks of limited size, and ways to reach each process.

Everything is below one folder, and in a mount namespace of the campaign's own, which goes with it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import yaml

from stack.api import AirflowApi
from stack.cluster import plan
from stack.cluster.topology import Place
from stack.errors import StackError
from stack.ports import free_port
from stack.processes import children_of
from stack.project import copy_project
from stack.settings import Settings

DATASET = """
name: campaign
source: "{{ inbox }}/campaign/campaign_{{ ds }}.csv"
target: public.campaign
key: [id]
columns:
  id: {type: bigint}
  label: {type: text, nullable: true}
  price: {type: "numeric(12,2)", min: 0}
reject_limit: {rows: 1000, ratio: null}
schedule: null
start_date: 2026-01-01
parallel: 4
chunk_bytes: 300000
wait_timeout_seconds: 900
"""
DAG = "ingest_campaign"
IMAGES_DAG = "resize_images"
DISKS = {"warehouse": 6000, "images": 300, "logs": 300}  # volume to megabytes
WORKERS = 2
CLOCK = Path(__file__).with_name("clock.c")
START_SECONDS = 300.0
CALM_SECONDS = 240.0
BACKEND = re.compile(r"postgres: \w+ (warehouse|airflow) ")


@dataclass
class Ground:
    """A cluster below `folder`, its ports of this machine, and how to reach into it."""

    folder: Path
    api_port: int = field(default_factory=free_port)
    warehouse_port: int = field(default_factory=free_port)
    _command: subprocess.Popen[bytes] | None = None
    _api: AirflowApi | None = None
    _firsts: dict[str, psutil.Process] = field(default_factory=dict)

    # life

    def prepare(self) -> None:
        """Copy the project, mount the disks, write the dataset."""
        compiler = shutil.which("cc")
        if compiler is None:
            raise StackError("a campaign compiles a clock: type `apt-get install gcc libc6-dev`")
        if not shutil.which("tc"):
            raise StackError("a campaign slows networks: type `apt-get install iproute2`")
        self.project.mkdir(parents=True)
        copy_project(self.project)
        self.dataset.write_text(DATASET)
        for name, megabytes in DISKS.items():
            self._mount_disk(name, megabytes)
        self.clocks.mkdir()
        for number in range(1, WORKERS + 1):
            self.turn_clock(f"worker-{number}", 0)
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", self.clocks / "clock.so", CLOCK, "-ldl"], check=True)
        self._write_override()

    def start(self) -> None:
        """Bring the cluster up and wait until it is well."""
        with (self.folder / "cluster.log").open("ab") as log:
            self._command = subprocess.Popen(
                [sys.executable, "-m", "stack", "cluster", "--workers", str(WORKERS)],
                cwd=self.project, env=self._environment(), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.until(lambda: (self.place.state / "ready").exists() or self._gone(), "the cluster", START_SECONDS)
        if self._gone():
            raise StackError(f"the cluster did not start, see {self.folder / 'cluster.log'}")

    def stop(self) -> None:
        """End the cluster; the folder stays."""
        if self._command and self._command.poll() is None:
            self._command.send_signal(signal.SIGTERM)
            try:
                self._command.wait(120)
            except subprocess.TimeoutExpired:
                self._command.send_signal(signal.SIGTERM)
                self._command.wait(60)

    def remove(self) -> None:
        """The folder goes, and the disks with it."""
        for name in DISKS:
            subprocess.run(["umount", self.place.volumes / name], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def unpause(self, dag: str) -> None:
        """Wait for a DAG and let it run."""
        self.until(lambda: (self.ask(lambda: self.api.get(f"dags/{dag}")) or {}).get("is_stale") is False, dag, 180)
        self.api.patch(f"dags/{dag}", {"is_paused": False})

    def _gone(self) -> bool:
        return self._command is not None and self._command.poll() is not None

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "MILLRACE_STATE": str(self.folder),
            "API_PORT": str(self.api_port),
            "WAREHOUSE_PORT": str(self.warehouse_port),
            "TASK_SILENCE_SECONDS": "20",
            "TASK_QUEUED_SECONDS": "60",
            "WAREHOUSE_WAL": "4GB",  # the warehouse's disk is small
            "COMPOSE_FILE": f"docker-compose.yaml{os.pathsep}{self.folder / 'override.yaml'}",
        }

    def _write_override(self) -> None:
        """Workers see a clock of their own, see clock.c; all else is as in docker-compose.yaml."""
        program = (
            f'export CAMPAIGN_CLOCK="{self.clocks}/$$(hostname)" LD_PRELOAD={self.clocks}/clock.so;'
            ' exec airflow celery worker --skip-serve-logs --concurrency "${WORKER_CONCURRENCY:-5}"'
        )
        worker = {"entrypoint": ["sh", "-euc"], "command": [program]}
        (self.folder / "override.yaml").write_text(yaml.safe_dump({"services": {"worker": worker}}))

    def _mount_disk(self, volume: str, megabytes: int) -> None:
        """A file system of that size in place of the volume's folder."""
        target = self.place.volumes / volume
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", target], check=True)

    # where things are

    @property
    def project(self) -> Path:
        """The copy that runs."""
        return self.folder / "project"

    @property
    def dataset(self) -> Path:
        """The dataset's file; a deploy changes it."""
        return self.project / "include" / "datasets" / "campaign.yaml"

    @property
    def clocks(self) -> Path:
        """A file for each worker, with the seconds that its clock is ahead."""
        return self.folder / "clocks"

    @property
    def place(self) -> Place:
        """The cluster's folders."""
        return Place(self.project, self.folder / "cluster")

    @property
    def inbox(self) -> Path:
        """Where files arrive."""
        return self.place.volumes / "inbox"

    # who runs

    def processes(self, host: str) -> list[psutil.Process]:
        """All processes of a host but its first one."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return children_of(self.first_process(host), recursive=True)
        return []

    def first_process(self, host: str) -> psutil.Process:
        """The one that looks after a host's service."""
        found = self._firsts.get(host)
        if found is None or not found.is_running():
            pid = plan.first_process(self.place, host)
            if pid is None:
                raise StackError(f"{host} is not there")
            found = self._firsts[host] = psutil.Process(pid)
        return found

    def backends(self, host: str) -> list[psutil.Process]:
        """The server processes that have a client; those at work, if there are any."""
        found = [one for one in self.processes(host) if BACKEND.match(_title(one))]
        return [one for one in found if " idle" not in _title(one)] or found

    def tasks(self, host: str) -> list[psutil.Process]:
        """The processes that run a task now."""
        return [one for one in self.processes(host) if _title(one).startswith("airflow worker -- ")]

    def supervisors(self, host: str) -> list[psutil.Process]:
        """The children of Celery that look after a task now."""
        return [one for one in self.processes(host) if "airflow supervisor" in _title(one) and children_of(one)]

    def kill_host(self, host: str) -> int:
        """SIGKILL to everything that runs on a host, which starts its service anew; how many were killed."""
        found = self.processes(host)
        for one in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()  # so that none makes another in the meantime
        for one in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        return len(found)

    def postmaster(self, host: str) -> psutil.Process | None:
        """The first process of PostgreSQL on that host."""
        return next((one for one in self.processes(host) if one.name() == "postgres"), None)

    def in_network(self, host: str, *command: str, check: bool = True) -> None:
        """Run a command in a host's network."""
        first = str(self.first_process(host).pid)
        subprocess.run(["nsenter", "--target", first, "--net", "--", *command], check=check, capture_output=True)

    def turn_clock(self, host: str, seconds: int) -> None:
        """Let a worker's clock be ahead by so many seconds, at once, for programs that run already, too."""
        with (self.clocks / host).open("r+b" if (self.clocks / host).exists() else "w+b") as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))

    # what it says

    @property
    def settings(self) -> Settings:
        """As the client of Airflow's interface wants them."""
        return plan.settings_of(self.place, self.api_port, self.warehouse_port)

    @property
    def api(self) -> AirflowApi:
        """Airflow's interface, logged in once it answers."""
        if self._api is None:
            made = AirflowApi(self.settings)
            made.login()
            self._api = made
        return self._api

    def ask(self, question: Callable[[], Any], seconds: float = 180.0) -> Any:
        """Ask Airflow until it answers, as its server may be down."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return question()
            except (StackError, httpx.HTTPError, KeyError, TypeError, OSError) as fault:
                if time.monotonic() > deadline:
                    raise StackError(f"Airflow has not answered for {seconds:.0f} s: {fault}") from fault
                time.sleep(0.5)

    def state_of(self, picture: str) -> dict[str, Any]:
        """What the images' route says of a picture."""
        return dict(self.ask(lambda: self.api.call("GET", f"millrace/images/{picture}")))

    def fetch_bytes(self, url: str) -> int:
        """How many bytes a rendition has that is fetched."""
        return len(self.ask(lambda: self.api.fetch(url), 30))

    @contextlib.contextmanager
    def warehouse(self, seconds: float = 120.0) -> Iterator[psycopg.Connection]:
        """A connection to the warehouse, as soon as there is one."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                connection = psycopg.connect(
                    self.settings.database_url("warehouse"), autocommit=True, connect_timeout=5
                )
                break
            except psycopg.OperationalError as fault:
                if time.monotonic() > deadline:
                    raise StackError(f"the warehouse has not answered for {seconds:.0f} s: {fault}") from fault
                time.sleep(0.5)
        with connection:
            yield connection

    def calm(self) -> None:
        """Wait until every component is well again: beats of the three, the API server, both workers."""

        def well() -> bool:
            beats = self.api_beats()
            return beats is not None and all(time.time() - beat < 15 for beat in beats.values()) and self.workers_well()

        self.until(well, "every component to be well", CALM_SECONDS)

    def api_beats(self) -> dict[str, float] | None:
        """The last signs of life, None when the server is silent."""
        with contextlib.suppress(StackError, httpx.HTTPError, OSError):
            return self.api.heartbeats()
        return None

    def workers_well(self) -> bool:
        """Whether each worker takes tasks."""
        return all(
            any(":MainProcess] -active-" in _title(one) for one in self.processes(f"worker-{number}"))
            for number in range(1, WORKERS + 1)
        )

    @staticmethod
    def until(holds: Callable[[], Any], what: str, seconds: float) -> None:
        """Wait until `holds()`; StackError when it takes longer."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise StackError(f"waited {seconds:.0f} s for {what}")
            time.sleep(0.5)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
