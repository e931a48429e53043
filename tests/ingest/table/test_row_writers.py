"""Others write to the table in every way that PostgreSQL has; what they changed is seen and set right."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from include.ingest.load import load_chunk
from include.ingest.merge import merge
from include.ingest.plan import Order, plan
from include.ingest.table.row_writers import is_untouched
from stack import databases
from stack.binaries import account as postgres_user
from stack.ports import scratch_folder
from stack.postgres import PostgresServer
from tests.conftest import PASSWORDS, QUICK
from tests.ingest.loading import DAY, HEADER, counts, ingest, known, make_dataset, rows

CONTENT = HEADER + "".join(f"{number},label {number},{number}.50\n" for number in range(1, 51))
CHANGED = CONTENT.replace(",7.50", ",7.75")
RIGHT = "label 8"
THEIRS = "UPDATE items SET label = 'theirs' WHERE id = 8"
IN_PLPGSQL = """
DO $$ BEGIN
    BEGIN
        INSERT INTO jobs VALUES (1);
        RAISE EXCEPTION 'no';
    EXCEPTION WHEN raise_exception THEN
        INSERT INTO jobs VALUES (2);
    END;
END $$
"""
Writer = Callable[[psycopg.Connection[Any], Callable[[], None]], None]


def day(number: int) -> Any:
    return DAY + timedelta(days=number)


@contextmanager
def session(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else, with a transaction that has a number already."""
    with psycopg.connect(dsn) as other:
        other.execute("CREATE TABLE IF NOT EXISTS jobs (id integer)")
        other.commit()
        yield other


def plain(other: psycopg.Connection[Any], run: Callable[[], None]) -> None:
    run()
    other.execute(THEIRS)


def open_before(other: psycopg.Connection[Any], run: Callable[[], None]) -> None:
    other.execute("INSERT INTO jobs VALUES (1)")
    run()
    other.execute(THEIRS)


def savepoint_open_before(other: psycopg.Connection[Any], run: Callable[[], None]) -> None:
    other.execute("SELECT pg_current_xact_id()")
    with other.transaction():
        other.execute("INSERT INTO jobs VALUES (1)")
        run()
        other.execute(THEIRS)


def savepoint_of_a_savepoint(other: psycopg.Connection[Any], run: Callable[[], None]) -> None:
    other.execute("INSERT INTO jobs VALUES (1)")
    with other.transaction():
        other.execute("INSERT INTO jobs VALUES (2)")
        with other.transaction():
            other.execute("INSERT INTO jobs VALUES (3)")
            run()
            other.execute(THEIRS)


def savepoint_opened_after(other: psycopg.Connection[Any], run: Callable[[], None]) -> None:
    other.execute("INSERT INTO jobs VALUES (1)")
    run()
    with other.transaction():
        other.execute(THEIRS)


def plpgsql_job(other: psycopg.Connection[Any], run: Callable[[], None]) -> None:
    other.execute(IN_PLPGSQL)
    run()
    other.execute(THEIRS)


def several_numbers_ago(other: psycopg.Connection[Any], run: Callable[[], None]) -> None:
    """The subtransaction has a number far below the run's own."""
    with other.transaction():
        other.execute("INSERT INTO jobs VALUES (1)")
        with psycopg.connect(other.info.dsn, password=other.info.password, autocommit=True) as busy:
            for _ in range(20):
                busy.execute("INSERT INTO jobs VALUES (0)")
        run()
        other.execute(THEIRS)


WRITERS: dict[str, Writer] = {
    writer.__name__: writer
    for writer in (
        plain, open_before, savepoint_open_before, savepoint_of_a_savepoint, savepoint_opened_after, plpgsql_job,
        several_numbers_ago,
    )
}  # fmt: skip


@pytest.mark.parametrize("again", [CHANGED, CONTENT], ids=["another file", "the same file"])
@pytest.mark.parametrize("writer", WRITERS)
def test_what_somebody_changed_is_set_right(
    warehouse: psycopg.Connection[Any], dsn: str, tmp_path: Path, writer: str, again: str
) -> None:
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, HEADER + "1,first,1\n", tmp_path)  # so that the next run merges
    with session(dsn) as other:
        WRITERS[writer](other, lambda: void(ingest(warehouse, dataset, CONTENT, tmp_path, version=day(1))))
    account = ingest(warehouse, dataset, again, tmp_path, version=day(2))
    assert dict(rows(warehouse, "id, label"))[8] == RIGHT
    assert account.updated == (2 if again == CHANGED else 1)
    assert known(warehouse, account) == 0


def void(_: object) -> None:
    """A run as a step of somebody else's."""


