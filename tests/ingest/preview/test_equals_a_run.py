"""A preview's counts are what the table itself shows after the real run on the same state, and those of its account.

The outside judge is PostgreSQL: the table before and after is compared by plain SQL that the engine has no part in.
"""

from __future__ import annotations

import gzip
import random
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest.dataset.definition import Dataset, DeleteLimit, RejectLimit
from include.ingest.errors import DeleteLimitExceeded, IngestError, RejectLimitExceeded
from include.ingest.plan import Order
from include.ingest.preview.look import preview
from include.ingest.preview.result import Preview
from include.ingest.run import run
from tests.ingest.loading import DAY, HEADER, ITEMS, ingest, make_dataset

NEXT, LATER = DAY + timedelta(days=1), DAY + timedelta(days=2)
APPEND = ITEMS.replace("key: [id]\n", "mode: append\n")
BY_COLUMN = ITEMS.replace("key: [id]\n", "key: [id]\nversion: price\n").replace(
    'price: {type: "numeric(8,2)", nullable: true, min: 0}', "price: {type: integer, min: 0}"
)
TWO_KEYS = ITEMS.replace("key: [id]", "key: [label, id]").replace("text, nullable: true", "text")
KINDS = """
name: items
source: x.csv
target: public.items
key: [id]
columns:
  id: {type: uuid}
  flag: {type: boolean, nullable: true}
  small: {type: smallint, nullable: true}
  real: {type: real, nullable: true}
  float: {type: double precision, nullable: true}
  exact: {type: "numeric(30,10)", nullable: true}
  day: {type: date, nullable: true}
  clock: {type: time, nullable: true}
  local: {type: timestamp, nullable: true}
  moment: {type: timestamptz, nullable: true}
  raw: {type: bytea, nullable: true}
  text: {type: text, nullable: true}
  short: {type: varchar(5), nullable: true}
  plain: {type: json, nullable: true}
  packed: {type: jsonb, nullable: true}
"""


def look(
    connection: psycopg.Connection[Any], dataset: Dataset, data: str | Path, folder: Path, **order: Any
) -> Preview:
    """A preview of `data`, which is written to a file unless it is one."""
    sample = order.pop("sample", None)
    file = data if isinstance(data, Path) else written(data, folder)
    return preview(connection, dataset, Order(uuid4(), file, order.pop("version", DAY), **order), sample=sample)


def written(data: str, folder: Path) -> Path:
    file = folder / f"{uuid4().hex}.csv"
    file.write_text(data)
    return file


def snapshot(connection: psycopg.Connection[Any], columns: str) -> dict[str, list[Any]]:
    """The table's rows by key, with the address of each, which only a row that is written anew changes."""
    exists = connection.execute("SELECT to_regclass('public.items')").fetchone()
    if exists is None or exists[0] is None:
        return {}
    query = f"SELECT ({columns})::text, md5(row_to_json(i)::text), ctid::text FROM items i"
    return {key: rest for key, *rest in connection.execute(query)}


def judged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, int]:
    """What plain comparison of the table says: rows that came, changed, went."""
    return {
        "inserted": len(after.keys() - before.keys()),
        "updated": sum(before[key] != after[key] for key in before.keys() & after.keys()),
        "deleted": len(before.keys() - after.keys()),
    }


def both(
    connection: psycopg.Connection[Any], dataset: Dataset, data: str, folder: Path,
    version: datetime = DAY, *, force: bool = False,
) -> Preview:  # fmt: skip
    """Preview, then run, and compare the two and the table."""
    file = written(data, folder)
    found = look(connection, dataset, file, folder, version=version, force=force)
    key = f"{', '.join(dataset.key)}" if dataset.key else "ctid"
    before = snapshot(connection, key)
    try:
        account = run(connection, dataset, Order(uuid4(), file, version, force))
    except (RejectLimitExceeded, DeleteLimitExceeded):
        assert (found.outcome, found.over_limit) == ("failed", True)
        assert snapshot(connection, key) == before
        return found
    except IngestError:
        assert (found.outcome, found.over_limit) == ("failed", False)
        return found
    assert found.outcome == account.status
    assert asdict(found.counts) == {name: getattr(account, name) for name in asdict(found.counts)}
    table = judged(before, snapshot(connection, key))
    assert {name: getattr(found.counts, name) for name in table} == table
    return found


