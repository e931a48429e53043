"""What `./run up`, `down`, `status`, `airflow`, `dataset`, `ingest` and `psql` do."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from include.memory.watcher import watch
from stack.binaries import find_binaries
from stack.environment import airflow_environment
from stack.errors import StackError
from stack.postgres import PostgresServer
from stack.processes import Register, end
from stack.settings import API_PORT, REPOSITORY, Settings, state_folder
from stack.status import Part, Status

UP_SECONDS = 600.0  # a first start makes the data folder and Airflow's tables, on a busy machine too
NEEDED_BYTES = 1 << 30  # PostgreSQL stops where its WAL finds no room


def up() -> Settings:
    """Start the stack unless it runs, print a line for each part as it gets ready, return when all are."""
    settings = Settings.load()
    with _alone(settings.state):
        if is_up(settings):
            return settings
        if _supervised(settings):
            say("it is starting already")
            _await_ready(settings)
            return settings
        _check_disk(settings.state)
        clean(settings)
        chosen, handles = settings.with_free_ports()
        if chosen.api_port != API_PORT:
            say(f"port {API_PORT} is taken, Airflow's page is on port {chosen.api_port}")
        try:
            _launch(chosen, handles)
        finally:
            for handle in handles:
                os.close(handle)
        _await_ready(chosen)
    return chosen


def down(*, delete: bool = False) -> None:
    """Stop the stack; with `delete` also remove its state, databases included."""
    folder = state_folder()
    if not folder.is_dir():
        say("nothing runs here")
        return
    settings = Settings.load()
    with _alone(folder):
        began = time.monotonic()
        clean(settings)
        watch.await_end(settings.state / "memory")
        say(f"stopped in {time.monotonic() - began:.1f} s")
        if delete:
            PostgresServer(settings.data_dir).destroy()
            shutil.rmtree(folder)
            say(f"removed {folder}")


def clean(settings: Settings) -> None:
    """End the supervisor and whatever a killed one left behind."""
    register = Register(settings.state / "processes.json")
    supervisor = register.alive("supervisor")
    if supervisor:
        end([supervisor], grace_seconds=90.0)
    left = register.end_all()
    if (settings.data_dir / "postmaster.pid").exists():
        PostgresServer(settings.data_dir).stop("fast")
        left.append("postgres")
    if left and not supervisor:
        say(f"ended what a killed supervisor left behind: {', '.join(left)}")


def is_up(settings: Settings) -> bool:
    """Whether the supervisor lives and says that everything is ready."""
    return _supervised(settings) and Status.read(settings.state / "status.json").ready


def show_status() -> bool:
    """Print what runs and where. True when everything does."""
    if not state_folder().is_dir():
        say("nothing runs here; start with ./run up")
        return False
    settings = Settings.load()
    alive = _supervised(settings)
    status = Status.read(settings.state / "status.json") if alive else Status()
    if not alive:
        say("the stack is down; start with ./run up")
    for part in status.parts:
        print(_row(part))
    if alive:
        print(describe(settings))
    return alive and status.ready


def describe(settings: Settings) -> str:
    """Where everything is, and the login."""
    rows = {
        "page": settings.url,
        "login": f"admin / {settings.secrets.admin}",
        "postgres": f"127.0.0.1:{settings.postgres_port} (./run psql warehouse)",
        "inbox": settings.inbox,
        "logs": settings.logs,
        "data": settings.data_dir.resolve(),
    }
    return "\n".join(f"  {name:<15} {value}" for name, value in rows.items())


def airflow(arguments: Sequence[str]) -> None:
    """Become Airflow's command line."""
    settings = _running()
    os.execve(sys.executable, [sys.executable, "-m", "airflow", *arguments], airflow_environment(settings))


