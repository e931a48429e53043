"""Rows in a gap of the target's keys are inserted without a look-up, and nothing else comes out of a run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg import sql

from include.ingest.dataset.definition import Dataset, DeleteLimit
from include.ingest.errors import TargetRefused
from include.ingest.table import key_gap
from include.ingest.table.name import TableName
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, make_dataset, rows, staging_tables

STAGED = TableName("public", "staged")
EVENTS = ITEMS.replace("key: [id]", "key: [day, id]").replace("  id:", "  day: {type: date}\n  id:")
ASCENDING_KEYS = {
    "smallint": ["-3", "0", "7", "9"],
    "bigint": ["1", "2", "30", "4000000000"],
    "numeric(8,2)": ["-1.50", "0.99", "1.00", "100000.00"],
    "double precision": ["-1e300", "0.1", "0.30000000000000004", "Infinity"],
    "date": ["1999-12-31", "2000-01-01", "2026-03-01", "infinity"],
    "timestamptz": ["2026-03-29 01:00:00+00", "2026-03-29 01:00:00.000001+00", "2026-03-30 00:00+02", "2027-01-01"],
    "uuid": [f"{digit}0000000-0000-0000-0000-000000000000" for digit in "19bf"],
    "boolean": ["false", "true"],
}


def _rows_in_gap(connection: psycopg.Connection, dataset: Dataset, target: list[str], staged: list[str]) -> list[str]:
    """The staged keys that are found to be new, with these keys in the target."""
    kind = dataset.columns["id"].sql_type.name
    for table, keys in (("items", target), ("staged", staged)):
        connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute(f"CREATE TABLE {table} (id {kind} PRIMARY KEY)")
        connection.execute(
            f"INSERT INTO {table} SELECT unnest(%s::text[]::{kind}[])",
            [keys],
        )
        connection.execute(f"ANALYZE {table}")
    condition = key_gap.find_gap(connection.cursor(), dataset, STAGED)
    query = sql.SQL("SELECT id::text FROM staged s WHERE {} ORDER BY id").format(condition)
    return [key for (key,) in connection.execute(query)]


@pytest.mark.parametrize("kind", ASCENDING_KEYS)
def test_a_gap_is_found_in_keys_of_every_sort(warehouse: psycopg.Connection, tmp_path: Path, kind: str) -> None:
    dataset = make_dataset(tmp_path, ITEMS.replace("bigint", f'"{kind}"'))
    lowest, *between, highest = ASCENDING_KEYS[kind]
    held = [warehouse.execute(f"SELECT '{key}'::{kind}::text").fetchone()[0] for key in (lowest, *between, highest)]  # type: ignore[index]
    if between:
        assert _rows_in_gap(warehouse, dataset, [lowest, highest], between) == held[1:-1]
        assert _rows_in_gap(warehouse, dataset, [lowest], [*between, highest]) == held[1:]
        assert _rows_in_gap(warehouse, dataset, [highest], [lowest, *between]) == held[:-1]
        assert _rows_in_gap(warehouse, dataset, [between[0]], [lowest, *between, highest]) == held[2:]
    assert _rows_in_gap(warehouse, dataset, [highest], [lowest, highest]) == []


def test_text_and_keys_that_no_index_begins_with_are_left_alone(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    words = make_dataset(tmp_path, ITEMS.replace("bigint", "text"))
    assert _rows_in_gap(warehouse, words, ["a"], ["b", "c"]) == []
    numbers = make_dataset(tmp_path)
    assert _rows_in_gap(warehouse, numbers, ["1"], ["2", "3"]) == ["2", "3"]
    warehouse.execute("ALTER TABLE items DROP CONSTRAINT items_pkey, ADD other int DEFAULT 0")
    warehouse.execute("ALTER TABLE items ADD PRIMARY KEY (other, id)")
    assert key_gap.find_gap(warehouse.cursor(), numbers, STAGED) == sql.SQL("false")
    warehouse.execute("CREATE INDEX ON items (id) WHERE other > 0")
    assert key_gap.find_gap(warehouse.cursor(), numbers, STAGED) == sql.SQL("false")
    warehouse.execute("CREATE INDEX ON items (id)")
    assert key_gap.find_gap(warehouse.cursor(), numbers, STAGED) != sql.SQL("false")


def test_a_gap_for_few_rows_is_not_worth_a_statement(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset, held = make_dataset(tmp_path), [str(key) for key in range(100)]
    assert _rows_in_gap(warehouse, dataset, held, [*held, "100"]) == []
    assert len(_rows_in_gap(warehouse, dataset, held, [*held, *map(str, range(100, 130))])) == 30


@pytest.mark.parametrize("mode", ["upsert", "replace"])
@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("text", [ITEMS, EVENTS])
def test_a_run_ends_as_if_all_rows_were_looked_up(
    warehouse: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, older: bool, text: str
) -> None:
    dataset = make_dataset(tmp_path, text, mode=mode, delete_limit=DeleteLimit(ratio=None))
    random = Random(7)
    outcomes: list[list[Any]] = []
    files = [
        [_file(text, random, low, high) for low, high in ((100, 200), span)]
        for span in ((200, 300), (0, 100), (150, 400), (50, 120), (120, 140), (300, 301))
    ]
    for looked_up in (False, True):
        outcomes.append([])
        if looked_up:
            monkeypatch.setattr(key_gap, "LEAST_SHARE", 2.0)
        for first, second in files:
            warehouse.execute("DROP TABLE IF EXISTS items; DELETE FROM millrace.ingest_run")
            ingest(warehouse, dataset, first, tmp_path, version=DAY)
            account = ingest(warehouse, dataset, second, tmp_path, version=DAY + timedelta(days=-1 if older else 1))
            columns = ", ".join([*dataset.columns, *(["source_version"] if mode == "upsert" else [])])
            key = ", ".join(dataset.key)
            found = warehouse.execute(f"SELECT {columns} FROM items ORDER BY {key}").fetchall()
            outcomes[-1].append((counts(account), found))
    assert outcomes[0] == outcomes[1]
    assert staging_tables(warehouse) == []


def _file(text: str, random: Random, low: int, high: int) -> str:
    """Some of the keys from `low` to `high`, in any order, each with one of two labels; with a day for every 50."""
    lines = [f"{key},{random.choice('ab')},1" for key in range(low, high) if random.random() < 0.9]
    random.shuffle(lines)
    if text is ITEMS:
        return HEADER + "".join(f"{line}\n" for line in lines)
    return f"day,{HEADER}" + "".join(f"2026-01-{1 + int(line.split(',')[0]) // 50:02},{line}\n" for line in lines)


def test_rows_of_a_gap_do_not_pass_through_the_changes(
    warehouse: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[sql.Composable] = []

    def find_gap(*args: Any) -> sql.Composable:
        asked.append(key_gap.find_gap(*args))
        return asked[-1]

    monkeypatch.setattr("include.ingest.merge.find_gap", find_gap)
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, HEADER + "1,one,1\n2,two,2\n5,five,5\n", tmp_path)
    account = ingest(warehouse, dataset, HEADER + "1,ONE,1\n2,two,2\n3,three,3\n4,four,4\n", tmp_path)
    assert counts(account) == {"read": 4, "inserted": 2, "updated": 1, "unchanged": 1}
    assert [condition.as_string() for condition in asked] == ["""s."id" > '2'::bigint AND s."id" < '5'::bigint"""]
    assert [label for _, label, _ in rows(warehouse)] == ["ONE", "two", "three", "four", "five"]


@pytest.mark.parametrize("last", ["", "9,nine,9\n"])
def test_a_trigger_that_drops_rows_is_noticed(warehouse: psycopg.Connection, tmp_path: Path, last: str) -> None:
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, HEADER + "1,one,1\n" + last, tmp_path)
    warehouse.execute("CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    warehouse.execute(
        "CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW WHEN (new.label = 'drop') EXECUTE FUNCTION drop_row()"
    )
    before = rows(warehouse)
    with pytest.raises(TargetRefused, match=r"trigger t can skip or redirect rows.*'new': 2.*inserted=1"):
        ingest(warehouse, dataset, HEADER + "3,three,3\n4,drop,4\n" + last, tmp_path)
    assert rows(warehouse) == before