def items(*rows: str) -> str:
    return HEADER + "".join(f"{row}\n" for row in rows)


CASES = [
    pytest.param(ITEMS, {}, id="upsert"),
    pytest.param(ITEMS, {"duplicates": "first"}, id="upsert, first"),
    pytest.param(ITEMS, {"duplicates": "reject"}, id="upsert, reject"),
    pytest.param(ITEMS, {"mode": "replace", "delete_limit": DeleteLimit(rows=None, ratio=None)}, id="replace"),
    pytest.param(ITEMS, {"mode": "replace", "delete_limit": DeleteLimit(rows=2, ratio=None)}, id="replace, limit"),
    pytest.param(
        ITEMS,
        {"mode": "replace", "duplicates": "reject", "delete_limit": DeleteLimit(rows=None, ratio=None)},
        id="replace, reject",
    ),
    pytest.param(APPEND, {}, id="append"),
    pytest.param(BY_COLUMN, {}, id="version by column"),
    pytest.param(TWO_KEYS, {}, id="two key columns"),
    pytest.param(ITEMS, {"reject_limit": RejectLimit(rows=1, ratio=None)}, id="reject limit"),
]


@pytest.mark.parametrize(("text", "changes"), CASES)
def test_counts_are_those_of_the_run(
    warehouse: psycopg.Connection[Any], tmp_path: Path, text: str, changes: dict[str, Any]
) -> None:
    dataset = make_dataset(tmp_path, text, **changes)
    lots = [
        (DAY, items("1,one,1", "2,two,2", "3,three,3", "4,four,4", "5,five,5")),
        (NEXT, items("1,one,1", "2,TWO,2", "6,six,6", "6,sechs,6", "x,no,1", "7,seven,-1", "3,three,3,3")),
        (DAY, items("2,zwei,1", "3,drei,2", "8,eight,8")),  # an older file
        (LATER, items("1,uno,9", "4,,4", "5,bad,bad", "4,,4", "9,nine,9")),
        (NEXT, items("9,neun,1", "1,one,1", "1,one,1")),  # from in between: some of it was confirmed
        (LATER, items()),
    ]
    for version, data in lots:
        both(warehouse, dataset, data, tmp_path, version)


