"""What newer files confirmed stays protected: for good, whatever happens to their runs; and it is kept once."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest.errors import IngestError, OrderUnknown, RejectLimitExceeded
from include.ingest.keys import confirmed_keys
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, make_dataset, rows

WIDE = """
name: wide
source: wide.csv
target: public.wide
key: [a, b]
columns:
  a: {type: "%s"}
  b: {type: "%s"}
  v: {type: text, nullable: true}
"""
VALUES = {
    "bigint": ["1", "-9223372036854775808", "7"],
    "text": ["a", "", "ü"],
    "uuid": ["0" * 32, "f" * 32, "0123456789abcdef" * 2],
    "bytea": ["\\x", "\\x00", "\\x0000"],
    "numeric(30,2)": ["1.00", "-1", "99999999999999999999.99"],
    "date": ["2026-01-01", "0001-01-01", "9999-12-31"],
    "double precision": ["NaN", "-0", "1.5"],
    "boolean": ["true", "false"],
    "numeric(9,3)": ["1", "-1", "0.001"],
}


def day(number: int) -> Any:
    return DAY + timedelta(days=number)


def kept(warehouse: psycopg.Connection[Any]) -> list[int]:
    """Keys that are kept, by the version of the file that held them."""
    found = warehouse.execute(
        "SELECT sum(length(hashes)) / 8 FROM millrace.held_key GROUP BY version HAVING sum(length(hashes)) > 0"
        " ORDER BY version"
    )
    return [int(number) for (number,) in found]


def export(ids: list[int], label: str = "same") -> str:
    return HEADER + "".join(f"{number},{label},1.00\n" for number in ids)


@pytest.mark.parametrize("shuffled", [False, True])
def test_each_key_is_kept_once(
    warehouse: psycopg.Connection[Any], tmp_path: Path, shuffled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmed_keys, "FEW_KEYS", 0)
    monkeypatch.setattr(confirmed_keys, "PART_KEYS", 64)
    dataset = make_dataset(tmp_path, chunk_bytes=2000)
    ids = list(range(1000))
    for number in range(9):
        there = [one for one in ids if one % 100 != number]  # some leave the export, and come again
        if shuffled:
            random.Random(number).shuffle(there)
        ingest(warehouse, dataset, export(there), tmp_path, version=day(number))
        warehouse.execute("ANALYZE items")
        assert sum(kept(warehouse)) <= 2 * 1000
    late = ingest(warehouse, dataset, export(ids, "late"), tmp_path, version=DAY - timedelta(days=1))
    assert counts(late) == {"read": 1000, "superseded": 1000}


def test_files_that_share_little_are_kept_in_the_room_of_the_table(
    warehouse: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each day brings another tenth of the rows once more, and retention takes old rows away."""
    monkeypatch.setattr(confirmed_keys, "FEW_KEYS", 0)
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, export(list(range(500))), tmp_path, version=day(0))
    for number in range(1, 25):
        share = [*random.Random(number).sample(range(500), 50), 1000 + number]
        ingest(warehouse, dataset, export(sorted(share)), tmp_path, version=day(number))
        warehouse.execute("DELETE FROM items WHERE id > 1000 AND id < %s", [1000 + number])
        warehouse.execute("ANALYZE items")
        assert sum(kept(warehouse)) <= 2 * 501 + 51


def test_files_of_one_version_are_kept_once(
    warehouse: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmed_keys, "FEW_KEYS", 0)
    dataset = make_dataset(tmp_path, chunk_bytes=2000)
    ingest(warehouse, dataset, export(list(range(300))), tmp_path, version=day(0))
    for first in (0, 1, 2, 3, 4):
        ingest(warehouse, dataset, export(list(range(first, 200 + first))), tmp_path, version=day(2))
        warehouse.execute("ANALYZE items")
        assert sum(kept(warehouse)) <= 2 * 300
    late = ingest(warehouse, dataset, export(list(range(300)), "late"), tmp_path, version=day(1))
    assert counts(late) == {"read": 300, "updated": 300 - 204, "superseded": 204}


def test_a_file_of_every_row_is_kept_alone(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=2000)
    for number in range(4):
        ingest(warehouse, dataset, export(list(range(300 + number))), tmp_path, version=day(number))
    assert kept(warehouse) == [303]


def test_what_was_thinned_out_is_still_confirmed(
    warehouse: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmed_keys, "FEW_KEYS", 0)
    dataset = make_dataset(tmp_path)
    for number in (0, 2, 3, 4):
        there = [1, 2, 10 + number] if number < 4 else [1, 14]
        ingest(warehouse, dataset, export(there), tmp_path, version=day(number))
        warehouse.execute("ANALYZE items")
    late = ingest(warehouse, dataset, export([1, 2, 11], "late"), tmp_path, version=day(1))
    assert counts(late) == {"read": 3, "inserted": 1, "superseded": 2}
    assert dict(rows(warehouse, "id, label")) == {1: "same", 2: "same", 10: "same", 11: "late", 12: "same", 13: "same",
                                                  14: "same"}  # fmt: skip


def confirmed(warehouse: psycopg.Connection[Any], folder: Path, **changes: Any) -> Any:
    """A dataset whose row 1 is of day 1, and was confirmed by day 3 and by day 5; and the id of the last run."""
    dataset, last = make_dataset(folder, **changes), uuid4()
    ingest(warehouse, dataset, HEADER + "1,a,1\n2,a,1\n", folder, version=day(1))
    ingest(warehouse, dataset, HEADER + "1,a,1\n2,c,1\n", folder, version=day(3))
    ingest(warehouse, dataset, HEADER + "1,a,1\n3,e,1\n", folder, version=day(5), run_id=last)
    return dataset, last


