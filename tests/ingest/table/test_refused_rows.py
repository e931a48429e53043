"""One row that the server alone can refuse is a located rejected row; the others are loaded."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from include.ingest.errors import TargetRefused
from tests.ingest.loading import DAY, counts, ingest, make_dataset, rejected, staging_tables

CHANCE = random.Random(1)
LONG = "".join(chr(CHANCE.randrange(33, 127)) for _ in range(9000)).replace('"', "'")  # does not compress
DATASET = """
name: keyed
source: x
target: public.keyed
key: [k, b]
columns:
  k: {type: text}
  b: {type: bytea}
  v: {type: text, nullable: true}
reject_limit: {rows: null, ratio: null}
"""
TABLE = "CREATE TABLE keyed (k text, b bytea, v text, PRIMARY KEY (k, b))"


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
@pytest.mark.parametrize("made", ["missing", "empty", "full"])
def test_a_key_too_long_for_its_index(
    warehouse: psycopg.Connection, tmp_path: Path, made: str, chunk_bytes: int
) -> None:
    if made != "missing":
        warehouse.execute(TABLE)
    if made == "full":
        warehouse.execute(r"INSERT INTO keyed VALUES ('old', '\x', 'stays')")
    dataset = make_dataset(tmp_path, DATASET, chunk_bytes=chunk_bytes)
    repeated, bytes_ = "ab" * 5000, LONG.encode().hex()  # ten thousand letters that compress well
    data = f'k,b,v\n1,\\x,a\n"{LONG}",\\x01,b\n{repeated},\\x,c\n5,\\x{bytes_},d\n6,\\x,"e\n"\n'
    account = ingest(warehouse, dataset, data, tmp_path)
    assert counts(account) == {"read": 5, "inserted": 3, "rejected": 2}
    kept = warehouse.execute("SELECT v FROM keyed WHERE v <> 'stays' ORDER BY v").fetchall()
    assert kept == [("a",), ("c",), ("e\n",)]
    assert rejected(warehouse, account) == [
        (3, "k, b", f"{LONG}, \\x01"[:1024], "size"),
        (5, "k, b", f"5, \\x{bytes_}"[:1024], "size"),
    ]
    reason = warehouse.execute("SELECT DISTINCT reason FROM millrace.rejected_row").fetchall()
    assert all("too long for an index on k, b: index row" in text and "probe" not in text for (text,) in reason)
    middling = ingest(warehouse, dataset, f'k,b,v\n"{LONG[:4000]}",\\x,f\n', tmp_path, version=DAY + timedelta(2))
    assert rejected(warehouse, middling) == [(2, "k, b", f"{LONG[:4000]}, \\x"[:1024], "size")]
    again = ingest(warehouse, dataset, data.replace(",a\n", ",A\n"), tmp_path, version=DAY + timedelta(3))
    assert counts(again) == {"read": 5, "updated": 1, "unchanged": 2, "rejected": 2}
    assert staging_tables(warehouse) == []


def test_a_value_too_long_for_an_index_of_the_tables_own(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    warehouse.execute(TABLE)
    warehouse.execute("CREATE INDEX own ON keyed (v); CREATE INDEX other ON keyed (lower(v)) WHERE k = 'x'")
    account = ingest(warehouse, make_dataset(tmp_path, DATASET), f'k,b,v\n1,\\x,a\n2,\\x,"{LONG}"\n', tmp_path)
    assert rejected(warehouse, account) == [(3, "v", LONG[:1024], "size")]
    assert warehouse.execute("SELECT k FROM keyed").fetchall() == [("1",)]


@pytest.mark.parametrize("full", [False, True])
def test_a_row_wider_than_a_page(warehouse: psycopg.Connection, tmp_path: Path, full: bool) -> None:
    """1,200 numbers of 38 digits do not fit into a page; 1,200 nulls do."""
    names = [f"c{number}" for number in range(1200)]
    columns = "\n".join(f'  {name}: {{type: "numeric(38,0)", nullable: true}}' for name in names)
    text = f"name: wide\nsource: x\ntarget: public.wide\nmode: append\ncolumns:\n{columns}\n"
    dataset = make_dataset(tmp_path, text + "reject_limit: {rows: null, ratio: null}\n")
    if full:
        warehouse.execute("CREATE TABLE wide (" + ", ".join(f"{name} numeric(38,0)" for name in names) + ")")
        warehouse.execute("INSERT INTO wide VALUES (0)")
    digits = ",".join(["12345678901234567890123456789012345678"] * 1200)
    data = ",".join(names) + f"\n1{',' * 1199}\n{digits}\n3{',' * 1199}\n"
    account = ingest(warehouse, dataset, data, tmp_path)
    assert counts(account) == {"read": 3, "inserted": 2, "rejected": 1}
    assert rejected(warehouse, account) == [(3, None, None, "size")]


def test_a_value_that_nobody_foresaw(
    warehouse: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.ingest.dataset import sql_types

    monkeypatch.setattr(sql_types, "_check_escapes", lambda text: None)
    text = DATASET.replace("v: {type: text", "v: {type: jsonb")
    data = 'k,b,v\n1,\\x,"""a"""\n2,\\x,"""\\u0000"""\n3,\\x,null\n'
    account = ingest(warehouse, make_dataset(tmp_path, text), data, tmp_path)
    assert rejected(warehouse, account) == [(3, "v", '"\\u0000"', "refused")]
    assert counts(account) == {"read": 3, "inserted": 2, "rejected": 1}


@pytest.mark.parametrize("full", [False, True])
def test_a_constraint_of_the_tables_own_fails_the_run_beside_such_a_row(
    warehouse: psycopg.Connection, tmp_path: Path, full: bool
) -> None:
    warehouse.execute(TABLE)
    warehouse.execute("ALTER TABLE keyed ADD CHECK (v <> 'bad')")
    if full:
        warehouse.execute(r"INSERT INTO keyed VALUES ('old', '\x', 'stays')")
    data = f'k,b,v\n1,\\x,bad\n"{LONG}",\\x01,b\n'
    with pytest.raises(TargetRefused, match="violates check constraint"):
        ingest(warehouse, make_dataset(tmp_path, DATASET), data, tmp_path)
    assert warehouse.execute("SELECT count(*) FROM keyed").fetchone() == (int(full),)


def test_a_trigger_that_refuses_a_value_is_named(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    warehouse.execute(TABLE)
    warehouse.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM new.v::integer; RETURN new; END';"
        "CREATE TRIGGER refuse BEFORE INSERT ON keyed FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    with pytest.raises(TargetRefused, match='invalid input syntax for type integer: "a"'):
        ingest(warehouse, make_dataset(tmp_path, DATASET), "k,b,v\n1,\\x,a\n", tmp_path)