def test_a_run_that_was_open_beside_others_is_built_upon_all_the_same(
    warehouse: psycopg.Connection[Any], dsn: str, tmp_path: Path
) -> None:
    """A transaction that stays open elsewhere costs nothing: what runs wrote since it began is known as theirs."""
    dataset = make_dataset(tmp_path)
    with session(dsn) as other, other.transaction():
        other.execute("INSERT INTO jobs VALUES (1)")
        for number in range(4):
            lines = CONTENT.replace(",7.50", f",7.{number}")
            account = ingest(warehouse, dataset, lines, tmp_path, version=day(number))
            assert known(warehouse, account) == (49 if number else 0)
    assert account.unchanged == 49


@pytest.mark.parametrize("sql", [
    "TRUNCATE items",
    "DELETE FROM items WHERE id = 8",
    "DELETE FROM items WHERE id = 8; INSERT INTO items (id, label) VALUES (999, 'theirs')",
    THEIRS,
    "CREATE TABLE kept AS TABLE items; TRUNCATE items; UPDATE kept SET label = 'theirs' WHERE id = 8;"
    " INSERT INTO items SELECT * FROM kept",
    "ALTER TABLE items ALTER label TYPE varchar USING 'theirs'; ALTER TABLE items ALTER label TYPE text",
], ids=["truncate", "delete", "swap a row", "update", "restore", "rewrite"])  # fmt: skip
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("mode", ["upsert", "replace"])
def test_the_same_file_again_is_loaded_after(
    warehouse: psycopg.Connection[Any], tmp_path: Path, sql: str, force: bool, mode: str
) -> None:
    dataset = make_dataset(tmp_path, mode=mode)
    ingest(warehouse, dataset, CONTENT, tmp_path)
    warehouse.execute(sql)
    account = ingest(warehouse, dataset, CONTENT, tmp_path, force=force)
    assert account.status == "done"
    found = dict(rows(warehouse, "id, label"))
    assert found.pop(999, None) == ("theirs" if "999" in sql and mode == "upsert" else None)
    assert found == {number: f"label {number}" for number in range(1, 51)}


@pytest.mark.parametrize("sql", ["SELECT 1", "VACUUM (FREEZE) items", "VACUUM FULL items", "ANALYZE items"])
def test_the_same_file_again_is_skipped_while_the_table_holds_it(
    warehouse: psycopg.Connection[Any], tmp_path: Path, sql: str
) -> None:
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, HEADER + "1,first,1\n1000,first,1\n", tmp_path)
    ingest(warehouse, dataset, CONTENT, tmp_path, version=day(1))
    ingest(warehouse, dataset, CHANGED, tmp_path, version=day(2))
    warehouse.execute(sql)
    assert ingest(warehouse, dataset, CHANGED, tmp_path, version=day(2)).status == "skipped"
    assert ingest(warehouse, dataset, CHANGED, tmp_path, version=day(1)).status == "skipped"
    assert ingest(warehouse, dataset, CHANGED, tmp_path, version=day(3)).status == "skipped"


