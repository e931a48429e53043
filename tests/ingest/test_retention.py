"""What is old is deleted, and nothing that an ingest or a replay still needs: afterwards each ends as it would have."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest.dataset.definition import Dataset, DeleteLimit, RejectLimit
from include.ingest.errors import HeaderMismatch, RejectLimitExceeded
from include.ingest.ledger import Account
from include.ingest.plan import Order
from include.ingest.replay.corrections import dismiss
from include.ingest.retention import forget_rejected, forget_runs
from include.ingest.run import run
from include.retention import SETTINGS, retention
from include.warehouse import batches
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, known, make_dataset, rows
from tests.ingest.replay.rejecting import WHO, rejects, replayed, states

Warehouse = psycopg.Connection[Any]
NO_LIMIT = DeleteLimit(rows=None, ratio=None)


def aged(connection: Warehouse, days: int = 400, dataset: str | None = None) -> None:
    """Let that many days pass, for the runs of one dataset or of all."""
    passed = {"days": days, "dataset": dataset}
    connection.execute(
        "UPDATE millrace.ingest_run SET started_at = started_at - %(days)s * interval '1 day',"
        " finished_at = finished_at - %(days)s * interval '1 day' WHERE dataset = coalesce(%(dataset)s, dataset)",
        passed,
    )
    connection.execute("UPDATE millrace.rejected_row_change SET at = at - %(days)s * interval '1 day'", passed)


def clean(connection: Warehouse, *, open_days: int = 0) -> dict[str, int]:
    """A night's housekeeping, with the usual settings."""
    kept = retention({})
    return {"rejected": forget_rejected(connection, kept.rejected, open_days), **forget_runs(connection, kept.runs)}


def _text(chance: random.Random) -> str:
    """A file with some keys, some of them rejected."""
    keys = [key for key in range(8) if chance.random() < 0.7]
    return HEADER + "".join(f"{key},{chance.choice('ab')},{chance.choice(['1', '2', 'x'])}\n" for key in keys)


def _all_replayed(connection: Warehouse, dataset: Dataset, ended: Account) -> None:
    """Correct and replay all rejected rows of a run that loaded its file."""
    if ended.status == "done" and rejects(connection, ended):
        lines = {row.line_number: {"price": "3"} for row in rejects(connection, ended)}
        replayed(connection, dataset, ended, lines)


def runs(connection: Warehouse) -> set[str]:
    """The runs that the ledger has."""
    return {str(run_id) for (run_id,) in connection.execute("SELECT run_id FROM millrace.ingest_run")}


