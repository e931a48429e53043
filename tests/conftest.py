"""What every test may use: a real PostgreSQL for the session, and a fresh warehouse for each test.

$MILLRACE_TEST_PG_BIN=/usr/lib/postgresql/15/bin runs them on another PostgreSQL.
"""

from __future__ import annotations

import gc
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright
from psycopg import Connection, sql
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from stack import databases
from stack.ports import free_port, scratch_folder
from stack.postgres import PostgresServer

pytest_plugins = [
    "include.memory.tasks.pytest_plugin",
    "pytester",
    "tests.runner.tools",
    "tests.runner.own_process",
    "tests.runner.slow",
]
TEMPLATE = "millrace_template"
PASSWORDS = {"airflow": "airflow-secret", "ingest": "ingest-secret"}
# A test's data need not survive the machine.
QUICK = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB", "min_wal_size": "128MB"}

SERVER = """
import signal
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
signal.pause()
"""


# What asks a running Airflow goes to two workers, each with a stack of its own: one that waits for runs most of the
# time, and one for the rest.
WITH_AIRFLOW = "tests/dags/"
# They share an API server. It has no agent of the memory audit, so a watcher beside it would take it for its own.
WITH_LOGIN = ("tests/login/", "tests/memory/test_watch.py")
EARLY = (WITH_AIRFLOW, "tests/stack/", *WITH_LOGIN)
FIRST_STACK = ("test_ingest_csv.py", "test_documents.py")


class Lanes(LoadFileScheduling):  # type: ignore[misc]  # xdist is not typed
    """A file is one worker's; files that use the same stack are, too."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        if file.startswith(WITH_LOGIN):
            return WITH_LOGIN[0]
        if not file.startswith(WITH_AIRFLOW):
            return file
        return f"{WITH_AIRFLOW}{'first' if file.endswith(FIRST_STACK) else 'second'}"


@pytest.hookimpl(optionalhook=True)  # xdist may be switched off
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes | None:
    """Instead of the scheduler of `--dist loadfile`; any other that is asked for stays."""
    return Lanes(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits or takes long comes first, so that the end is not one long test beside idle workers."""
    items.sort(key=lambda item: not item.nodeid.startswith(EARLY))  # the others stay in their order


def pytest_collection_finish() -> None:
    """What all imported tests and libraries hold is no garbage: no collection need walk it, in a test of memory above
    all, which collects again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server with the roles and databases of the local stack."""
    chosen = os.environ.get("MILLRACE_TEST_PG_BIN")
    folder = scratch_folder("millrace-tests-")
    # A fixed port: a test may restart the server under clients that come again.
    server = PostgresServer(folder / "data", free_port(), QUICK, binaries=Path(chosen) if chosen else None)
    server.start()
    try:
        databases.prepare(server.dsn(), PASSWORDS)
        yield server
    finally:
        server.destroy()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(postgres: PostgresServer) -> str:
    """The name of a database with the warehouse's own tables, to be cloned."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER ingest").format(sql.Identifier(TEMPLATE)))
    databases.migrate_warehouse(postgres.dsn(TEMPLATE, "ingest", PASSWORDS["ingest"]))
    return TEMPLATE


@pytest.fixture
def dsn(postgres: PostgresServer, template: str) -> Iterator[str]:
    """The URL of a fresh warehouse that belongs to this test, as role `ingest`."""
    if not postgres.running():
        postgres.start()
    name = f"test_{secrets.token_hex(6)}"
    new, old = sql.Identifier(name), sql.Identifier(template)
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        # Files are copied: through the log it takes twice as long.
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER ingest STRATEGY file_copy").format(new, old))
    yield postgres.dsn(name, "ingest", PASSWORDS["ingest"])
    if not postgres.running():
        postgres.start()
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(new))


@pytest.fixture
def warehouse(dsn: str) -> Iterator[Connection[Any]]:
    """An open connection to the fresh warehouse."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")  # no longer: beside its event loop, no test of another file could run its own
def browser() -> Iterator[Browser]:
    """A real browser."""
    found = shutil.which("chromium")  # the marker `browser` sees to it
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of an S3 server that runs as a process of its own."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


@pytest.fixture
def endpoint(s3_port: int) -> str:
    """The URL of an S3 server."""
    return f"http://127.0.0.1:{s3_port}"
