"""Repeated keys: found whatever the cut and the memory, and settled among the rows that are good."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pyarrow as pa
import pytest

from include.ingest.cast.printed import printed
from include.ingest.cast.rows import Reader
from include.ingest.csv.scan import scan_file
from include.ingest.dataset.sql_types import SqlType, read_value
from include.ingest.keys import duplicates, key_spool
from include.ingest.keys.duplicates import read_keys
from include.ingest.load import load_chunk
from include.ingest.merge import merge
from include.ingest.plan import Order, dialect_of, plan
from include.ingest.source.local import LocalFile
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, make_dataset, rejected, rows


@pytest.mark.parametrize("policy", ["last", "first", "reject"])
@pytest.mark.parametrize("chunk_bytes", [1, 300, 100_000])
@pytest.mark.parametrize(("pass_rows", "batch_rows"), [(16, 7), (8_000_000, 20_000)])
@pytest.mark.parametrize("in_order", [True, False])
def test_losers_are_those_of_a_plain_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, chunk_bytes: int, pass_rows: int, batch_rows: int,
    in_order: bool,
) -> None:  # fmt: skip
    ways: list[Any] = []
    in_the_file = duplicates._out_of_order

    def out_of_order(*args: Any) -> Any:
        ways.append(in_the_file(*args))
        return ways[-1]

    monkeypatch.setattr(duplicates, "_out_of_order", out_of_order)
    monkeypatch.setattr(duplicates, "PASS_ROWS", pass_rows)
    monkeypatch.setattr(duplicates, "BATCH_ROWS", batch_rows)
    chance = random.Random(chunk_bytes)
    keys = [chance.randrange(150) for _ in range(400)]
    if in_order:  # but for a few that stand again
        own = range(-20, 380)
        again = [chance.choice(own[: number + 1]) for number in range(len(own))]
        keys = [old if chance.random() < 0.08 else key for key, old in zip(own, again, strict=True)]
    else:
        monkeypatch.setattr(key_spool, "SURE_ROWS", pass_rows)
    lines = [f"{key:0{chance.randrange(1, 6)}d},x,{chance.choice('123-')}" for key in keys]
    copies: dict[int, list[int]] = {}
    starts = [len("\n".join(lines[:number])) + (number > 0) for number in range(len(lines))]
    for number, line in enumerate(lines):
        if not line.endswith("-"):  # such a price is rejected, so the row takes no part
            copies.setdefault(int(line.split(",")[0]), []).append(number)
    keep = {"last": slice(None, -1), "first": slice(1, None), "reject": slice(None)}[policy]
    expected = sorted(
        (starts[number], same[0] + 1) for same in copies.values() if len(same) > 1 for number in same[keep]
    )
    file = tmp_path / "file.csv"
    file.write_text("\n".join(lines))
    dataset = make_dataset(tmp_path, duplicates=policy)
    layout = scan_file(LocalFile(file), dialect_of(dataset), header=False, chunk_bytes=chunk_bytes)
    found = read_keys(LocalFile(file), Reader(dataset, dialect_of(dataset), 3, (0, 1, 2)), layout.chunks).losers
    assert list(zip(found.offsets.tolist(), found.first_lines.tolist(), strict=True)) == expected
    assert [way is not None for way in ways] == [in_order]


def test_a_rejected_copy_takes_no_part(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    account = ingest(warehouse, make_dataset(tmp_path), HEADER + "1,good,1\n1,bad,-1\nx,bad,1\n", tmp_path)
    assert counts(account) == {"read": 3, "inserted": 1, "rejected": 2}
    assert rows(warehouse, "id, label") == [(1, "good")]


def test_a_run_that_was_to_make_the_table_keeps_its_keys_when_another_made_it(
    warehouse: psycopg.Connection, tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path)
    for name, label in (("old", "A"), ("newest", "A"), ("between", "B")):
        (tmp_path / f"{name}.csv").write_text(f"{HEADER}1,{label},1\n2,{name},1\n")
    newest = Order(uuid4(), tmp_path / "newest.csv", DAY + timedelta(days=2))
    planned = plan(warehouse, dataset, newest)
    assert planned.form == "promote"
    ingest(warehouse, dataset, tmp_path / "old.csv", tmp_path, version=DAY)
    for chunk in planned.chunks:
        load_chunk(warehouse, dataset, planned, chunk)
    account = merge(warehouse, dataset, planned)
    assert counts(account) == {"read": 2, "updated": 1, "unchanged": 1}
    between = ingest(warehouse, dataset, tmp_path / "between.csv", tmp_path, version=DAY + timedelta(days=1))
    assert counts(between) == {"read": 2, "superseded": 2}
    assert rows(warehouse, "id, label") == [(1, "A"), (2, "newest")]


def test_a_key_of_several_columns_in_any_order_is_told_from_columns_that_the_dataset_ignores(
    warehouse: psycopg.Connection, tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path, key=["label", "id"])
    file = tmp_path / "wide.csv"
    file.write_text("extra,price,label,id\n1,1,a,1\n2,2,a,2\n3,3,a,1\n")
    assert plan(warehouse, dataset, Order(uuid4(), file, DAY)).ignored == ("extra",)
    assert counts(ingest(warehouse, dataset, file, tmp_path)) == {"read": 3, "inserted": 2, "superseded": 1}


@pytest.mark.parametrize("policy", ["last", "first", "reject"])
@pytest.mark.parametrize("kind", ["bigint", "text"])
@pytest.mark.parametrize(("last_before", "first_after"), [(49, 49), (50, 49), (49, 48)])
def test_a_key_that_stands_again_at_the_start_of_the_next_chunk_is_repeated(
    tmp_path: Path, policy: str, kind: str, last_before: int, first_after: int
) -> None:
    keys = [*range(49), last_before, first_after, *range(51, 100)]
    lines = [f"{key:02},x,1\n" for key in keys]
    file = tmp_path / "file.csv"
    file.write_text("".join(lines))
    dataset = make_dataset(tmp_path, ITEMS.replace("bigint", kind), duplicates=policy)
    layout = scan_file(LocalFile(file), dialect_of(dataset), header=False, chunk_bytes=50 * len(lines[0]))
    assert [chunk.offset for chunk in layout.chunks] == [0, 50 * len(lines[0])]
    found = read_keys(LocalFile(file), Reader(dataset, dialect_of(dataset), 3, (0, 1, 2)), layout.chunks).losers
    copies = [number for number, key in enumerate(keys) if keys.count(key) > 1]
    lost = {"last": copies[:-1], "first": copies[1:], "reject": copies}[policy]
    assert found.offsets.tolist() == [number * len(lines[0]) for number in lost]


def test_rows_that_repeat_the_least_key_there_is_are_settled(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    least = -(2**63)
    text = HEADER + f"{least},a,1\n{least},b,1\n{least + 1},c,1\n"
    assert counts(ingest(warehouse, make_dataset(tmp_path), text, tmp_path)) == {
        "read": 3, "inserted": 2, "superseded": 1,
    }  # fmt: skip
    assert [label for _, label, _ in rows(warehouse)] == ["b", "c"]


def test_a_key_that_came_late_may_come_late_again(tmp_path: Path) -> None:
    keys = [10, 5, 5, 20, 7, 30, *range(40, 60), 7, 5]
    file = tmp_path / "file.csv"
    file.write_text("".join(f"{key:02},x,1\n" for key in keys))
    dataset = make_dataset(tmp_path)
    for chunk_bytes in (1, 20, 1000):
        layout = scan_file(LocalFile(file), dialect_of(dataset), header=False, chunk_bytes=chunk_bytes)
        found = read_keys(LocalFile(file), Reader(dataset, dialect_of(dataset), 3, (0, 1, 2)), layout.chunks).losers
        assert found.offsets.tolist() == [number * 7 for number in (1, 2, 4)]


SAME = {  # two spellings of one key, and another key
    "smallint": ["7", "+007", "8"],
    "bigint": ["-1", "-01", "1"],
    "numeric(10,8)": ["0.00000010", "1e-7", "1"],
    "real": ["1e6", "1000000", "0.1"],
    "double precision": ["NaN", "nan", "0.1"],
    "date": ["2026-02-28"] * 2 + ["2026-03-01"],
    "time": ["10:20", "10:20:00.000", "10:20:01"],
    "timestamp": ["2026-01-01 10:20:30.5", "2026-01-01T10:20:30.500", "2026-01-01"],
    "timestamptz": ["2026-01-01 10:20:30+02:00", "2026-01-01T08:20:30Z", "2026-01-01T08:20:31Z"],
    "boolean": ["t", "YES", "f"],
    "uuid": ["61616161-6161-6161-6161-616161616161", "61616161616161616161616161616161", "a" * 32],
    "bytea": [r"\xff00", r"\xFF00", r"\x"],
    "text": ["a, b"] * 2 + ["A, b"],
    "varchar(5)": ["é"] * 2 + ["e"],
}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("kind", SAME)
def test_rejected_copies_carry_the_key_as_postgresql_prints_it(
    warehouse: psycopg.Connection, tmp_path: Path, kind: str, full: bool
) -> None:
    one, again, other = SAME[kind]
    text = f"""
