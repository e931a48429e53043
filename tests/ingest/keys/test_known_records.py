"""Records that the last file held already: left out of the load, with the same outcome as a load of everything."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest import merge as merging
from include.ingest.dataset.definition import Dataset
from include.ingest.load import load_chunk
from include.ingest.merge import merge
from include.ingest.plan import Order, plan
from include.ingest.run import run
from tests.ingest.loading import (
    DAY,
    HEADER,
    ITEMS,
    counts,
    ingest,
    known,
    make_dataset,
    rejected,
    rows,
    staging_tables,
)  # fmt: skip

NEXT = DAY + timedelta(days=1)
CONTENT = HEADER + "".join(f'{i},"label, {i}",{i}.50\n' for i in range(1, 201))


def edit(chance: random.Random, lines: list[str]) -> list[str]:
    """Another day's lines: some changed, gone, new, repeated, bad or moved."""
    found = []
    for line in lines:
        key = line.split(",")[0]
        action = chance.choices(
            ["keep", "change", "drop", "new", "repeat", "spoil", "swap"], [80, 6, 4, 4, 3, 2, 1]
        )[0]  # fmt: skip
        if action == "drop":
            continue
        found.append({"change": f'{key},"c\n{chance.randrange(99)}",1', "spoil": f"{key},x,-1"}.get(action, line))
        if action == "new":
            found.append(f"{chance.randrange(1000, 9999)},new,1")
        if action == "repeat":
            found.append(chance.choice([line, f"{key},again,{chance.randrange(9)}"]))
        if action == "swap":
            found[-2:] = found[:-3:-1]
    if chance.random() < 0.2:  # what comes first today came later yesterday
        middle = chance.randrange(len(found) + 1)
        found = found[middle:] + found[:middle]
    return found


@pytest.fixture
def yesterday(warehouse: psycopg.Connection, tmp_path: Path) -> Path:
    """A file of 200 items, ingested."""
    file = tmp_path / "yesterday.csv"
    file.write_text(CONTENT)
    ingest(warehouse, make_dataset(tmp_path), file, tmp_path)
    return file


def test_only_what_changed_is_loaded(warehouse: psycopg.Connection, tmp_path: Path, yesterday: Path) -> None:
    before = dict(rows(warehouse, "id, xmin::text || ctid::text"))
    today = CONTENT.replace(",77.50", ",78").replace('5,"label, 5",5.50\n', "") + "201,new,1\nx,bad,1\n"
    account = ingest(warehouse, make_dataset(tmp_path), today, tmp_path, version=NEXT)
    assert counts(account) == {"read": 201, "inserted": 1, "updated": 1, "unchanged": 198, "rejected": 1}
    assert known(warehouse, account) == 198
    after = dict(rows(warehouse, "id, xmin::text || ctid::text"))
    assert {i for i in before if before[i] != after[i]} == {77}
    assert rejected(warehouse, account) == [(202, "id", "x", "type")]
    assert staging_tables(warehouse) == []
    later = ingest(warehouse, make_dataset(tmp_path), today + "y\n", tmp_path, version=NEXT + timedelta(days=1))
    assert known(warehouse, later) == 200, "a run that built on another is built upon in turn"


@pytest.mark.parametrize("policy", ["last", "first", "reject"])
def test_a_record_that_lost_yesterday_may_win_today(warehouse: psycopg.Connection, tmp_path: Path, policy: str) -> None:
    dataset = make_dataset(tmp_path, duplicates=policy)
    lines = ["1,a,1", "1,b,1", "2,a,2", "2,b,-2", "3,a,3"]
    ingest(warehouse, dataset, HEADER + "\n".join(lines), tmp_path)
    ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,-2\n3,a,3\n", tmp_path, version=NEXT)
    assert rows(warehouse, "id, label") == [(1, "a"), (2, "a"), (3, "a")]
    ingest(warehouse, dataset, HEADER + "1,b,1\n2,a,2\n3,a,3\n3,c,3\n", tmp_path, version=NEXT + timedelta(days=1))
    assert rows(warehouse, "id, label") == [(1, "b"), (2, "a"), (3, {"last": "c"}.get(policy, "a"))]


