"""The background process that starts PostgreSQL and Airflow, watches them and ends them.

It leads a session of its own and writes `status.json` (for people) and `processes.json` (for the cleaning of
what a killed supervisor leaves behind). SIGTERM ends it and everything that it started.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from include import slots
from stack import databases
from stack.api import AirflowApi
from stack.components import COMMANDS, Component, rotate
from stack.environment import airflow_environment, write_password_file
from stack.errors import StackError
from stack.postgres import PostgresServer
from stack.processes import Register, Started, end
from stack.settings import Settings, write_private
from stack.status import Part, Status

STEPS = ("postgres", "databases", "airflow tables")
LOOK_SECONDS = 0.5
GIVE_UP_SECONDS = 300.0  # a database that can't start is tried again for so long
HEALTH_SECONDS = 1.0
_IN_TURN = """
import json, sys
from airflow.__main__ import main
for command in json.loads(sys.argv[1]):
    sys.argv[1:] = command
    main()
"""


class Stopped(Exception):
    """Someone asked the supervisor to end."""


class Supervisor:
    """Everything of one stack. `run` returns when it was told to stop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.register = Register(settings.state / "processes.json")
        self.server = PostgresServer(settings.data_dir, settings.postgres_port)
        self.environment = airflow_environment(settings)
        self.components = [Component(name, self.environment, settings.logs) for name in COMMANDS]
        self.steps = {name: Part(name) for name in STEPS}
        self.status = Status([*self.steps.values(), *(component.part for component in self.components)])
        self._api = AirflowApi(settings)
        self._next_health = 0.0

    def run(self) -> None:
        """Start all, watch until SIGTERM, end all."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _stop)
        try:
            self._remember()
            self._prepare()
            self._watch()
        except Stopped:
            pass
        except Exception as fault:
            self.status.error = str(fault) or repr(fault)
            raise
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            self._end()

    def _prepare(self) -> None:
        with self._compiling():
            self._prepare_databases()

    @contextlib.contextmanager
    def _compiling(self) -> Iterator[None]:
        """Beside the rest: after a change the engine's loops take ten seconds to compile, which no task should pay."""
        command = [sys.executable, "-c", "import include.ingest.load"]
        with subprocess.Popen(command, env=self.environment, cwd=self.settings.repository) as compiler:
            try:
                yield
                compiler.wait()
            finally:
                compiler.kill()

    def _prepare_databases(self) -> None:
        with self._step("postgres") as part:
            rotate(self.server.log_file)
            self.server.start()
            part.pid = self.server.pid
        with self._step("databases"):
            secrets = self.settings.secrets
            databases.prepare(self.server.dsn(), {"airflow": secrets.airflow, "ingest": secrets.ingest})
            databases.migrate_warehouse(self.settings.database_url("warehouse"))
        with self._step("airflow tables"):
            write_password_file(self.settings)
            self._migrate_airflow()

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[Part]:
        part = self.steps[name]
        part.enter("starting")
        self._say()
        yield part
        part.enter("ready")
        self._say()

    def _migrate_airflow(self) -> None:
        """Tables and pools. It takes fifteen seconds, so it is done only after a change of lock, database or pools."""
        stamp = self.settings.state / "airflow-tables.json"
        lock = hashlib.sha256((self.settings.repository / "requirements.lock").read_bytes()).hexdigest()
        dsn = self.settings.database_url("airflow")
        pools = json.dumps(slots.pools(self.environment))
        wanted = json.dumps({"lock": lock, "revision": databases.metadata_revision(dsn), "pools": pools})
        if stamp.exists() and stamp.read_text() == wanted:
            return
        self._airflow(["db", "migrate"], ["pools", "import", "/dev/stdin"], text=pools)
        write_private(stamp, json.dumps({**json.loads(wanted), "revision": databases.metadata_revision(dsn)}))

    def _airflow(self, *commands: list[str], text: str = "") -> None:
        """Commands of Airflow's, with their input, in one process: to import Airflow takes longer than they do."""
        log_file = self.settings.logs / "airflow-tables.log"
        with log_file.open("ab") as log:
            whole = [sys.executable, "-c", _IN_TURN, json.dumps(commands)]
            done = subprocess.run(whole, env=self.environment, input=text.encode(), stdout=log, stderr=log, check=False)
        if done.returncode:
            said = " and ".join(f"`airflow {' '.join(command)}`" for command in commands)
            raise StackError(f"{said} failed with exit code {done.returncode}, see {log_file}")

    def _watch(self) -> None:
        while True:
            changed = [component.tend() for component in self.components]
            if any(changed):
                self._remember()
            self._tend_postgres()
            self._listen()
            self._say()
            if not self.settings.state.is_dir():
                raise Stopped("the state folder is gone")
            time.sleep(LOOK_SECONDS)

    def _tend_postgres(self) -> None:
        if self.server.running():
            return
        part = self.steps["postgres"]
        if part.state != "restarting":
            part.restarts += 1
            part.enter("restarting")
            self._say()
        try:
            self.server.start()
        except StackError as fault:
            if time.time() - part.since > GIVE_UP_SECONDS:
                raise
            print(fault, file=sys.stderr, flush=True)
            return
        part.pid = self.server.pid
        part.enter("ready")

    def _listen(self) -> None:
        if time.monotonic() < self._next_health:
            return
        beats = self._api.heartbeats()
        self._next_health = time.monotonic() + (10 * HEALTH_SECONDS if self.status.ready else HEALTH_SECONDS)
        if beats is None:
            return
        beats["api-server"] = time.time()
        for component in self.components:
            component.heard(beats.get(component.part.name))

    def _remember(self) -> None:
        started = [component.started for component in self.components if component.started]
        self.register.write([Started.of("supervisor", os.getpid()), *started])

    def _say(self) -> None:
        if self.settings.state.is_dir():
            self.status.write(self.settings.state / "status.json")

    def _end(self) -> None:
        end([component.started for component in self.components if component.started])
        for component in self.components:
            component.reap()
            component.part.enter("waiting")
        self.server.stop("fast")
        for part in self.steps.values():
            part.pid = None
            part.enter("waiting")
        self._say()
        if self.settings.state.is_dir():
            self.register.write([])


def supervise(settings: Settings) -> None:
    """The body of the background process."""
    try:
        Supervisor(settings).run()
    except StackError as fault:
        _record_failure(settings.state / "status.json", str(fault))
        sys.exit(1)


def _record_failure(file: Path, words: str) -> None:
    status = Status.read(file)
    status.error = words
    status.write(file)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(signal.Signals(number).name)
