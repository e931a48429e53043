"""Replays killed at any moment, under a server that crashes, two at once, and beside a load: nothing or all, once."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.ingest.dataset_file import load_dataset
from include.ingest.errors import CorrectionRefused
from include.ingest.ledger import Account
from include.ingest.replay.corrections import correct
from stack.postgres import PostgresServer
from tests.ingest.loading import DAY, HEADER, ITEMS, ingest, make_dataset, staging_tables
from tests.ingest.replay.steps import do_ingest, do_replay

Warehouse = psycopg.Connection[Any]
FORK = multiprocessing.get_context("fork")  # as Airflow starts its tasks
ROWS, STILL_BAD = 6_000, 200  # rejected rows, and those of them that the relaxed rule rejects, too
RELAXED = ITEMS.replace("min: 0", "min: -9000")
TABLE = "SELECT count(*), md5(string_agg(format('%s %s %s %s', id, label, price, source_version), ',' ORDER BY id))"


@pytest.fixture
def relaxed(tmp_path: Path) -> Path:
    """The dataset after a rule was relaxed."""
    folder = tmp_path / "relaxed"
    folder.mkdir()
    (folder / "items.yaml").write_text(RELAXED)
    return folder / "items.yaml"


@pytest.fixture
def first(warehouse: Warehouse, tmp_path: Path) -> Account:
    """A run of 1,000 good rows and ROWS bad ones, of which some have the key of a good one."""
    good = "".join(f"{number},good,1\n" for number in range(1_000))
    bad = "".join(f"{number},bad,-{number + 1}\n" for number in range(900, 900 + ROWS - STILL_BAD))
    worse = "".join(f"{number},worse,-9{number}\n" for number in range(20_000, 20_000 + STILL_BAD))
    return ingest(warehouse, make_dataset(tmp_path), HEADER + good + bad + worse, tmp_path)


def state(connection: Warehouse, first: Account) -> tuple[Any, ...]:
    """All that a replay of the run changes."""
    return (
        connection.execute(f"{TABLE} FROM items").fetchone(),
        connection.execute(
            "SELECT state, replay_run IS NULL, count(*) FROM millrace.rejected_row WHERE run_id = %s GROUP BY 1, 2",
            [first.run_id],
        ).fetchall(),
        connection.execute(
            "SELECT status, read, inserted, superseded, rejected FROM millrace.ingest_run"
            " WHERE replay_of = %s AND status = 'done'",
            [first.run_id],
        ).fetchall(),
        connection.execute(
            "SELECT count(*), count(earlier), count(DISTINCT earlier) FROM millrace.rejected_row WHERE run_id <> %s",
            [first.run_id],
        ).fetchone(),
        staging_tables(connection),
    )


DONE = [("done", ROWS, ROWS - STILL_BAD - 100, 100, STILL_BAD)]


def all_of_it(found: tuple[Any, ...]) -> bool:
    """Whether the replay is done, once."""
    table, states, runs, again, staged = found
    whole = table[0] == 1_000 + ROWS - STILL_BAD - 100 and states == [("replayed", False, ROWS)] and staged == []
    return bool(whole and runs == DONE and again == (STILL_BAD,) * 3)


def test_killed_at_any_moment(warehouse: Warehouse, dsn: str, first: Account, relaxed: Path) -> None:
    nothing, source, deaths = state(warehouse, first), random.Random(5), 0
    for number in range(1, 26):
        process = FORK.Process(target=do_replay, args=[dsn, str(relaxed), first.run_id])
        process.start()
        # Later and later, so that some are killed on any machine, and at the end one comes through.
        process.join(source.uniform(0.0, 0.05 * number) if number < 25 else 60)
        process.kill()
        process.join(60)
        found = settled(warehouse, first)
        if process.exitcode == 0:
            break
        deaths += 1
        if found != nothing:  # killed between its commit and its end
            assert all_of_it(found)
            break
    assert deaths > 0
    assert all_of_it(state(warehouse, first))


def settled(connection: Warehouse, first: Account) -> tuple[Any, ...]:
    """The state when the server has noticed that a client is gone."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for _ in range(500):
        if connection.execute(query).fetchone() == (0,):
            return state(connection, first)
        time.sleep(0.02)
    raise AssertionError("the server goes on with a client that was killed")