name: twice
source: x
target: public.twice
duplicates: reject
key: [k, n]
columns:
  k: {{type: "{kind}"}}
  n: {{type: integer}}
reject_limit: {{rows: null, ratio: null}}
"""
    dataset = make_dataset(tmp_path, text)
    if full:  # so that the run is merged instead of promoted
        warehouse.execute(f"CREATE TABLE twice (k {kind}, n integer, PRIMARY KEY (k, n))")
        warehouse.execute("INSERT INTO twice VALUES (%s, 5)", [other])
    data = f'k,n\n"{one}",01\n"{other}",1\n"{again}",1\n'
    account = ingest(warehouse, dataset, data, tmp_path)
    query = f"SELECT %s::{kind}::text"
    shown = warehouse.execute(query, [one]).fetchone()
    assert shown is not None
    assert [row[1:3] for row in rejected(warehouse, account)] == [("k, n", f"{shown[0]}, 1")] * 2
    assert counts(account) == {"read": 3, "inserted": 1, "rejected": 2}


FLOATS = [
    *("0", "-0", "0.1", "1e-4", "9.9e-5", "1e-5", "123456", "1e5", "999999", "1e6", "1234567", "1e14", "1e15", "1e22"),
    *("123456789012345", "1234567890123456", "3.4e38", "1.17549435e-38", "1e-45", "NaN", "Infinity", "-inf"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["real", "double precision"])
def test_floats_are_printed_as_postgresql_does(warehouse: psycopg.Connection, kind: str) -> None:
    sql_type = SqlType.parse(kind)
    values = pa.array([read_value(text, sql_type) for text in FLOATS], sql_type.arrow)
    query = f"SELECT x::{kind}::text FROM unnest(%s::text[]) WITH ORDINALITY AS u(x, n) ORDER BY n"
    shown = [row[0] for row in warehouse.execute(query, [FLOATS])]
    assert printed(values, sql_type) == shown


@pytest.mark.parametrize("policy", ["last", "first", "reject"])
@pytest.mark.parametrize("kind", ["real", "double precision"])
def test_float_keys_are_equal_as_in_postgresql(
    warehouse: psycopg.Connection, tmp_path: Path, policy: str, kind: str
) -> None:
    text = f"""
name: floats
source: x
target: public.floats
duplicates: {policy}
key: [k]
columns:
  k: {{type: "{kind}"}}
  n: {{type: integer}}
reject_limit: {{rows: null, ratio: null}}
chunk_bytes: 1
"""
    dataset = make_dataset(tmp_path, text)
    account = ingest(warehouse, dataset, "k,n\nNaN,1\n-0.0,2\nnan,3\n0,4\nNAN,5\n1,6\n", tmp_path)
    left = {"last": [4, 6, 5], "first": [2, 6, 1], "reject": [6]}[policy]
    assert warehouse.execute("SELECT n FROM floats ORDER BY k").fetchall() == [(n,) for n in left]
    assert account.read == 6
    again = ingest(warehouse, dataset, "k,n\n0,4\nNaN,7\n", tmp_path, version=DAY + timedelta(1))
    assert again.read == again.inserted + again.updated + again.unchanged
    assert warehouse.execute("SELECT count(*), max(n) FILTER (WHERE k = 'NaN') FROM floats").fetchone() == (3, 7)
