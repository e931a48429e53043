"""A preview of files whose columns change: what it says is what the run does, and the table is as it was until then."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest.plan import Order
from include.ingest.preview.look import preview
from include.ingest.preview.result import Preview
from include.ingest.run import run
from tests.ingest.loading import DAY, HEADER, ITEMS, ingest, make_dataset

FIRST = HEADER + "1,a,1\n2,b,2\n3,c,3\n"
WIDE = "id,label,price,Currency\n1,a,1,EUR\n2,b,2,\n3,d,3,\n4,e,4,USD\n"
RESCUE = "unknown_columns: rescue\nrescue_column: rest\n"


def both(connection: psycopg.Connection[Any], text: str, second: str, folder: Path) -> Preview:
    """What is said of a second file, which is then ingested; ctid tells which rows were really written."""
    dataset = make_dataset(folder, text)
    ingest(connection, dataset, FIRST, folder)
    before = dict(connection.execute("SELECT id, ctid::text FROM items").fetchall())
    file = folder / "second.csv"
    file.write_text(second)
    order = Order(uuid4(), file, DAY + timedelta(days=1))
    found = preview(connection, dataset, order)
    assert dict(connection.execute("SELECT id, ctid::text FROM items").fetchall()) == before
    account = run(connection, dataset, order)
    after = dict(connection.execute("SELECT id, ctid::text FROM items").fetchall())
    assert asdict(found.counts) == {name: getattr(account, name) for name in asdict(found.counts)}
    assert found.counts.inserted == len(after.keys() - before.keys())
    assert found.counts.updated == sum(before[key] != after[key] for key in before.keys() & after.keys())
    return found


@pytest.mark.parametrize("policy", ["unknown_columns: add\n", RESCUE])
def test_what_a_new_column_would_change(warehouse: psycopg.Connection[Any], tmp_path: Path, policy: str) -> None:
    found = both(warehouse, ITEMS + policy, WIDE, tmp_path)
    assert (found.counts.updated, found.counts.unchanged, found.counts.inserted) == (2, 1, 1)
    assert found.rescued == (["Currency"] if policy == RESCUE else [])
    assert any("would add to the target: currency" in note for note in found.notes) == (policy != RESCUE)


def test_what_is_missing_renamed_and_ignored_is_said(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    text = ITEMS.replace("label: {type: text,", "label: {type: text, source: [label, title],")
    found = both(warehouse, text + "missing_columns: null\n", "id,title,color\n1,a,red\n2,x,\n", tmp_path)
    assert (found.missing, found.renamed, found.ignored) == (["price"], {"label": "title"}, ["color"])
    assert found.first_rows[0][:3] == ["1", "a", None]


def test_a_column_that_can_not_be_added_is_a_fault(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ITEMS + "unknown_columns: add\n")
    ingest(warehouse, dataset, FIRST, tmp_path)
    warehouse.execute("ALTER TABLE items ADD COLUMN currency integer DEFAULT 1")
    file = tmp_path / "second.csv"
    file.write_text(WIDE)
    found = preview(warehouse, dataset, Order(uuid4(), file, DAY + timedelta(days=1)))
    assert found.outcome == "failed"
    assert "is taken: currency (integer)" in found.reasons[0]