def late_file_changes_nothing(warehouse: psycopg.Connection[Any], dataset: Any, folder: Path) -> None:
    late = ingest(warehouse, dataset, HEADER + "1,x,1\n", folder, version=day(2))
    assert counts(late) == {"read": 1, "superseded": 1}
    assert dict(rows(warehouse, "id, label"))[1] == "a"


def test_a_cleared_run_that_loads_another_file_takes_nothing_back(
    warehouse: psycopg.Connection[Any], tmp_path: Path
) -> None:
    dataset, last = confirmed(warehouse, tmp_path)
    ingest(warehouse, dataset, HEADER + "9,other,1\n", tmp_path, version=day(5), run_id=last)
    late_file_changes_nothing(warehouse, dataset, tmp_path)


def test_a_cleared_run_that_fails_takes_nothing_back(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset, last = confirmed(warehouse, tmp_path)
    strict = dataset.model_copy(update={"reject_limit": dataset.reject_limit.model_copy(update={"rows": 0})})
    with pytest.raises(RejectLimitExceeded):
        ingest(warehouse, strict, HEADER + "x,bad,1\n", tmp_path, version=day(5), run_id=last)
    late_file_changes_nothing(warehouse, dataset, tmp_path)


@pytest.mark.parametrize("age", ["91 days", "10 years"])
def test_there_is_no_time_after_which_it_goes(warehouse: psycopg.Connection[Any], tmp_path: Path, age: str) -> None:
    dataset, _ = confirmed(warehouse, tmp_path)
    warehouse.execute("UPDATE millrace.ingest_run SET finished_at = finished_at - %s::interval", [age])
    ingest(warehouse, dataset, HEADER + "7,a,1\n", tmp_path, version=day(6))
    ingest(warehouse, dataset, HEADER + "7,a,1\n8,a,1\n", tmp_path, version=day(7))
    late_file_changes_nothing(warehouse, dataset, tmp_path)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("others", [False, True])
def test_a_file_that_came_again_for_a_newer_day_confirms_its_rows(
    warehouse: psycopg.Connection[Any], tmp_path: Path, force: bool, others: bool
) -> None:
    """Nothing is loaded then; and an UPDATE by others of a column that it holds does not make its row older."""
    dataset = make_dataset(tmp_path)
    text = HEADER + "1,a,1\n2,bad,-1\n3,a,1\n3,b,1\n"
    first = ingest(warehouse, dataset, text, tmp_path, version=day(1))
    again = ingest(warehouse, dataset, text, tmp_path, version=day(5), force=force)
    assert again.status == ("done" if force else "skipped")
    if others:
        warehouse.execute("UPDATE items SET price = 2 WHERE id = 1")
    ingest(warehouse, dataset, HEADER + "9,other,1\n", tmp_path, version=day(1))
    assert first.rejected == 1
    late = ingest(warehouse, dataset, HEADER + "1,x,1\n2,x,1\n3,x,1\n", tmp_path, version=day(3))
    assert counts(late) == {"read": 3, "inserted": 1, "superseded": 2}


@pytest.mark.parametrize(("first", "second"), list(itertools.pairwise([*VALUES, "bigint"])))
def test_the_order_of_key_columns_does_not_matter(
    warehouse: psycopg.Connection[Any], tmp_path: Path, first: str, second: str
) -> None:
    text = WIDE % (first, second)
    dataset = make_dataset(tmp_path, text)
    turned = make_dataset(tmp_path, text.replace("[a, b]", "[b, a]"))
    keys = list(itertools.product(VALUES[first], VALUES[second]))
    files = {label: "a,b,v\n" + "".join(f'"{a}","{b}",{label}\n' for a, b in keys) for label in ("right", "late")}
    nulls = {"csv": dataset.csv.model_copy(update={"nulls": ["NULL"]})}
    dataset, turned = dataset.model_copy(update=nulls), turned.model_copy(update=nulls)
    ingest(warehouse, dataset, files["right"], tmp_path, version=day(1))
    ingest(warehouse, turned, files["right"], tmp_path, version=day(3))
    late = ingest(warehouse, dataset, files["late"], tmp_path, version=day(2))
    assert (late.read, late.superseded) == (len(keys), len(keys))


def test_another_key_refuses_what_can_not_be_told(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    confirmed(warehouse, tmp_path)
    warehouse.execute("ALTER TABLE items DROP CONSTRAINT items_pkey")
    warehouse.execute("ALTER TABLE items ADD PRIMARY KEY (id, label)")
    other = make_dataset(tmp_path, ITEMS.replace("label: {type: text, nullable: true}", "label: {type: text}"),
                         key=["id", "label"])  # fmt: skip
    before = rows(warehouse)
    with pytest.raises(OrderUnknown, match=r"key was \(id integer\) and not \(id integer, label text\).*Nothing was"):
        ingest(warehouse, other, HEADER + "1,a,7\n", tmp_path, version=day(2))
    assert rows(warehouse) == before
    assert issubclass(OrderUnknown, IngestError)
    everything = HEADER + "1,a,1\n2,c,1\n3,e,1\n"
    ingest(warehouse, other, everything, tmp_path, version=day(6))
    late = ingest(warehouse, other, HEADER + "1,a,7\n", tmp_path, version=day(2))
    assert counts(late) == {"read": 1, "superseded": 1}, "a newer file that holds every row makes the order known again"
