"""Steps killed at any moment, a server that restarts or crashes: the target ends as after a clean run."""

from __future__ import annotations

import gzip
import multiprocessing
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from include.ingest.dataset_file import load_dataset
from include.ingest.plan import read_plan
from samples import orders
from stack.postgres import PostgresServer, StopMode
from tests.ingest.loading import DAY, ingest, staging_tables
from tests.ingest.steps import do_step

REPOSITORY = Path(__file__).parents[2]
DATASET = REPOSITORY / "include" / "datasets" / "orders.yaml"
CHECKSUM = "SELECT count(*), md5(string_agg(orders::text, '' ORDER BY order_id)) FROM (SELECT {} FROM orders) orders"
COLUMNS = ", ".join(orders.COLUMNS)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60,000 orders with repeated keys and bad rows, about 8 MB."""
    path = tmp_path_factory.mktemp("orders") / "orders.csv"
    with path.open("wb") as out:
        orders.write(out, orders.Shape(rows=60_000, seed=7))
    return path


@pytest.fixture
def small_chunks(tmp_path: Path) -> Path:
    """The orders dataset, cut into four chunks."""
    copy = tmp_path / "orders.yaml"
    copy.write_text(DATASET.read_text() + "\nchunk_bytes: 2200000\nblock_bytes: 65536\n")
    return copy


Trouble = Callable[[BaseProcess], None]
FORK = multiprocessing.get_context("fork")  # as Airflow starts its tasks


class Attempts:
    """Runs the steps of one run in processes, each again until it succeeds."""

    def __init__(self, dsn: str, dataset: Path, file: Path) -> None:
        self.run_id = uuid4()
        self.arguments = [dsn, str(dataset), str(file), str(self.run_id), DAY.isoformat()]
        self.deaths = 0

    def step(self, name: str, trouble: Trouble | None = None, *, most: int = 4) -> None:
        """Try a step with trouble `most` times at the most, then let it be."""
        for attempt in range(most + 4):
            process = FORK.Process(target=do_step, args=[*self.arguments, name])
            process.start()
            if trouble and attempt < most:
                trouble(process)
            process.join(120)
            if process.exitcode == 0:
                return
            self.deaths += 1
        raise AssertionError(f"{name} never succeeded")

    def run(self, trouble: Trouble, chunks: int) -> None:
        self.step("plan", trouble)
        for number in range(chunks):
            self.step(str(number), trouble)
        self.step("merge", trouble)


def finished(connection: psycopg.Connection) -> Iterator[object]:
    """What must be the same after any trouble."""
    yield connection.execute(CHECKSUM.format(COLUMNS)).fetchone()
    yield connection.execute(
        "SELECT status, read, inserted + updated + unchanged, superseded, rejected FROM millrace.ingest_run"
    ).fetchall()
    yield connection.execute(
        "SELECT count(*), md5(string_agg(line_number || reason || raw, '' ORDER BY line_number))"
        " FROM millrace.rejected_row"
    ).fetchone()
    yield staging_tables(connection)


@pytest.fixture
def expected(warehouse: psycopg.Connection, file: Path, small_chunks: Path, tmp_path: Path) -> list[object]:
    """The outcome of one clean run, after which the warehouse is as it was."""
    ingest(warehouse, load_dataset(small_chunks), file, tmp_path)
    result = list(finished(warehouse))
    warehouse.execute("DROP TABLE orders; DELETE FROM millrace.ingest_run")
    return result


def killer(seed: int) -> Trouble:
    """SIGKILL after a random while, from start-up to the end of a step: as long as the last step took that got away."""
    source, longest = random.Random(seed), 0.6

    def trouble(process: BaseProcess) -> None:
        nonlocal longest
        began = time.monotonic()
        process.join(source.uniform(0.01, longest))
        escaped = not process.is_alive()
        process.kill()
        longest = time.monotonic() - began if escaped else min(1.5 * longest, 0.6)

    return trouble


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_steps_killed_at_any_moment(
    warehouse: psycopg.Connection, dsn: str, file: Path, small_chunks: Path, expected: list[object], seed: int,
    full: bool,
) -> None:  # fmt: skip
    if full:
        _stand_in_the_way(warehouse, small_chunks)
    attempts = Attempts(dsn, small_chunks, file)
    attempts.run(killer(seed), chunks=4)
    assert attempts.deaths > 0
    if full:
        warehouse.execute("DELETE FROM orders WHERE order_id = -1")
    assert list(finished(warehouse)) == expected


def test_a_packed_file_whose_steps_are_killed(
    warehouse: psycopg.Connection, dsn: str, file: Path, small_chunks: Path, expected: list[object], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    packed = tmp_path / "orders.csv.gz"
    packed.write_bytes(gzip.compress(file.read_bytes(), 1))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    attempts = Attempts(dsn, small_chunks, packed)
    attempts.run(killer(3), chunks=4)
    assert attempts.deaths > 0
    assert list(finished(warehouse)) == expected
    assert not list(tmp_path.glob("millrace-ingest-*/*")), "nothing unpacked is left"


def _stand_in_the_way(connection: psycopg.Connection, dataset: Path) -> None:
    """Fill the target with a row, so that the run is merged instead of promoted."""
    from include.ingest.table import target

    model = load_dataset(dataset)
    with connection.cursor() as cursor:
        target.create(cursor, model, target.identifier(model))
        target.add_key(cursor, model, target.identifier(model))
    values = "-1, 1, now(), 'new', 'EUR', 1, 1, 'a', NULL, true, NULL, NULL"
    connection.execute(f"INSERT INTO orders ({COLUMNS}) VALUES ({values})")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
@pytest.mark.parametrize("full", [False, True])
def test_the_server_restarts_in_the_middle(
    postgres: PostgresServer, warehouse: psycopg.Connection, dsn: str, file: Path, small_chunks: Path,
    expected: list[object], mode: StopMode, full: bool,
) -> None:  # fmt: skip
    if full:
        _stand_in_the_way(warehouse, small_chunks)
    attempts = Attempts(dsn, small_chunks, file)
    attempts.step("plan")

    def restart(_: object) -> None:
        time.sleep(0.25)
        postgres.stop(mode)
        postgres.start()

    for number in range(4):
        attempts.step(str(number), restart if number in (1, 3) else None, most=1)
    attempts.step("merge", restart, most=1)
    with psycopg.connect(dsn, autocommit=True) as connection:
        if full:
            connection.execute("DELETE FROM orders WHERE order_id = -1")
        assert list(finished(connection)) == expected


def test_the_same_chunk_loaded_twice_at_once(
    warehouse: psycopg.Connection, dsn: str, file: Path, small_chunks: Path, expected: list[object]
) -> None:
    """As when a task that was given up for dead still runs beside its retry."""
    attempts = Attempts(dsn, small_chunks, file)
    attempts.step("plan")
    threads = [threading.Thread(target=attempts.step, args=[str(number)]) for number in [*range(4)] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    planned = read_plan(warehouse, attempts.run_id)
    assert len(planned.chunks) == 4
    attempts.step("merge")
    assert list(finished(warehouse)) == expected


def test_readers_see_the_old_table_or_the_new(
    warehouse: psycopg.Connection, dsn: str, file: Path, small_chunks: Path, tmp_path: Path
) -> None:
    dataset = load_dataset(small_chunks)
    ingest(warehouse, dataset, file, tmp_path)
    before = warehouse.execute("SELECT count(*), sum(amount) FROM orders").fetchone()
    changed = tmp_path / "changed.csv"
    with changed.open("wb") as out:
        orders.write(out, orders.Shape(rows=60_000, seed=7, changed=0.5, new=0.2))
    seen, stop = set(), threading.Event()

    def read() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not stop.is_set():
                seen.add(connection.execute("SELECT count(*), sum(amount) FROM orders").fetchone())

    reader = threading.Thread(target=read)
    reader.start()
    ingest(warehouse, dataset, changed, tmp_path)
    stop.set()
    reader.join(30)
    after = warehouse.execute("SELECT count(*), sum(amount) FROM orders").fetchone()
    assert before != after
    assert before in seen
    assert seen <= {before, after}