def test_the_server_crashes_in_the_middle(
    postgres: PostgresServer, warehouse: Warehouse, dsn: str, first: Account, relaxed: Path
) -> None:
    nothing = state(warehouse, first)
    process = FORK.Process(target=do_replay, args=[dsn, str(relaxed), first.run_id])
    process.start()
    time.sleep(0.3)
    postgres.stop("immediate")
    postgres.start()
    process.join(60)
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert process.exitcode == 0 or state(connection, first) == nothing
        do_replay(dsn, str(relaxed), first.run_id)
        assert all_of_it(state(connection, first))


def together(*processes: BaseProcess) -> None:
    """Run them at once."""
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_two_at_once(warehouse: Warehouse, dsn: str, first: Account, relaxed: Path) -> None:
    together(*(FORK.Process(target=do_replay, args=[dsn, str(relaxed), first.run_id]) for _ in range(3)))
    assert all_of_it(state(warehouse, first))
    others = "SELECT status, read, reason FROM millrace.ingest_run WHERE replay_of = %s AND status <> 'done'"
    for status, read, reason in warehouse.execute(others, [first.run_id]).fetchall():
        assert (status, read) == ("skipped", 0)
        assert f"nothing to replay: of the rejected rows are {ROWS:,} replayed by run" in reason


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_beside_a_load(
    warehouse: Warehouse, dsn: str, first: Account, relaxed: Path, tmp_path: Path, days: int
) -> None:  # fmt: skip
    """Whichever comes first, the table is as by versions; of equal ones, a record as it was yields to the file's."""
    file = tmp_path / "other.csv"
    file.write_text(HEADER + "".join(f"{number},other,5\n" for number in range(800, 5_000)))
    load = [dsn, str(relaxed), str(file), (DAY + timedelta(days=days)).isoformat()]
    together(
        FORK.Process(target=do_replay, args=[dsn, str(relaxed), first.run_id]),
        FORK.Process(target=do_ingest, args=load),
    )
    labels = dict(warehouse.execute("SELECT label, count(*)::int FROM items GROUP BY 1").fetchall())
    last = 900 + ROWS - STILL_BAD  # of the bad keys
    if days < 0:
        assert labels == {"good": 1_000, "bad": last - 1_000}
    else:
        assert labels == {"good": 800, "other": 4_200, "bad": last - 5_000}
    assert staging_tables(warehouse) == []
    broken = warehouse.execute("SELECT reason FROM millrace.ingest_run WHERE status NOT IN ('done', 'skipped')")
    assert broken.fetchall() == []


def test_a_correction_waits_for_a_replay_under_way(
    warehouse: Warehouse, dsn: str, first: Account, relaxed: Path
) -> None:
    """It is refused then, as the row is not open any more, instead of being lost."""
    found = warehouse.execute("SELECT max(id) FROM millrace.rejected_row WHERE run_id = %s", [first.run_id]).fetchone()
    assert found is not None
    told: list[str] = []

    def correcting() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            try:
                correct(connection, load_dataset(relaxed), found[0], who="ann", fields={"price": "1"})
            except CorrectionRefused as error:
                told.append(str(error))

    replaying = threading.Thread(target=do_replay, args=[dsn, str(relaxed), first.run_id])
    threads = [replaying, threading.Thread(target=correcting)]
    with psycopg.connect(dsn) as reader:
        reader.execute("LOCK TABLE items IN SHARE MODE")  # so that the replay waits, with all rows loaded
        for number, thread in enumerate(threads, 1):
            thread.start()
            waiting(warehouse, number)
    for thread in threads:
        thread.join(60)
    assert told == [f"rejected row {found[0]} is replayed: only an open one can be corrected"]
    assert all_of_it(state(warehouse, first))


def waiting(connection: Warehouse, number: int) -> None:
    """Wait until so many others wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(1_000):
        if connection.execute(query).fetchone() == (number,):
            return
        time.sleep(0.02)
    raise AssertionError(f"not {number} wait")
