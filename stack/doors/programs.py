"""Other command lines on this stack: Airflow's, the ingest's and psql. The process becomes them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from stack.binaries import find_binaries
from stack.commands import is_up, running
from stack.environment import airflow_environment
from stack.errors import StackError
from stack.settings import REPOSITORY, Settings, state_folder

# Airflow's command line wants graphviz for pictures only, and says so at each call. The text is matched from its start.
QUIET = "ignore:Could not import graphviz:UserWarning"
INGEST = ("run", "preview", "check", "init", "rejected", "replay")  # its subcommands; anything else is a dataset's name
ALONE = ("init", "-h", "--help")  # they need no warehouse


def airflow(arguments: Sequence[str]) -> None:
    """Become Airflow's command line."""
    environment = airflow_environment(running())
    environment["PYTHONWARNINGS"] = ",".join(filter(None, [environment.get("PYTHONWARNINGS"), QUIET]))
    os.execve(sys.executable, [sys.executable, "-m", "airflow", *arguments], environment)


def psql(arguments: Sequence[str]) -> None:
    """Become psql on `warehouse` (the default) or `metadata`."""
    settings = running()
    name, *rest = arguments or ["warehouse"]
    if name not in ("warehouse", "metadata"):
        name, rest = "warehouse", list(arguments)
    program = find_binaries() / "psql"
    found = str(program) if program.exists() else shutil.which("psql")
    if not found:
        raise StackError("found no psql next to PostgreSQL's programs or on PATH")
    os.execve(found, [found, *rest], _libpq(settings, "airflow" if name == "metadata" else name))


def ingest(arguments: Sequence[str]) -> None:
    """Become the ingest's command line, on the stack's warehouse. `NAME [FILE]` is short for `run NAME [FILE]`."""
    settings = running()
    command = arguments if arguments and arguments[0] in (*INGEST, "-h", "--help") else ["run", *arguments]
    _become(command, _libpq(settings, "warehouse"))


def dataset(arguments: Sequence[str]) -> None:
    """Become the ingest's command line for what only looks: check, preview, init.

    A check compares with the stack's warehouse where the stack runs, and does without where it does not.
    """
    kind, *rest = arguments or ["--help"]
    if kind in ALONE:
        _become([kind, *rest], {"MILLRACE_DATASETS": str(REPOSITORY / "include" / "datasets"), **os.environ})
    elsewhere = "--no-database" in rest or any(word.partition("=")[0] == "--dsn" for word in rest)
    settings = Settings.load() if state_folder().is_dir() else None
    if settings is None or not is_up(settings):
        if kind == "preview" and not elsewhere:
            raise StackError(
                "the stack is down; start it with ./run up, or preview with --no-database, or with --dsn elsewhere"
            )
        _become([kind, *rest], _places(settings) if settings else {**os.environ})
    assert settings is not None
    here = ["--dsn="] if kind == "check" and not elsewhere else []
    _become([kind, *here, *rest], _places(settings) if elsewhere else _libpq(settings, "warehouse"))


def _become(arguments: Sequence[str], environment: dict[str, str]) -> None:
    # -P: the caller's folder may have an `include` of its own.
    environment["PYTHONPATH"] = str(REPOSITORY)
    os.execve(sys.executable, [sys.executable, "-P", "-m", "include.ingest", *arguments], environment)


def _places(settings: Settings) -> dict[str, str]:
    """The caller's environment, with the stack's inbox."""
    return {**os.environ, "MILLRACE_INBOX": str(settings.inbox)}


def _libpq(settings: Settings, database: str) -> dict[str, str]:
    """The caller's environment, in which libpq finds a database of the stack; no command line has its password."""
    url = urlsplit(settings.database_url(database))
    here = {
        "PGHOST": url.hostname, "PGPORT": str(url.port), "PGUSER": url.username, "PGPASSWORD": url.password,
        "PGDATABASE": url.path.lstrip("/"),
    }  # fmt: skip
    kept = {name: value for name, value in _places(settings).items() if not name.startswith("PG")}
    return kept | {name: value for name, value in here.items() if value}