def test_only_the_last_run_of_a_table_is_needed(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    texts = [HEADER + "".join(f"{key},{day if key == 1 else 'a'},1\n" for key in range(100)) for day in range(4)]
    for day in range(3):
        ingest(warehouse, dataset, texts[day], tmp_path, version=DAY + timedelta(days=day))
    ingest(warehouse, dataset, texts[0], tmp_path, version=DAY)
    assert clean(warehouse) == {"rejected": 0, "runs": 0, "requests": 0}, "nothing is old"
    aged(warehouse)
    assert clean(warehouse)["runs"] == 2 + 1
    assert clean(warehouse)["runs"] == 0
    tomorrow = ingest(warehouse, dataset, texts[3], tmp_path, version=DAY + timedelta(days=3))
    assert counts(tomorrow) == {"read": 100, "updated": 1, "unchanged": 99}


def test_the_next_file_is_compared_with_the_last(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    first = HEADER + "".join(f"{key},a,{'x' if key == 7 else 1}\n" for key in range(1000))
    ingest(warehouse, dataset, first, tmp_path)
    ingest(warehouse, dataset, first + "2000,a,1\n", tmp_path, version=DAY + timedelta(days=1))
    aged(warehouse)
    assert clean(warehouse, open_days=1) == {"rejected": 1, "runs": 1, "requests": 0}, "those of the last run stay"
    third = ingest(warehouse, dataset, first + "2000,b,1\n", tmp_path, version=DAY + timedelta(days=2))
    assert counts(third) == {"read": 1001, "updated": 1, "unchanged": 999, "rejected": 1}
    assert known(warehouse, third) > 900
    assert (third.columns_come, third.columns_gone) == ([], [])


def test_an_old_file_is_still_known_to_be_old(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    for day, label in ((0, "a"), (2, "a")):  # the later file leaves the row as it was: only `held_key` knows of it
        ingest(warehouse, dataset, HEADER + f"1,{label},1\n", tmp_path, version=DAY + timedelta(days=day))
        aged(warehouse)
        clean(warehouse)
    between = ingest(warehouse, dataset, HEADER + "1,b,1\n", tmp_path, version=DAY + timedelta(days=1))
    assert (between.stale, rows(warehouse, "label")) == (1, [("a",)])


def test_a_file_is_not_appended_twice(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ITEMS.replace("key: [id]", "mode: append"))
    files = []
    for day in range(3):
        files.append(tmp_path / f"day{day}.csv")
        files[-1].write_text(f"{HEADER}{day},a,1\n")
        run(warehouse, dataset, Order(uuid4(), files[-1], DAY + timedelta(days=day)))
    aged(warehouse)
    assert clean(warehouse)["runs"] == 2
    again = run(warehouse, dataset, Order(uuid4(), files[0], DAY))
    assert (again.status, len(rows(warehouse))) == ("skipped", 3)


def test_settled_rows_go_and_open_ones_stay(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    first = ingest(warehouse, dataset, HEADER + "1,a,x\n2,b,y\n3,c,z\n4,d,w\n", tmp_path)
    ids = {row.line_number: row.id for row in rejects(warehouse, first)}
    replayed(warehouse, dataset, first, {2: {"price": "1"}}, ids=[ids[2]])
    dismiss(warehouse, [ids[3]], who=WHO, why="long ago")
    ingest(warehouse, dataset, HEADER + "9,z,1\n", tmp_path, version=DAY + timedelta(days=1))
    aged(warehouse, 100)
    dismiss(warehouse, [ids[4]], who=WHO, why="today")
    assert clean(warehouse) == {"rejected": 2, "runs": 0, "requests": 0}
    assert states(warehouse, first) == {4: "dismissed", 5: "open"}
    aged(warehouse)
    assert clean(warehouse)["rejected"] == 1
    assert {first.run_id} <= runs(warehouse), "its open row is to be replayed"
    third = replayed(warehouse, dataset, first, {5: {"price": "4"}})
    assert counts(third) == {"read": 1, "inserted": 1}
    assert rows(warehouse, "id, price, source_version")[:2] == [(1, 1, DAY), (4, 4, DAY)]
    last = ingest(warehouse, dataset, HEADER + "10,z,1\n", tmp_path, version=DAY + timedelta(days=2))
    aged(warehouse)
    assert clean(warehouse) == {"rejected": 1, "runs": 3, "requests": 0}, "the run, its replay, and the file between"
    assert runs(warehouse) == {last.run_id}


def test_open_rows_go_where_the_setting_says_so_and_those_of_failed_runs(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    done = ingest(warehouse, dataset, HEADER + "1,a,x\n", tmp_path)
    strict = dataset.model_copy(update={"reject_limit": RejectLimit(rows=0, ratio=None)})
    with pytest.raises(RejectLimitExceeded):
        ingest(warehouse, strict, HEADER + "2,a,y\n", tmp_path)
    ingest(warehouse, dataset, HEADER + "9,z,1\n", tmp_path, version=DAY + timedelta(days=1))
    aged(warehouse, 100)
    assert clean(warehouse)["rejected"] == 1
    assert set(states(warehouse, done).values()) == {"open"}
    assert clean(warehouse, open_days=99)["rejected"] == 1


def test_of_a_dataset_that_was_removed_no_failed_run_stays(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    done = ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path)
    for failing in (dataset, make_dataset(tmp_path, ITEMS.replace("items", "never"))):
        with pytest.raises(HeaderMismatch):
            ingest(warehouse, failing, "x\n1\n", tmp_path, version=DAY + timedelta(days=1))
    aged(warehouse, 300)
    assert clean(warehouse)["runs"] == 0
    aged(warehouse, 100)
    assert clean(warehouse)["runs"] == 2
    assert runs(warehouse) == {done.run_id}
    later = ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,1\n", tmp_path, version=DAY + timedelta(days=2))
    assert counts(later) == {"read": 2, "inserted": 1, "unchanged": 1}


def test_a_run_under_way_stays(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    done = ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path)
    warehouse.execute("UPDATE millrace.ingest_run SET status = 'waiting', finished_at = NULL")
    ingest(warehouse, dataset, HEADER + "2,a,1\n", tmp_path, version=DAY + timedelta(days=1))
    aged(warehouse)
    clean(warehouse)
    assert done.run_id in runs(warehouse)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", ["upsert", "replace"])
def test_housekeeping_between_files_changes_no_table(
    warehouse: Warehouse, tmp_path: Path, mode: str, seed: int
) -> None:
    """The same files in the same order, with and without everything old deleted after each: the tables are equal."""
    chance = random.Random(seed)
    datasets = [make_dataset(tmp_path, ITEMS.replace("items", name), mode=mode, delete_limit=NO_LIMIT) for name in "ab"]
    texts = [_text(chance) for _ in range(4)]
    for _ in range(10):
        text, version = chance.choice(texts), DAY + timedelta(days=chance.randrange(4))
        ended = [ingest(warehouse, dataset, text, tmp_path, version=version) for dataset in datasets]
        if chance.random() < 0.5:
            for pair in zip(datasets, ended, strict=True):
                _all_replayed(warehouse, *pair)
        aged(warehouse, dataset="b")
        clean(warehouse)
        assert rows(warehouse, table="a") == rows(warehouse, table="b")
    assert len(runs(warehouse)) > 10


def test_settings_are_whole_days() -> None:
    assert {name: getattr(retention({}), name) for name in SETTINGS} == {n: days for n, (_, days) in SETTINGS.items()}
    assert retention({"MILLRACE_KEEP_LOGS_DAYS": "0"}).logs == 0
    for wrong in ("-1", "1.5", "ten", "²"):
        with pytest.raises(ValueError, match=r"\$MILLRACE_KEEP_LOGS_DAYS is .*: give whole days"):
            retention({"MILLRACE_KEEP_LOGS_DAYS": wrong})


def test_a_batch_takes_no_more_and_passes_over_what_is_locked(warehouse: Warehouse, dsn: str) -> None:
    warehouse.execute("CREATE TABLE old AS SELECT n FROM generate_series(1, 10) AS n")
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM old WHERE n = 4 FOR UPDATE")
        assert batches.delete(warehouse, "old", "t.n < %(to)s", {"to": 9}, batch_rows=3) == 7
    assert [n for (n,) in warehouse.execute("SELECT n FROM old ORDER BY n")] == [4, 9, 10]
