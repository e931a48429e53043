"""A preview leaves no trace in the database, its catalogue and sequences, nor on the disk; and SELECT is enough."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from include.ingest.errors import IngestError
from include.ingest.plan import Order
from include.ingest.preview.look import preview
from include.ingest.preview.view import NO_LEDGER
from include.ingest.source.storage import Storage
from stack.postgres import PostgresServer
from tests.ingest.loading import DAY, ITEMS, ingest, make_dataset
from tests.ingest.preview.test_equals_a_run import NEXT, items, look, written

TABLES = """
SELECT quote_ident(nspname) || '.' || quote_ident(relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'm') AND nspname NOT LIKE 'pg_toast%' AND nspname NOT IN ('information_schema', 'pg_catalog')
ORDER BY 1
"""
# What the server's own upkeep may change at any time: statistics of tables, not what they hold.
CATALOGUE = (
    "pg_class",
    "pg_attribute",
    "pg_type",
    "pg_index",
    "pg_constraint",
    "pg_depend",
    "pg_sequence",
    "pg_namespace",
)
UPKEEP = "reltuples|relpages|relallvisible|relallfrozen|relfrozenxid|relminmxid"


def checksum(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Every row of every table with the transaction that wrote it and its place; the catalogue; sequences."""
    found: dict[str, Any] = {}
    for (table,) in connection.execute(TABLES).fetchall():
        row = "xmin::text || xmax::text || ctid::text || t::text"
        query = f"SELECT count(*), md5(string_agg({row}, '' ORDER BY ctid)) FROM {table} t"
        found[table] = connection.execute(query).fetchone()
    for table in CATALOGUE:
        query = (
            "SELECT count(*), md5(string_agg(r, '' ORDER BY r)) FROM ("
            "SELECT (SELECT string_agg(key || value, '' ORDER BY key) FROM jsonb_each_text(to_jsonb(t))"
            f" WHERE key !~ '^({UPKEEP})$') AS r FROM pg_catalog.{table} t) s"
        )
        found[table] = connection.execute(query).fetchone()
    names = connection.execute("SELECT schemaname || '.' || sequencename FROM pg_sequences ORDER BY 1").fetchall()
    for (name,) in names:
        found[name] = connection.execute(f"SELECT last_value, is_called, log_cnt FROM {name}").fetchone()
    return found


@pytest.fixture
def lived(warehouse: psycopg.Connection[Any], tmp_path: Path) -> psycopg.Connection[Any]:
    """A warehouse with runs in it, and a target with a serial column and a trigger that counts."""
    warehouse.execute(
        "CREATE TABLE items (id bigint PRIMARY KEY, label text, price numeric(8,2), serial bigserial);"
        "CREATE TABLE noted (what text);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO noted VALUES (TG_OP); RETURN NEW; END $$;"
        "CREATE TRIGGER noting BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note()"
    )
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, items("1,one,1", "2,two,2", "3,three,3"), tmp_path)
    ingest(warehouse, dataset, items("1,one,1", "2,zwei,2"), tmp_path, version=NEXT)
    return warehouse


@pytest.mark.parametrize("mode", ["upsert", "replace", "append"])
def test_nothing_in_the_database_changes(lived: psycopg.Connection[Any], tmp_path: Path, mode: str) -> None:
    dataset = make_dataset(tmp_path).model_copy(update={"mode": mode, "key": [] if mode == "append" else ["id"]})
    data = items("1,uno,1", "2,zwei,2", "4,four,4", "x,y,z", "4,vier,4", "3,a,b")
    before = checksum(lived)
    found = look(lived, dataset, data, tmp_path, version=NEXT)
    assert found.counts.inserted
    assert checksum(lived) == before
    ingest(lived, make_dataset(tmp_path), data, tmp_path, version=NEXT)
    assert checksum(lived) != before, "the checksum sees what a run does"


