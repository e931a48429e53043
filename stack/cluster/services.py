"""How one service runs on its host: a command of the compose file, or PostgreSQL in place of its image."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stack.errors import StackError
from stack.postgres import PostgresServer

CHECK_SECONDS = 20.0  # a check that hangs is one that fails


@dataclass(frozen=True)
class Spec:
    """What the supervisor tells a host: who it is and what to run."""

    name: str
    image: str
    command: list[str]
    environment: dict[str, str]
    working_dir: str
    folders: list[str]
    hosts_file: str
    links: list[tuple[str, str]]  # interface and address with its length of prefix
    ports: list[tuple[int, int]]  # a socket that listens on the machine, and the port of the service
    health: list[str]
    restarts: bool
    grace_seconds: float
    log: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Spec:
        """From decoded JSON."""
        return cls(**values)


class Running(Protocol):
    """A service that was started."""

    @property
    def pid(self) -> int | None:
        """Its process; None when there is none any more."""

    @property
    def code(self) -> int | None:
        """Its exit code, or None while it runs."""

    def stop(self, grace_seconds: float) -> None:
        """End it."""


class Command:
    """A program and what it forks."""

    def __init__(self, spec: Spec) -> None:
        with Path(spec.log).open("ab") as log:
            self._process = subprocess.Popen(
                spec.command, env=spec.environment, cwd=spec.working_dir, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int | None:
        """The program's process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code of the program itself."""
        return self._process.poll()

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM to the program, as an engine for containers sends it; what remains goes with the namespace."""
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.kill(self._process.pid, signal.SIGTERM)
            self._process.wait(grace_seconds)


class Database:
    """A PostgreSQL server in place of its image: the settings of the service's command, its volume, its password."""

    def __init__(self, spec: Spec) -> None:
        folder = Path(spec.folders[0])
        # Whoever wrote it is gone with the namespace, and its process number may be another's here.
        (folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        settings = dict(pair.split("=", 1) for pair in spec.command if "=" in pair)
        addresses = ",".join(["127.0.0.1", *(address.partition("/")[0] for _, address in spec.links)])
        password = spec.environment["POSTGRES_PASSWORD"]
        self._server = PostgresServer(
            folder / "data", 5432, {**settings, "listen_addresses": addresses}, password=password
        )
        self._server.start()
        self._open_to_networks()

    @property
    def pid(self) -> int | None:
        """The postmaster."""
        return self._server.pid

    @property
    def code(self) -> int | None:
        """1 when the server is gone."""
        return None if self._server.pid else 1

    def stop(self, grace_seconds: float) -> None:
        """Roll back what is under way and end."""
        self._server.stop("fast", grace_seconds)

    def _open_to_networks(self) -> None:
        """Let the host's networks in, by password, as PostgreSQL's image does."""
        rules = self._server.data_dir / "pg_hba.conf"
        line = "host all all samenet scram-sha-256\n"
        if line not in rules.read_text():
            with rules.open("a") as file:
                file.write(line)
            os.kill(self._server.pid or 0, signal.SIGHUP)


class NotStarted:
    """A service that could not be started this time: a full disk, for one."""

    pid = None
    code = 1

    def stop(self, grace_seconds: float) -> None:
        """There is nothing to end."""


def start(spec: Spec) -> Running:
    """Start what a host is for. Raises StackError."""
    return Database(spec) if spec.image.startswith("postgres:") else Command(spec)


def restart(spec: Spec) -> Running:
    """Start it once more; where that fails, say so in the log."""
    try:
        return start(spec)
    except StackError as fault:
        print(f"run: {fault}", file=sys.stderr, flush=True)
        return NotStarted()


def well(spec: Spec) -> bool:
    """Whether the service's own health check passes now."""
    environment: Mapping[str, str] = {**spec.environment, "LC_ALL": "C"}
    command: Sequence[str] = spec.health
    try:
        done = subprocess.run(
            command, env=environment, cwd=spec.working_dir, capture_output=True, timeout=CHECK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def pause(deaths: int) -> float:
    """Seconds until a service that died is started again."""
    return float(min(2 ** min(deaths, 5), 30))


def now() -> float:
    """A clock that only goes forward."""
    return time.monotonic()
