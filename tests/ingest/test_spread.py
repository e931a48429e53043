"""The keys of a file read by a task a chunk: the outcome is that of a plan that reads them all."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from include.ingest import duplicates, spool, staging
from include.ingest.dataset import Dataset
from include.ingest.errors import IngestError, SourceChanged
from include.ingest.ledger import Account, account
from include.ingest.plan import Order, Plan, plan
from include.ingest.run import close, finish
from include.ingest.spread import read_chunk_keys
from tests.ingest.loading import (
    DAY,
    HEADER,
    ITEMS,
    counts,
    edit,
    ingest,
    known,
    make_dataset,
    rejected,
    rows,
    staging_tables,
)  # fmt: skip

NEXT = DAY + timedelta(days=1)


def spread_plan(connection: psycopg.Connection, dataset: Dataset, file: Path, version: datetime = DAY) -> Plan:
    """A plan that leaves the keys to others."""
    return plan(connection, dataset, Order(uuid4(), file, version, spread_bytes=0))


def read_all(connection: psycopg.Connection, dataset: Dataset, planned: Plan, chance: random.Random) -> list[bool]:
    """Read the keys of all chunks in any order, some of them twice; which call settled them."""
    chunks = [*planned.chunks, chance.choice(planned.chunks)]
    chance.shuffle(chunks)
    return [read_chunk_keys(connection, dataset, planned, chunk) for chunk in chunks]


@pytest.mark.parametrize("seed", range(12))
def test_the_outcome_is_that_of_a_plan_that_reads_all_keys(
    warehouse: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(spool, "PART_ROWS", chance.choice([7, 1 << 20]))
    monkeypatch.setattr(duplicates, "PASS_ROWS", chance.choice([50, 8_000_000]))
    changes = {
        "duplicates": chance.choice(["last", "first", "reject"]),
        "key": chance.choice([["id"], ["id"], ["label", "id"]]),
        "chunk_bytes": chance.choice([300, 900]),
        "block_bytes": 512,
    }
    one = make_dataset(tmp_path, **changes)
    other = make_dataset(tmp_path, ITEMS.replace("public.items", "public.others"), **changes)
    lines, saved = [f"{i},label {i},{i}" for i in range(150)], 0
    for day in range(3):
        lines = edit(chance, lines)
        file, version = tmp_path / f"{day}.csv", DAY + timedelta(days=day)
        file.write_text(HEADER + "\n".join(lines))
        planned = spread_plan(warehouse, one, file, version)
        assert sum(read_all(warehouse, one, planned, chance)) == 1
        accounts = [finish(warehouse, one, planned), ingest(warehouse, other, file, tmp_path, version=version)]
        assert counts(accounts[0]) == counts(accounts[1])
        assert rejected(warehouse, accounts[0]) == rejected(warehouse, accounts[1])
        assert known(warehouse, accounts[0]) == known(warehouse, accounts[1])
        everything = "id, label, price, source_version"
        assert rows(warehouse, everything) == rows(warehouse, everything, "others")
        saved += known(warehouse, accounts[0])
    assert staging_tables(warehouse) == []
    assert saved > 50, "what the last file held is known to each chunk's task"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """90 rows with three keys in pairs that are far apart."""
    path = tmp_path / "file.csv"
    path.write_text(HEADER + "".join(f"{number % 87},label {number},1\n" for number in range(90)))
    return path


def test_side_by_side_the_last_one_settles(warehouse: psycopg.Connection, dsn: str, tmp_path: Path, file: Path) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=200)
    planned = spread_plan(warehouse, dataset, file)

    def read(number: int) -> bool:
        with psycopg.connect(dsn, autocommit=True) as connection:
            return read_chunk_keys(connection, dataset, planned, planned.chunks[number])

    with ThreadPoolExecutor(len(planned.chunks)) as pool:
        assert sorted(pool.map(read, range(len(planned.chunks))))[-2:] == [False, True]
    assert counts(finish(warehouse, dataset, planned)) == {"read": 90, "inserted": 87, "superseded": 3}


def test_a_load_reads_keys_that_nobody_has_read(warehouse: psycopg.Connection, tmp_path: Path, file: Path) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=200)
    planned = spread_plan(warehouse, dataset, file)
    for chunk in planned.chunks[2:]:
        read_chunk_keys(warehouse, dataset, planned, chunk)
    assert counts(finish(warehouse, dataset, planned)) == {"read": 90, "inserted": 87, "superseded": 3}


def test_a_run_that_is_given_up_leaves_no_keys(warehouse: psycopg.Connection, tmp_path: Path, file: Path) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=200)
    planned = spread_plan(warehouse, dataset, file)
    read_chunk_keys(warehouse, dataset, planned, planned.chunks[0])
    with pytest.raises(IngestError, match="a step failed"):
        close(warehouse, planned.run_id)
    assert staging_tables(warehouse) == []


def test_a_step_that_fails_while_it_settles_leaves_the_keys_of_others(
    warehouse: psycopg.Connection, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=200)
    planned = spread_plan(warehouse, dataset, file)
    *others, last = planned.chunks
    for chunk in others:
        read_chunk_keys(warehouse, dataset, planned, chunk)
    with monkeypatch.context() as patch:
        patch.setattr(duplicates, "_losers", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            read_chunk_keys(warehouse, dataset, planned, last)
    with warehouse.cursor() as cursor:
        assert staging.chunks_with_keys(cursor, planned.run_id) == {chunk.number for chunk in others}
    assert read_chunk_keys(warehouse, dataset, planned, last)
    assert counts(finish(warehouse, dataset, planned)) == {"read": 90, "inserted": 87, "superseded": 3}


def test_keys_of_another_file_are_refused(warehouse: psycopg.Connection, tmp_path: Path, file: Path) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=200)
    planned = spread_plan(warehouse, dataset, file)
    file.write_text(file.read_text() + "500,more,1\n")
    with pytest.raises(SourceChanged, match="clear the run's `plan` task"):
        read_chunk_keys(warehouse, dataset, planned, planned.chunks[0])
    again = plan(warehouse, dataset, Order(planned.run_id, file, DAY, spread_bytes=0))
    assert read_all(warehouse, dataset, again, random.Random(1)).count(True) == 1
    assert counts(finish(warehouse, dataset, again)) == {"read": 91, "inserted": 88, "superseded": 3}


def test_when_the_last_file_changes_after_the_plan_nothing_is_known(
    warehouse: psycopg.Connection, tmp_path: Path, file: Path
) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=200)
    ingest(warehouse, dataset, file, tmp_path)
    today = tmp_path / "today.csv"
    today.write_text(file.read_text().replace("5,label 5,1", "5,new,1"))
    planned = spread_plan(warehouse, dataset, today, NEXT)
    assert planned.base is not None
    file.write_text(today.read_text() + "\n")
    read_all(warehouse, dataset, planned, random.Random(1))
    done = finish(warehouse, dataset, planned)
    assert known(warehouse, done) == 0
    assert counts(done) == {"read": 90, "updated": 1, "unchanged": 86, "superseded": 3}


def test_a_small_file_and_one_without_a_key_have_nothing_to_share(
    warehouse: psycopg.Connection, tmp_path: Path, file: Path
) -> None:
    keyless = make_dataset(tmp_path, key=[], mode="append", chunk_bytes=200, target="public.others")
    for dataset in (make_dataset(tmp_path), keyless):
        planned = spread_plan(warehouse, dataset, file)
        done: Account = finish(warehouse, dataset, planned)
        assert done.status == "done"
        with warehouse.cursor() as cursor:
            assert account(cursor, planned.run_id).read == 90