def test_nothing_in_the_database_changes_without_a_target(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    before = checksum(warehouse)
    found = look(warehouse, make_dataset(tmp_path), items("1,one,1", "1,uno,1", "x,y,z"), tmp_path)
    assert (found.outcome, found.counts.inserted, found.counts.superseded, found.counts.rejected) == ("done", 1, 1, 1)
    assert "target public.items does not exist yet: the run would create it" in found.notes
    assert checksum(warehouse) == before


def test_the_server_itself_would_refuse_a_write(
    lived: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: Any) -> None:
        lived.execute("INSERT INTO items VALUES (99, 'x', 1)")

    monkeypatch.setattr("include.ingest.preview.look.check_unchanged", write)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        look(lived, make_dataset(tmp_path), items("1,one,1"), tmp_path, version=NEXT, force=True)


def test_no_lock_is_taken_that_anybody_waits_for(lived: psycopg.Connection[Any], dsn: str, tmp_path: Path) -> None:
    with psycopg.connect(dsn) as other:
        other.execute("LOCK TABLE items IN SHARE ROW EXCLUSIVE MODE")  # as a merge does
        lived.execute("SET lock_timeout = '1s'")
        assert look(lived, make_dataset(tmp_path), items("1,uno,1"), tmp_path, version=NEXT).counts.updated == 1


def test_nothing_is_left_on_the_disk(
    lived: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, data = tmp_path / "scratch", tmp_path / "data"
    for folder in (scratch, data):
        folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    file = data / "items.csv.gz"
    file.write_bytes(gzip.compress(items("1,one,1", "7,new,1").encode()))
    for storage in (Storage(), Storage(scratch / "ingest")):
        order = Order(uuid4(), file, NEXT, storage=storage)
        assert preview(lived, make_dataset(tmp_path), order).counts.inserted == 1
        assert list(scratch.iterdir()) == []
    broken = make_dataset(tmp_path, ITEMS.replace("id: {", "nummer: {").replace("[id]", "[nummer]"))
    with pytest.raises(IngestError):
        preview(lived, broken, Order(uuid4(), file, NEXT, storage=Storage(scratch / "ingest")))
    assert list(scratch.iterdir()) == []


@pytest.fixture
def reader(lived: psycopg.Connection[Any], dsn: str, postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    """A login of its own, which may do nothing but connect so far."""
    name, database = f"reader_{uuid4().hex[:8]}", lived.info.dbname
    role = sql.Identifier(name)
    with psycopg.connect(postgres.dsn(database), autocommit=True) as superuser:
        superuser.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'r'").format(role))
        superuser.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
        superuser.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), role))
        superuser.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        with psycopg.connect(postgres.dsn(database, name, "r"), autocommit=True) as connection:
            yield connection
        superuser.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


def test_select_on_the_target_is_enough(
    lived: psycopg.Connection[Any], reader: psycopg.Connection[Any], tmp_path: Path
) -> None:
    dataset, data = make_dataset(tmp_path), items("1,uno,1", "2,zwei,2", "9,new,1")
    with pytest.raises(IngestError, match=r"GRANT SELECT ON public\.items TO reader_"):
        look(reader, dataset, data, tmp_path, version=NEXT)
    lived.execute(sql.SQL("GRANT SELECT ON items TO {}").format(sql.Identifier(reader.info.user)))
    counts = look(reader, dataset, data, tmp_path, version=NEXT).counts
    assert (counts.inserted, counts.updated, counts.unchanged) == (1, 1, 1)
    assert NO_LEDGER in look(reader, dataset, data, tmp_path, version=NEXT).notes
    other = dataset.model_copy(update={"target": "public.other"})
    found = look(reader, other, data, tmp_path)
    assert (found.outcome, found.counts.inserted) == ("done", 3)
    assert any("may not create it" in note for note in found.notes)


def test_a_login_that_reads_the_ledger_knows_all_of_it(
    lived: psycopg.Connection[Any], reader: psycopg.Connection[Any], tmp_path: Path
) -> None:
    user = sql.Identifier(reader.info.user)
    lived.execute(sql.SQL("GRANT SELECT ON items TO {0}; GRANT USAGE ON SCHEMA millrace TO {0}").format(user))
    lived.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA millrace TO {}").format(user))
    dataset, file = make_dataset(tmp_path), written(items("1,eins,1", "3,drei,3"), tmp_path)
    found = look(reader, dataset, file, tmp_path, version=DAY)
    assert (found.counts.stale, found.counts.updated) == (1, 1), "1 was confirmed by the newer file, 3 was not"
    assert NO_LEDGER not in found.notes
    ingest(lived, dataset, file, tmp_path, version=NEXT)
    assert look(reader, dataset, file, tmp_path, version=NEXT).outcome == "skipped"


def test_a_database_that_is_not_millraces_will_do(dsn: str, postgres: PostgresServer, tmp_path: Path) -> None:
    name = f"bare_{uuid4().hex[:8]}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        superuser.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(postgres.dsn(name), autocommit=True) as bare:
            bare.execute("CREATE TABLE items (id bigint PRIMARY KEY, label text, price numeric(8,2))")
            bare.execute("INSERT INTO items VALUES (1, 'one', 1)")
            found = look(bare, make_dataset(tmp_path), items("1,one,1", "2,two,2"), tmp_path)
            assert (found.counts.inserted, found.counts.unchanged) == (1, 1)
            assert NO_LEDGER in found.notes
            assert bare.execute("SELECT to_regnamespace('millrace')").fetchone() == (None,)
        superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