@pytest.mark.parametrize("seed", range(12))
def test_the_outcome_is_that_of_a_load_of_everything(warehouse: psycopg.Connection, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    policy = chance.choice(["last", "first", "reject"])
    changes: dict[str, Any] = {
        "duplicates": policy,
        "chunk_bytes": chance.choice([400, 3000, 10**6]),
        "block_bytes": 512,
    }
    dataset = make_dataset(tmp_path, **changes)
    other = make_dataset(tmp_path, ITEMS.replace("public.items", "public.others"), **changes)
    lines, saved = [f"{i},label {i},{i}" for i in range(150)], 0
    for day in range(4):
        lines = edit(chance, lines)
        end = chance.choice(["\n", ""])
        file = tmp_path / f"{day}.csv"
        file.write_text(HEADER + "\n".join(lines) + end)
        accounts = []
        for which in (dataset, other):
            accounts.append(ingest(warehouse, which, file, tmp_path, version=DAY + timedelta(days=day)))
        warehouse.execute("UPDATE others SET price = price WHERE id = (SELECT min(id) FROM others)")
        assert counts(accounts[0]) == counts(accounts[1])
        assert rejected(warehouse, accounts[0]) == rejected(warehouse, accounts[1])
        everything = "id, label, price, source_version"
        assert rows(warehouse, everything) == rows(warehouse, everything, "others")
        assert known(warehouse, accounts[1]) == 0
        saved += known(warehouse, accounts[0])
    assert saved > 100


Change = Callable[[psycopg.Connection, Path], Any]


def _statement(text: str) -> Change:
    return lambda connection, file: connection.execute(text)


def _rewritten(connection: psycopg.Connection, file: Path) -> None:
    """Other bytes under the same size and time."""
    times = file.stat()
    file.write_text(CONTENT.replace("label, 8", "LABEL, 8"))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def _moved_between(connection: psycopg.Connection, file: Path) -> None:
    """A transaction that began before yesterday's run writes afterwards, with an older number than the run's."""
    early = psycopg.connect(connection.info.dsn, password=connection.info.password)
    early.execute("SELECT pg_current_xact_id()")
    ingest(connection, make_dataset(file.parent), CONTENT.replace(",9.50", ",9.75"), file.parent, version=DAY)
    early.execute("UPDATE items SET label = 'theirs' WHERE id = 8")
    early.commit()
    early.close()


TOUCHED: dict[str, Change] = {
    "a row was changed": _statement("UPDATE items SET label = 'theirs' WHERE id = 8"),
    "a row was deleted": _statement("DELETE FROM items WHERE id = 8"),
    "a row was added": _statement("INSERT INTO items (id) VALUES (999)"),
    "a row was replaced": _statement("WITH d AS (DELETE FROM items WHERE id = 8) INSERT INTO items (id) VALUES (999)"),
    "a column lost its values": _statement("ALTER TABLE items DROP COLUMN label; ALTER TABLE items ADD label text"),
    "an old transaction wrote late": _moved_between,
    "the last file is gone": lambda connection, file: file.unlink(),
    "the last file is another": _rewritten,
    "rejected rows were purged": _statement("UPDATE millrace.ingest_run SET rejected = rejected + 1, read = read + 1"),
    "losers were purged": _statement("UPDATE millrace.ingest_run SET superseded = superseded + 1, read = read + 1"),
    "a trigger changes rows": _statement(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION f()"
    ),
}


@pytest.mark.parametrize("change", TOUCHED)
def test_everything_is_loaded_when(warehouse: psycopg.Connection, tmp_path: Path, yesterday: Path, change: str) -> None:
    TOUCHED[change](warehouse, yesterday)
    today = CONTENT.replace(",77.50", ",78")
    account = ingest(warehouse, make_dataset(tmp_path), today, tmp_path, version=NEXT)
    assert known(warehouse, account) == 0
    assert (account.read, account.superseded, account.rejected) == (200, 0, 0)
    assert dict(rows(warehouse, "id, label"))[8] == "label, 8"


@pytest.mark.parametrize(("small", "later"), [(1 << 20, 201), (0, 0)])
def test_a_table_far_larger_than_its_file_is_not_read_for_the_next_run(
    warehouse: psycopg.Connection, tmp_path: Path, yesterday: Path, monkeypatch: pytest.MonkeyPatch, small: int,
    later: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(merging, "SMALL_TABLE", small)
    monkeypatch.setattr(merging, "TIMES_THE_FILE", 0)
    warehouse.execute("UPDATE items SET label = 'by hand' WHERE id = 8")
    dataset, again = make_dataset(tmp_path), CONTENT + "201,new,1\n"
    assert known(warehouse, ingest(warehouse, dataset, again, tmp_path, version=NEXT)) == 0
    account = ingest(warehouse, dataset, again + "202,new,1\n", tmp_path, version=NEXT + timedelta(days=1))
    assert known(warehouse, account) == later
    assert counts(account) == {"read": 202, "inserted": 1, "unchanged": 201}


@pytest.mark.parametrize("other", [
    {"mode": "replace"}, {"duplicates": "first"}, {"clean": "tests.ingest.keys.test_known_records:same"},
])  # fmt: skip
def test_another_dataset_file_loads_everything(
    warehouse: psycopg.Connection, tmp_path: Path, yesterday: Path, other: dict[str, Any]
) -> None:
    dataset = make_dataset(tmp_path, **other)
    account = ingest(warehouse, dataset, CONTENT.replace(",77.50", ",78"), tmp_path, version=NEXT)
    assert known(warehouse, account) == 0
    assert (account.unchanged, account.updated) == (199, 1)


def same(frame: Any) -> Any:
    """A hook that does nothing."""
    return frame


def test_columns_in_another_order_load_everything(
    warehouse: psycopg.Connection, tmp_path: Path, yesterday: Path
) -> None:
    turned = "".join(",".join(reversed(line.split("|"))) + "\n" for line in ["id|label|price", "2|b|2", "3|c|3"])
    account = ingest(warehouse, make_dataset(tmp_path), turned, tmp_path, version=NEXT)
    assert known(warehouse, account) == 0
    assert counts(account) == {"read": 2, "updated": 2}


def test_a_row_touched_after_the_plan_is_set_right(
    warehouse: psycopg.Connection, tmp_path: Path, yesterday: Path
) -> None:
    dataset = make_dataset(tmp_path)
    today = tmp_path / "today.csv"
    today.write_text(CONTENT.replace(",77.50", ",78"))
    planned = plan(warehouse, dataset, Order(uuid4(), today, NEXT))
    assert planned.base is not None
    for chunk in planned.chunks:
        assert load_chunk(warehouse, dataset, planned, chunk)["known"] == 199
    warehouse.execute("UPDATE items SET label = 'theirs' WHERE id = 8")
    account = merge(warehouse, dataset, planned)
    assert counts(account) == {"read": 200, "updated": 2, "unchanged": 198}
    assert known(warehouse, account) == 0
    assert dict(rows(warehouse, "id, label"))[8] == "label, 8"
    assert staging_tables(warehouse) == []


def test_a_run_under_way_is_not_built_upon(warehouse: psycopg.Connection, tmp_path: Path, yesterday: Path) -> None:
    """In a backfill several runs are planned before the first is merged."""
    dataset: Dataset = make_dataset(tmp_path)
    first, second = (tmp_path / f"{name}.csv" for name in ("first", "second"))
    first.write_text(CONTENT.replace(",77.50", ",78"))
    second.write_text(CONTENT.replace(",77.50", ",79"))
    planned = plan(warehouse, dataset, Order(uuid4(), first, NEXT))
    account = run(warehouse, dataset, Order(uuid4(), second, NEXT + timedelta(days=1)))
    assert known(warehouse, account) == 0
    for chunk in planned.chunks:
        load_chunk(warehouse, dataset, planned, chunk)
    assert counts(merge(warehouse, dataset, planned)) == {"read": 200, "unchanged": 199, "superseded": 1}
    assert dict(rows(warehouse, "id, price"))[77] == 79


def test_a_forced_run_sees_that_a_column_lost_its_values(
    warehouse: psycopg.Connection, tmp_path: Path, yesterday: Path
) -> None:
    warehouse.execute("ALTER TABLE items DROP COLUMN label")
    warehouse.execute("ALTER TABLE items ADD label text")
    account = ingest(warehouse, make_dataset(tmp_path), yesterday, tmp_path, version=NEXT, force=True)
    assert counts(account) == {"read": 200, "updated": 200}
    assert dict(rows(warehouse, "id, label"))[8] == "label, 8"