def psql(arguments: Sequence[str]) -> None:
    """Become psql on `warehouse` (the default) or `metadata`."""
    settings = _running()
    name, *rest = arguments or ["warehouse"]
    if name not in ("warehouse", "metadata"):
        name, rest = "warehouse", list(arguments)
    program = find_binaries() / "psql"
    found = str(program) if program.exists() else shutil.which("psql")
    if not found:
        raise StackError("found no psql next to PostgreSQL's programs or on PATH")
    os.execve(found, [found, *rest], _libpq(settings, "airflow" if name == "metadata" else name))


def ingest(arguments: Sequence[str]) -> None:
    """Become the ingest's command line, on the stack's warehouse."""
    settings = _running()
    os.execve(sys.executable, [sys.executable, "-m", "include.ingest", *arguments], _libpq(settings, "warehouse"))


def dataset(arguments: Sequence[str]) -> None:
    """Become the ingest's command line where it makes dataset files; the stack need not run."""
    if not arguments or arguments[0] not in ("init", "-h", "--help"):
        raise StackError("usage: ./run dataset init FILE|URL [--name NAME] [--key COLUMN[,COLUMN]]")
    environment = {"MILLRACE_DATASETS": str(REPOSITORY / "include" / "datasets"), **os.environ}
    os.execve(sys.executable, [sys.executable, "-m", "include.ingest", *arguments], environment)


def say(words: str) -> None:
    """One line to the user."""
    print(f"run: {words}", file=sys.stderr, flush=True)


def _libpq(settings: Settings, database: str) -> dict[str, str]:
    """The caller's environment, in which libpq finds a database of the stack; no command line has its password."""
    url = urlsplit(settings.database_url(database))
    here = {
        "PGHOST": url.hostname, "PGPORT": str(url.port), "PGUSER": url.username, "PGPASSWORD": url.password,
        "PGDATABASE": url.path.lstrip("/"),
    }  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {name: value for name, value in here.items() if value}


def _running() -> Settings:
    if not state_folder().is_dir() or not _supervised(Settings.load()):
        raise StackError("the stack is down; start it with ./run up")
    return Settings.load()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one command changes the stack at a time; a second one waits."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another ./run up or down")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise StackError(f"disk full: {NEEDED_BYTES >> 20} MB are needed in {folder}, {free >> 20} MB are free")


def _launch(settings: Settings, handles: Sequence[int]) -> None:
    """Start the supervisor, which inherits the handles, and return once it is in the register or dead."""
    for folder in (settings.logs, settings.airflow_home, settings.inbox):
        folder.mkdir(parents=True, exist_ok=True)
    Status().write(settings.state / "status.json")
    with (settings.logs / "supervisor.log").open("ab") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "stack", "supervise"],
            cwd=settings.repository,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=handles,
        )
    while daemon.poll() is None and not _supervised(settings):
        time.sleep(0.05)


def _supervised(settings: Settings) -> bool:
    return Register(settings.state / "processes.json").alive("supervisor") is not None


def _await_ready(settings: Settings) -> None:
    """Print each part once it is ready; a dead supervisor or a lack of progress is an error."""
    shown: set[str] = set()
    deadline = time.monotonic() + UP_SECONDS
    while time.monotonic() < deadline:
        dead = not _supervised(settings)
        status = Status.read(settings.state / "status.json")
        for part in status.parts:
            if part.state == "ready" and part.name not in shown:
                shown.add(part.name)
                print(f"  {part.name:<15} ready after {part.seconds:.1f} s", flush=True)
        if dead:
            raise StackError(status.error or f"the supervisor died, see {settings.logs / 'supervisor.log'}")
        if status.ready:
            return
        time.sleep(0.2)
    missing = ", ".join(part.name for part in status.parts if part.state != "ready")
    raise StackError(f"not ready after {UP_SECONDS:.0f} s: {missing}; see {settings.logs}, stop with ./run down")


def _row(part: Part) -> str:
    pid = f"pid {part.pid}" if part.pid else ""
    restarts = f"restarted {part.restarts} times" if part.restarts else ""
    minutes = (time.time() - part.since) / 60
    return f"  {part.name:<15} {part.state:<10} {pid:<12} for {minutes:.0f} min {restarts}".rstrip()
