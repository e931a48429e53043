"""A table that is published: a subscriber on another server has what the table has, whatever the form of a run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stack import databases
from stack.ports import scratch_folder
from stack.postgres import PostgresServer
from tests.conftest import PASSWORDS, QUICK
from tests.ingest.loading import DAY, HEADER, ITEMS, ingest, make_dataset, rows
from tests.waiting import until

TABLE = "(id bigint PRIMARY KEY, label text, price numeric(8,2), processed_at timestamptz, source_version timestamptz)"
PUBLICATIONS = {
    "table": "FOR TABLE items, others",
    "schema": "FOR TABLES IN SCHEMA public",
    "all": "FOR ALL TABLES",
}
FIRST = HEADER + "1,a,1\n2,b,2\n3,c,3\n"
SECOND = HEADER + "1,a,1\n2,changed,2\n4,d,4\n"


@contextmanager
def server(name: str) -> Iterator[PostgresServer]:
    folder = scratch_folder(f"millrace-{name}-")
    settings = {**QUICK, "shared_buffers": "32MB", "wal_level": "logical"}
    chosen = os.environ.get("MILLRACE_TEST_PG_BIN")
    made = PostgresServer(folder / "data", settings=settings, binaries=Path(chosen) if chosen else None)
    made.start()
    try:
        databases.prepare(made.dsn(), PASSWORDS)
        databases.migrate_warehouse(made.dsn("warehouse", "ingest", PASSWORDS["ingest"]))
        yield made
    finally:
        made.destroy()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A publisher and a subscriber."""
    with server("publisher") as publisher, server("subscriber") as subscriber:
        yield publisher, subscriber


@pytest.fixture(params=PUBLICATIONS)
def pair(
    servers: tuple[PostgresServer, PostgresServer], request: pytest.FixtureRequest
) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
    """The publisher as the ingest's role, and the subscriber as a superuser, with a subscription that is in step."""
    publisher, subscriber = servers
    with (
        psycopg.connect(publisher.dsn("warehouse"), autocommit=True) as superuser,
        psycopg.connect(publisher.dsn("warehouse", "ingest", PASSWORDS["ingest"]), autocommit=True) as here,
        psycopg.connect(subscriber.dsn("warehouse"), autocommit=True) as there,
    ):
        for connection in (here, there):
            for table in ("items", "others"):
                connection.execute(f"CREATE TABLE {table} {TABLE}")
        superuser.execute(f"CREATE PUBLICATION p {PUBLICATIONS[request.param]}")
        there.execute(
            f"CREATE SUBSCRIPTION s CONNECTION '{publisher.dsn('warehouse')}' PUBLICATION p WITH (copy_data = false)"
        )
        try:
            yield here, there
        finally:
            there.execute("DROP SUBSCRIPTION s")
            superuser.execute("DROP PUBLICATION p")
            for connection in (superuser, there):
                connection.execute("DROP TABLE IF EXISTS items, others, fresh")


def failed_applies(there: psycopg.Connection[Any]) -> int:
    row = there.execute("SELECT sum(apply_error_count)::int FROM pg_stat_subscription_stats").fetchone()
    return row[0] if row and row[0] else 0


def test_a_subscriber_has_what_the_table_has(
    pair: tuple[psycopg.Connection[Any], psycopg.Connection[Any]], tmp_path: Path
) -> None:
    here, there = pair
    dataset = make_dataset(tmp_path)
    for number, text in enumerate([FIRST, SECOND]):
        ingest(here, dataset, text, tmp_path, version=DAY + timedelta(days=number))
        until(lambda: rows(there) == rows(here) or failed_applies(there), "the subscriber to follow")
        assert rows(there) == rows(here)
    assert failed_applies(there) == 0


def test_a_table_that_a_run_makes_reaches_its_subscriber(
    pair: tuple[psycopg.Connection[Any], psycopg.Connection[Any]], tmp_path: Path
) -> None:
    """As with any new table: it is made at the subscriber, too, and the subscription refreshed."""
    here, there = pair
    dataset = make_dataset(tmp_path, ITEMS.replace("public.items", "public.fresh"))
    there.execute(f"CREATE TABLE fresh {TABLE}")
    ingest(here, dataset, FIRST, tmp_path)
    published = here.execute("SELECT 1 FROM pg_publication_tables WHERE tablename = 'fresh'").fetchone()
    if published:
        there.execute("ALTER SUBSCRIPTION s REFRESH PUBLICATION")
        until(lambda: rows(there, table="fresh") == rows(here, table="fresh") or failed_applies(there), "the copy")
    ingest(here, dataset, SECOND, tmp_path, version=DAY + timedelta(days=1))
    ingest(here, make_dataset(tmp_path), FIRST, tmp_path)
    until(lambda: rows(there) == rows(here) or failed_applies(there), "the subscriber to follow")
    assert failed_applies(there) == 0
    if published:
        until(lambda: rows(there, table="fresh") == rows(here, table="fresh"), "the new table to follow")
