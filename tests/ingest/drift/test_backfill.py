"""Six days whose columns change half-way, ingested in and out of order. PostgreSQL says what the table holds; what it
ought to hold comes from a model of a few lines, which knows of days and rows and of nothing else.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.ingest.errors import HeaderMismatch
from tests.ingest.loading import DAY, ingest, make_dataset, staging_tables

DATASET = """
name: items
source: "{{{{ inbox }}}}/items_{{{{ ds }}}}.csv"
target: public.items
{key}
mode: {mode}
unknown_columns: {unknown}
missing_columns: null
{rescue}
columns:
  id: {{type: bigint}}
  label: {{type: text, nullable: true, source: [title, label]}}
  note: {{type: text, nullable: true}}
  grade: {{type: smallint, default: "7"}}
chunk_bytes: 40
reject_limit: {{rows: null, ratio: null}}
delete_limit: {{ratio: 1}}
"""
# Day 4 renames label, loses note and grade, brings currency and turns the columns round; day 6 has lost currency again.
HEADERS = [
    ["id", "label", "note", "grade"],
    ["id", "label", "note", "grade"],
    ["grade", "note", "id", "label"],
    ["Currency Code", "title", "id"],
    ["Currency Code", "title", "id", "x-y"],
    ["id", "title", "note"],
]
ORDERS = {
    "in order": [0, 1, 2, 3, 4, 5],
    "backwards": [5, 4, 3, 2, 1, 0],
    "mixed": [3, 0, 5, 1, 4, 2],
    "twice": [0, 3, 3, 5, 1, 4, 3, 2, 0],
}
LABELS = ("a", "b", "", "c,d", 'e"f')
Row = dict[str, Any]


@dataclass(frozen=True)
class Day:
    """A day's file."""

    number: int
    header: list[str]
    rows: list[list[str]]

    @property
    def text(self) -> str:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.header, *self.rows])
        return out.getvalue()


def make_days(seed: int) -> list[Day]:
    """Rows with few different values, so that many a row is unchanged from one day to the next."""
    source = random.Random(seed)
    values: dict[str, Callable[[], str]] = {
        "grade": lambda: str(source.randrange(6, 8)),
        "Currency Code": lambda: source.choice(["EUR", "EUR", ""]),
        "x-y": lambda: source.choice(["1", ""]),
    }
    days = []
    for number, header in enumerate(HEADERS):
        keys = source.sample(range(20), 14)
        rows = [
            [str(key) if name == "id" else values.get(name, lambda: source.choice(LABELS))() for name in header]
            for key in keys
        ]
        days.append(Day(number, header, rows))
    return days


def expected_row(day: Day, cells: Sequence[str], unknown: str) -> Row:
    """What a day's record is in the table, by what the dataset says in words."""
    held = dict(zip(day.header, cells, strict=True))
    row: Row = {
        "id": int(held["id"]),
        "label": held.get("title", held.get("label")) or None,
        "note": held.get("note") or None,
        "grade": int(held.get("grade", "7")),
    }
    others = {name: held[name] for name in ("Currency Code", "x-y") if held.get(name)}
    if unknown == "add":
        row |= {"currency_code": others.get("Currency Code"), "x_y": others.get("x-y")}
    if unknown == "rescue":
        row["other"] = others or None
    return row


def expected_table(days: Sequence[Day], order: Sequence[int], mode: str, unknown: str) -> list[Row]:
    """What the table ought to hold once these days have come in this order."""
    done = [days[number] for number in dict.fromkeys(order) if not (unknown == "fail" and number in (3, 4))]
    if mode == "append":
        return [expected_row(day, cells, unknown) for day in done for cells in day.rows]
    if mode == "replace":
        done = [max(done, key=lambda day: day.number)]
    newest = {
        cells[day.header.index("id")]: expected_row(day, cells, unknown)
        for day in sorted(done, key=lambda day: day.number)
        for cells in day.rows
    }
    return list(newest.values())


def table(connection: psycopg.Connection[Any], names: Sequence[str]) -> list[Row]:
    found = connection.execute(f"SELECT {', '.join(names)} FROM items").fetchall()
    return [dict(zip(names, row, strict=True)) for row in found]


def by_text(rows: list[Row]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


MODES = ("upsert", "replace", "append")
CASES = [
    *product(("add", "rescue"), MODES, ORDERS),
    *product(("ignore", "fail"), ["upsert"], ORDERS),
    *product(("ignore", "warn", "fail"), ["replace", "append"], ["mixed"]),
]


@pytest.mark.parametrize(("unknown", "mode", "order"), CASES)
def test_a_backfill_over_days_whose_columns_change(
    warehouse: psycopg.Connection[Any], tmp_path: Path, unknown: str, mode: str, order: str
) -> None:
    rescue = "rescue_column: other" if unknown == "rescue" else ""
    key = "" if mode == "append" else "key: [id]"
    dataset = make_dataset(tmp_path, DATASET.format(mode=mode, unknown=unknown, rescue=rescue, key=key))
    days = make_days(len(order) + len(mode))
    files = [tmp_path / f"{day.number}.csv" for day in days]
    for day, file in zip(days, files, strict=True):
        file.write_text(day.text)
    for number in ORDERS[order]:
        version = DAY + timedelta(days=number)
        if unknown == "fail" and number in (3, 4):
            before = by_text(table(warehouse, ["id", "label"])) if number != ORDERS[order][0] else None
            with pytest.raises(HeaderMismatch, match=r"Currency Code"):
                ingest(warehouse, dataset, files[number], tmp_path, version=version)
            assert before is None or before == by_text(table(warehouse, ["id", "label"]))
            continue
        account = ingest(warehouse, dataset, files[number], tmp_path, version=version)
        assert account.status in ("done", "skipped")
        assert account.rejected == 0
    wanted = expected_table(days, ORDERS[order], mode, unknown)
    names = list(wanted[0])
    found = table(warehouse, [name for name in names if name in columns(warehouse)])
    for row in found:
        row |= dict.fromkeys(name for name in names if name not in row)  # never added, as no file brought it
    assert by_text(found) == by_text(wanted)
    assert staging_tables(warehouse) == []


def columns(connection: psycopg.Connection[Any]) -> list[str]:
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = 'items'"
    return [name for (name,) in connection.execute(query)]