@pytest.mark.parametrize("seed", range(12))
def test_counts_are_those_of_the_run_for_files_made_at_random(
    warehouse: psycopg.Connection[Any], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    mode = chance.choice(["upsert", "upsert", "replace"])
    dataset = make_dataset(
        tmp_path, mode=mode, duplicates=chance.choice(["last", "first", "reject"]),
        delete_limit=DeleteLimit(rows=None, ratio=None), block_bytes=1 << 16, chunk_bytes=chance.choice([64, 1 << 20]),
    )  # fmt: skip
    for _ in range(6):
        rows = [
            f"{chance.choice([chance.randrange(40), chance.randrange(40), 'x'])},{chance.choice('abc')}"
            f",{chance.choice(['1', '2.5', '', '-1'])}"
            for _ in range(chance.randrange(60))
        ]
        both(
            warehouse,
            dataset,
            items(*rows),
            tmp_path,
            DAY + timedelta(days=chance.randrange(4)),
            force=chance.random() < 0.3,
        )


def test_every_type_is_compared_as_the_run_compares_it(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, KINDS, reject_limit=RejectLimit(rows=None, ratio=None))
    header = ",".join(dataset.columns) + "\n"
    key = "00000000-0000-0000-0000-00000000000"
    rest = (
        "true,-5,1.5,NaN,123456789.0000000001,2026-02-28,23:59:59.5,2026-02-28 10:00:00,2026-02-28T10:00:00+02:00"
        ',\\x00ff,zwölf,abcde,"{""a"": 1}","{""b"": [1, null]}"'
    )
    first = header + "".join(f"{key}{n},{rest}\n" for n in range(4)) + f"{key}9{14 * ','}\n"
    assert both(warehouse, dataset, first, tmp_path).counts.inserted == 5
    assert both(warehouse, dataset, first + "\n", tmp_path, NEXT, force=True).counts.unchanged == 5
    changed = first.replace("zwölf", "elf", 1).replace("[1, null]", "[1,null]", 2).replace('""a"": 1', '""a"":1', 3)
    found = both(warehouse, dataset, changed, tmp_path, LATER)
    assert (found.counts.updated, found.counts.unchanged) == (3, 2), "jsonb is equal whatever its spaces, json is not"


def test_first_rows_are_as_the_table_prints_them(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    data = items("1,one,1", "2,,2.5", "1,last,", "x,y,z", "3,drei,3.10")
    found = look(warehouse, dataset, data, tmp_path)
    ingest(warehouse, dataset, data, tmp_path)
    printed = warehouse.execute("SELECT id::text, label, price::text FROM items ORDER BY id").fetchall()
    assert sorted(tuple(row) for row in found.first_rows) == printed
    assert found.columns == ["id", "label", "price"]


def test_a_target_of_partitions(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    warehouse.execute(
        "CREATE TABLE items (id bigint PRIMARY KEY, label text, price numeric(8,2)) PARTITION BY RANGE (id)"
    )
    warehouse.execute("CREATE TABLE items_low PARTITION OF items FOR VALUES FROM (0) TO (10)")
    warehouse.execute("CREATE TABLE items_high PARTITION OF items FOR VALUES FROM (10) TO (100)")
    dataset = make_dataset(tmp_path, mode="replace", delete_limit=DeleteLimit(rows=None, ratio=None))
    ingest(warehouse, dataset, items(*(f"{n},a,1" for n in range(1, 20))), tmp_path)
    file = written(items(*(f"{n},b,1" for n in range(5, 15)), "17,b,-1", "17,c,-1", "18,b,1,1"), tmp_path)
    found = look(warehouse, dataset, file, tmp_path, version=NEXT)
    account = run(warehouse, dataset, Order(uuid4(), file, NEXT))
    assert asdict(found.counts) == {name: getattr(account, name) for name in asdict(found.counts)}
    assert found.counts.deleted == 7, "1 to 4, 15, 16 and 19; 17 and 18 stay, as their records are rejected"
    assert warehouse.execute("SELECT count(*) FROM items").fetchone() == (12,)


def test_a_sample_says_so_and_judges_its_records_only(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=50)
    ingest(warehouse, dataset, items("1,one,1", "2,two,2"), tmp_path)
    data = items("1,uno,1", "x,y,z", "2,two,2", "3,three,3", *(f"{n},many,1" for n in range(100, 900)))
    found = look(warehouse, dataset, data, tmp_path, version=NEXT, sample=4)
    counts = found.counts
    assert (found.sample, counts.read) == (4, 4)
    assert (counts.updated, counts.unchanged, counts.inserted, counts.rejected) == (1, 1, 1, 1)
    whole = look(warehouse, dataset, data, tmp_path, version=NEXT, sample=5000)
    assert (whole.sample, whole.counts.read) == (None, 804)
    replaced = look(warehouse, dataset.model_copy(update={"mode": "replace"}), data, tmp_path, version=NEXT, sample=4)
    assert replaced.counts.deleted is None, "what the rest of the file holds is not known"


@pytest.mark.parametrize("sample", [1, 2, 3, 7, 20])
def test_a_sample_counts_records_in_any_cut(warehouse: psycopg.Connection[Any], tmp_path: Path, sample: int) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.csv").write_text(items("", *(f'{10 * number + n},"a\nb",1\n' for n in range(5))))
    dataset = make_dataset(tmp_path, chunk_bytes=40)
    found = look(warehouse, dataset, folder, tmp_path, sample=sample)
    assert (found.counts.read, found.counts.inserted, found.counts.rejected) == (sample, sample, 0)


def test_the_same_file_would_be_skipped(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset, file = make_dataset(tmp_path), written(items("1,one,1"), tmp_path)
    ingest(warehouse, dataset, file, tmp_path)
    found = look(warehouse, dataset, file, tmp_path)
    assert (found.outcome, found.counts.read, found.first_rows) == ("skipped", 0, [["1", "one", "1.00"]])
    assert look(warehouse, dataset, file, tmp_path, force=True).counts.unchanged == 1
    warehouse.execute("UPDATE items SET label = 'other'")
    assert look(warehouse, dataset, file, tmp_path).counts.updated == 1, "the table does not hold it any more"


HOOK = """
def clean(frame):
    frame["label"] = frame["label"].str.upper()
    frame["id"] = frame["id"].where(frame["label"] != "MOVED", 77)
    return frame[frame["label"] != "DROP"]
"""


@pytest.mark.parametrize("mode", ["upsert", "replace"])
def test_a_hook_cleans_as_in_the_run(
    warehouse: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    module = f"cleaner_{uuid4().hex}"
    (tmp_path / f"{module}.py").write_text(HOOK)
    monkeypatch.setenv("MILLRACE_DATASETS", str(tmp_path))
    dataset = make_dataset(
        tmp_path, clean=f"{module}:clean", mode=mode, delete_limit=DeleteLimit(rows=None, ratio=None)
    )
    both(warehouse, dataset, items("1,a,1", "2,drop,2", "3,c,3", "4,d,4"), tmp_path)
    found = both(warehouse, dataset, items("1,A,1", "3,drop,3", "5,moved,3", "6,moved,3"), tmp_path, NEXT)
    assert (found.counts.inserted, found.counts.superseded, found.counts.rejected) == (1, 1, 1)
    assert ("clean", 1) in [(rule.rule, rule.rows) for rule in found.rejects]


@pytest.mark.parametrize("mode", ["upsert", "replace"])
def test_a_table_that_was_there_before(warehouse: psycopg.Connection[Any], tmp_path: Path, mode: str) -> None:
    warehouse.execute("CREATE TABLE items (price numeric(8,2), more text, label text, id bigint UNIQUE)")
    warehouse.execute("INSERT INTO items (id, label, price) VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)")
    dataset = make_dataset(tmp_path, mode=mode, delete_limit=DeleteLimit(rows=None, ratio=None))
    data = items("1,one,1.00", "2,zwei,2", "4,four,4", "3,x,y")
    file = written(data, tmp_path)
    found = look(warehouse, dataset, file, tmp_path)
    account = run(warehouse, dataset, Order(uuid4(), file, DAY))
    assert asdict(found.counts) == {name: getattr(account, name) for name in asdict(found.counts)}
    assert (found.counts.unchanged, found.counts.updated, found.counts.inserted) == (1, 1, 1)


def test_an_older_file_that_can_not_be_placed(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ITEMS.replace("label: {type: text, nullable: true}", "label: {type: text}"))
    warehouse.execute(
        "CREATE TABLE items (id bigint, label text, price numeric(8,2), PRIMARY KEY (id), UNIQUE (id, label))"
    )
    wide = dataset.model_copy(update={"key": ["id", "label"]})
    ingest(warehouse, wide, items("1,one,1", "2,two,2"), tmp_path, version=DAY)
    ingest(warehouse, wide, items("1,one,1"), tmp_path, version=LATER)
    found = both(warehouse, dataset, items("1,eins,1"), tmp_path, NEXT)
    assert found.outcome == "failed"
    assert "can't be told which rows it confirmed" in found.reasons[0]
    assert both(warehouse, dataset, items("3,drei,1"), tmp_path, NEXT).outcome == "done"


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_files_of_a_folder(warehouse: psycopg.Connection[Any], tmp_path: Path, pack: Any) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(3):
        lines = items(*(f"{n},f{number},1" for n in range(number, number + 4)), f"x{number},a,1")
        (folder / f"{number}.csv").write_bytes(pack(lines.encode()))
    dataset = make_dataset(tmp_path)
    found = look(warehouse, dataset, folder, tmp_path)
    account = run(warehouse, dataset, Order(uuid4(), folder, DAY))
    assert asdict(found.counts) == {name: getattr(account, name) for name in asdict(found.counts)}
    assert (found.files, found.counts.inserted, found.counts.superseded, found.counts.rejected) == (3, 6, 6, 3)
    places = warehouse.execute("SELECT file, line_number FROM millrace.rejected_row ORDER BY file").fetchall()
    assert [(one.file, one.line) for rule in found.rejects for one in rule.first] == places