def test_runs_in_between_do_not_hide_what_others_did_before_them(
    warehouse: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Somebody deletes a row and adds another one, which an older file then changes: as many rows, all ours."""
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, CONTENT, tmp_path, version=day(1))
    warehouse.execute("DELETE FROM items WHERE id = 8")
    warehouse.execute("INSERT INTO items (id, label) VALUES (999, 'theirs')")
    ingest(warehouse, dataset, HEADER + "999,older,1\n", tmp_path, version=day(0))
    ingest(warehouse, dataset, CONTENT, tmp_path, version=day(1))
    assert dict(rows(warehouse, "id, label"))[8] == RIGHT


@pytest.mark.parametrize("moment", ["planned", "loaded"])
def test_a_table_that_was_swapped_is_another_one(
    warehouse: psycopg.Connection[Any], tmp_path: Path, moment: str
) -> None:
    """A copy with as many rows takes its name between the steps of a run."""
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, CONTENT, tmp_path)
    warehouse.execute("CREATE TABLE copy (LIKE items INCLUDING ALL)")
    warehouse.execute("INSERT INTO copy SELECT * FROM items")
    warehouse.execute("UPDATE copy SET label = 'theirs' WHERE id = 8")
    file = tmp_path / "changed.csv"
    file.write_text(CHANGED)
    planned = plan(warehouse, dataset, Order(uuid4(), file, day(1)))
    assert planned.base is not None
    for chunk in planned.chunks if moment == "loaded" else ():
        load_chunk(warehouse, dataset, planned, chunk)
    warehouse.execute("ALTER TABLE items RENAME TO old; ALTER TABLE copy RENAME TO items")
    account = merge(warehouse, dataset, planned)
    assert counts(account) == {"read": 50, "updated": 2, "unchanged": 48}
    assert dict(rows(warehouse, "id, label"))[8] == RIGHT


def test_a_table_that_was_dropped_and_made_anew_has_no_older_runs(
    warehouse: psycopg.Connection[Any], tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path)
    first = ingest(warehouse, dataset, CONTENT, tmp_path, version=day(0))
    ingest(warehouse, dataset, CHANGED, tmp_path, version=day(3))
    warehouse.execute("DROP TABLE items")
    assert counts(ingest(warehouse, dataset, CONTENT, tmp_path, version=day(1))) == counts(first)
    account = ingest(warehouse, dataset, CHANGED, tmp_path, version=day(2))
    assert counts(account) == {"read": 50, "updated": 1, "unchanged": 49}


def test_a_restored_ledger_proves_nothing(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    """Its transactions are those of the server that was dumped; here they were used by somebody else."""
    dataset = make_dataset(tmp_path)
    account = ingest(warehouse, dataset, CONTENT, tmp_path)
    with warehouse.cursor() as cursor:
        assert is_untouched(cursor, dataset, UUID(account.run_id))
        for table in ("ingest_run", "ingest_stamp"):
            cursor.execute(f"CREATE TABLE dump_of_{table} AS TABLE millrace.{table}")
        cursor.execute("DELETE FROM millrace.ingest_run")
        for table in ("ingest_run", "ingest_stamp"):
            cursor.execute(f"INSERT INTO millrace.{table} SELECT * FROM dump_of_{table}")
        assert not is_untouched(cursor, dataset, UUID(account.run_id))


def test_runs_are_ordered_by_their_merges_and_not_by_clocks(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    """The clock of the machine that ran the first one was an hour ahead."""
    dataset = make_dataset(tmp_path)
    first = ingest(warehouse, dataset, CONTENT, tmp_path)
    ingest(warehouse, dataset, CONTENT.replace("label 8,", "corrected,"), tmp_path)
    warehouse.execute(
        "UPDATE millrace.ingest_run SET finished_at = finished_at + interval '1 hour' WHERE run_id = %s", [first.run_id]
    )
    ingest(warehouse, dataset, CONTENT, tmp_path)
    assert dict(rows(warehouse, "id, label"))[8] == RIGHT
    ingest(warehouse, dataset, CHANGED, tmp_path)
    assert dict(rows(warehouse, "id, label"))[8] == RIGHT


@pytest.fixture
def own() -> Iterator[PostgresServer]:
    """A server whose transactions may be moved on."""
    folder = scratch_folder("millrace-server-")
    settings = {**QUICK, "shared_buffers": "32MB", "autovacuum": "off"}
    chosen = os.environ.get("MILLRACE_TEST_PG_BIN")
    server = PostgresServer(folder / "data", settings=settings, binaries=Path(chosen) if chosen else None)
    server.start()
    databases.prepare(server.dsn(), PASSWORDS)
    databases.migrate_warehouse(server.dsn("warehouse", "ingest", PASSWORDS["ingest"]))
    yield server
    server.destroy()
    shutil.rmtree(folder)


def move_on(server: PostgresServer, epoch: int, transaction: int) -> None:
    """Freeze all rows and have the next transaction begin at that number, the first one of a page of pg_xact."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        found = connection.execute("SELECT datname FROM pg_database").fetchall()
        connection.execute("ALTER DATABASE template0 ALLOW_CONNECTIONS true")
    for (name,) in found:
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            connection.execute("VACUUM (FREEZE)")
    server.stop()
    segment = server.data_dir / "pg_xact" / f"{transaction // (32 * 32768):04X}"
    if not segment.exists():
        segment.write_bytes(bytes(32 * 8192))
        postgres_user().own(segment)
    command = [
        str(server.binaries / "pg_resetwal"),
        "-D",
        str(server.data_dir),
        "-e",
        str(epoch),
        "-x",
        str(transaction),
    ]
    subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=60, **postgres_user().popen_options())
    server.start()


def test_numbers_that_come_round_again_are_told_apart(own: PostgresServer, tmp_path: Path) -> None:
    """After 2^32 transactions somebody writes under a number just below those of the load."""
    dsn = own.dsn("warehouse", "ingest", PASSWORDS["ingest"])
    page = 32768
    move_on(own, 0, 2 * page)
    dataset = make_dataset(tmp_path)
    with psycopg.connect(own.dsn("warehouse", "ingest", PASSWORDS["ingest"]), autocommit=True) as warehouse:
        first = ingest(warehouse, dataset, CONTENT, tmp_path)
    for epoch, transaction in ((0, 45_000 * page), (0, 90_000 * page), (1, page)):
        move_on(own, epoch, transaction)
    dsn = own.dsn("warehouse", "ingest", PASSWORDS["ingest"])
    with psycopg.connect(dsn, autocommit=True) as warehouse:
        with warehouse.cursor() as cursor:
            assert is_untouched(cursor, dataset, UUID(first.run_id)), "rows far back are settled"
        warehouse.execute(THEIRS)
        theirs, ours = warehouse.execute(
            "SELECT min(xmin::text::bigint), max(xmin::text::bigint) FROM items"
        ).fetchone() or (0, 0)
        assert theirs < ours
        account = ingest(warehouse, dataset, CHANGED, tmp_path, version=day(1))
        assert known(warehouse, account) == 0
        assert dict(rows(warehouse, "id, label"))[8] == RIGHT
