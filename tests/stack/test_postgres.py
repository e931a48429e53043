"""The launcher: a server that starts, stops, crashes and comes back, and roles that stay in their database."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from stack import databases
from stack.errors import StackError
from stack.ports import scratch_folder
from stack.postgres import PostgresServer
from tests.conftest import PASSWORDS


@pytest.fixture
def own() -> Iterator[PostgresServer]:
    """A server that a test may crash."""
    chosen = os.environ.get("MILLRACE_TEST_PG_BIN")
    folder = scratch_folder("millrace-server-")
    settings = {"shared_buffers": "32MB", "max_connections": "20"}
    server = PostgresServer(folder / "data", settings=settings, binaries=Path(chosen) if chosen else None)
    server.start()
    yield server
    server.destroy()
    assert not os.path.lexists(folder / "data")
    shutil.rmtree(folder)


def value(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
        return row and row[0]


def test_settings_apply(own: PostgresServer) -> None:
    assert value(own.dsn(), "SHOW shared_buffers") == "32MB"
    assert value(own.dsn(), "SHOW server_encoding") == "UTF8"
    assert value(own.dsn(), "SHOW listen_addresses") == "127.0.0.1"
    assert value(own.dsn(), "SHOW unix_socket_directories") == ""
    assert str(value(own.dsn(), "SHOW server_version")).startswith(str(own.version))


def test_a_restart_keeps_port_and_data(own: PostgresServer) -> None:
    with psycopg.connect(own.dsn()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    port, pid = own.port, own.pid
    own.restart()
    assert own.port == port
    assert own.pid != pid
    assert value(own.dsn(), "SELECT number FROM kept") == 7


def test_an_immediate_stop_loses_only_what_was_not_committed(own: PostgresServer) -> None:
    with psycopg.connect(own.dsn()) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("CREATE UNLOGGED TABLE volatile AS SELECT 1 AS number")
    open_one = psycopg.connect(own.dsn())
    open_one.execute("INSERT INTO kept VALUES (1)")
    own.stop("immediate")
    assert not own.running()
    open_one.close()
    own.start()
    assert value(own.dsn(), "SELECT count(*) FROM kept") == 0
    assert value(own.dsn(), "SELECT count(*) FROM volatile") == 0


def test_starting_twice_is_harmless(own: PostgresServer) -> None:
    pid = own.pid
    own.start()
    assert own.pid == pid


def test_a_killed_server_starts_again(own: PostgresServer) -> None:
    assert own.pid
    os.kill(own.pid, signal.SIGKILL)
    own.stop()
    own.start()
    assert value(own.dsn(), "SELECT 1") == 1


def test_another_object_finds_and_stops_the_running_server(own: PostgresServer) -> None:
    other = PostgresServer(own.data_dir, binaries=own.binaries)
    assert other.running()
    assert other.pid == own.pid
    assert value(other.dsn(), "SELECT 1") == 1
    other.stop()
    assert not own.running()


def test_a_stop_leaves_no_process(own: PostgresServer) -> None:
    processes = [psutil.Process(own.pid), *psutil.Process(own.pid).children()]
    own.stop()
    assert not [process for process in processes if process.is_running()]


def test_a_stale_pid_file_is_no_running_server(own: PostgresServer) -> None:
    lines = (own.data_dir / "postmaster.pid").read_text().splitlines()
    own.stop()
    (own.data_dir / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert not own.running()
    (own.data_dir / "postmaster.pid").unlink()


def test_a_taken_port_is_named(own: PostgresServer) -> None:
    own.stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = PostgresServer(own.data_dir, port, binaries=own.binaries)
        with pytest.raises(StackError, match=f"port {port} is taken"):
            server.start()


def test_data_of_another_version_is_named(own: PostgresServer) -> None:
    own.stop()
    (own.data_dir / "PG_VERSION").write_text("9\n")
    with pytest.raises(StackError, match=r"made by PostgreSQL 9, .* PG_BIN"):
        own.start()


def test_a_wrong_setting_is_explained(own: PostgresServer) -> None:
    own.stop()
    server = PostgresServer(own.data_dir, settings={"shared_buffers": "much"}, binaries=own.binaries)
    with pytest.raises(StackError, match="shared_buffers"):
        server.start()


def test_a_password_is_always_asked_for(own: PostgresServer) -> None:
    url = own.dsn("postgres", "postgres", "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


@pytest.mark.parametrize(("role", "database"), [("airflow", "warehouse"), ("ingest", "airflow")])
def test_roles_stay_out_of_the_others_database(postgres: PostgresServer, role: str, database: str) -> None:
    for closed in (database, "postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(postgres.dsn(closed, role, PASSWORDS[role]))


def test_roles_may_work_in_their_own(postgres: PostgresServer) -> None:
    for database, role in databases.OWNERS.items():
        with psycopg.connect(postgres.dsn(database, role, PASSWORDS[role])) as connection:
            connection.execute("CREATE SCHEMA probe")
            connection.rollback()


def test_databases_are_prepared_twice_without_harm(postgres: PostgresServer) -> None:
    databases.prepare(postgres.dsn(), PASSWORDS)
    databases.migrate_warehouse(postgres.dsn("warehouse", "ingest", PASSWORDS["ingest"]))
    databases.migrate_warehouse(postgres.dsn("warehouse", "ingest", PASSWORDS["ingest"]))
    assert databases.metadata_revision(postgres.dsn("airflow", "airflow", PASSWORDS["airflow"])) == ""


def test_each_test_has_a_warehouse_of_its_own(warehouse: psycopg.Connection, dsn: str) -> None:
    found = warehouse.execute("SELECT current_database(), current_user").fetchone()
    assert found is not None
    assert dsn.endswith(found[0])
    assert found[1] == "ingest"
    assert warehouse.execute("SELECT to_regclass('millrace.ingest_run') IS NOT NULL").fetchone() == (True,)
