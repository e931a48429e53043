"""`./run bench replay`: corrected rows into a large table, and pages of a million rejected rows.

A server of its own, with the settings of the local stack. A file with about as many bad rows as are to be replayed
fills the table; each bad row is corrected, then all are replayed. Another dataset has nothing but rejected rows, of
which pages are read, each choice several times.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, ClassVar
from uuid import UUID, uuid4

import psycopg

from bench import harness
from bench.figures import Figure, Row, rounded
from bench.report import Sheet
from include.ingest.dataset.definition import Dataset, RejectLimit
from include.ingest.dataset_file import load_dataset
from include.ingest.ledger import Account
from include.ingest.plan import Order
from include.ingest.replay.corrections import correct
from include.ingest.replay.download import as_csv
from include.ingest.replay.listing import RejectedRow, count_by_rule, rejected
from include.ingest.replay.replay_run import replay
from include.ingest.run import run
from samples.orders import Shape, write
from stack import databases
from stack.errors import StackError
from stack.ports import free_port
from stack.postgres import PostgresServer
from stack.settings import REPOSITORY

WHO = "bench"
PASSWORDS = {"airflow": "airflow-bench", "ingest": "ingest-bench"}
GOOD = {
    "customer_id": "1", "placed_at": "2026-01-01T00:00:00Z", "status": "new", "amount": "1.00", "quantity": "1",
}  # fmt: skip
REST = "1,2026-01-01T00:00:00Z,new,EUR,1.00,1,SKU-1,a@example.com,true,,"  # of a record that is cut short
COUNTS = "counts by rule"
TIMES = 15  # that a page is read
Found = dict[str, Any]


@contextmanager
def warehouse(folder: Path) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a warehouse on a server of its own; both are gone at the end."""
    server = PostgresServer(folder / "data", free_port())
    if server.running():
        server.stop()
    shutil.rmtree(folder / "data", ignore_errors=True)
    server.start()
    try:
        databases.prepare(server.dsn(), PASSWORDS)
        dsn = server.dsn("warehouse", "ingest", PASSWORDS["ingest"])
        databases.migrate_warehouse(dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield connection
    finally:
        server.destroy()


def ingest(
    connection: psycopg.Connection[Any], dataset: Dataset, file: Path, shape: Shape
) -> tuple[Account, float]:  # fmt: skip
    """Write a file, ingest it, remove it; the account and the seconds that the ingest took."""
    with file.open("wb") as out:
        write(out, shape)
    order, began = Order(uuid4(), file, datetime(2026, 3, 1, tzinfo=UTC)), time.monotonic()
    try:
        return run(connection, dataset, order), time.monotonic() - began
    finally:
        file.unlink()


def mend(connection: psycopg.Connection[Any], dataset: Dataset, row: RejectedRow) -> None:
    """Correct one row."""
    if row.column_name:
        correct(connection, dataset, row.id, who=WHO, fields={row.column_name: GOOD[row.column_name]})
    else:
        key = row.raw.split(",", 1)[0]
        correct(connection, dataset, row.id, who=WHO, raw=f"{key},{REST}")


def everything(connection: psycopg.Connection[Any], run_id: UUID) -> Iterator[RejectedRow]:
    """All rejected rows of a run."""
    after = None
    while page := rejected(connection, run_id=run_id, after=after, limit=1_000):
        yield from page
        after = page[-1].id


def measure_replay(bench: harness.Bench) -> Found:
    """Fill the table, correct, replay."""
    rows = bench.options.rows or (200_000 if bench.quick else 36_000_000)
    wanted = bench.options.corrected or (1_000 if bench.quick else 10_000)
    dataset = load_dataset(REPOSITORY / "include" / "datasets" / "orders.yaml")
    bench.title = f"Replay: {wanted:,} corrected rows into {rows:,}"
    with warehouse(bench.folder) as connection:
        bench.say(f"  {rows:,} rows are loaded")
        first, seconds = ingest(connection, dataset, bench.folder / "orders.csv", Shape(rows, bad=wanted / rows))
        bench.say(f"  loaded in {seconds:.0f} s; {first.rejected:,} rejected rows are corrected")
        began = time.monotonic()
        for row in list(everything(connection, UUID(first.run_id))):
            mend(connection, dataset, row)
        mended = time.monotonic() - began
        began = time.monotonic()
        done = replay(connection, dataset, UUID(first.run_id), who=WHO)
        seconds_of_replay = time.monotonic() - began
        if done.rejected or done.read != first.rejected:
            raise StackError(f"the replay is not as it should be: {done}")
        bench.say(f"  replayed in {seconds_of_replay:.2f} s: {done.inserted:,} inserted, {done.updated:,} updated")
        size = connection.execute("SELECT pg_total_relation_size('orders') / 1e9").fetchone()
        return {
            "rows": first.inserted, "table, GB": float(size[0]) if size else None, "load, s": seconds,
            "corrected": done.read, "correct one, ms": 1000 * mended / max(1, done.read),
            "replay, s": seconds_of_replay, "inserted": done.inserted, "updated": done.updated,
        }  # fmt: skip


def sheets_of_replay(found: Found) -> list[Sheet]:
    """One row."""
    row: Row = {name: rounded(value, 4) for name, value in found.items()}
    return [Sheet.of("Corrected rows into a large table", "", {"replay": row})]


def figures_of_replay(found: Found | None) -> list[Figure]:
    """The promise."""
    rows, corrected = (found["rows"], found["corrected"]) if found else (36_000_000, 10_000)
    name = f"replay of {corrected:,} corrected rows into {rows:,}, s"
    return [Figure(name, rounded(found["replay, s"] if found else None, 3), 10.0, 3.0, unit="s", full_size=True)]


def measure_pages(bench: harness.Bench) -> Found:
    """Nothing but rejected rows, and pages of them."""
    rows = bench.options.rejected or (50_000 if bench.quick else 1_000_000)
    dataset = load_dataset(REPOSITORY / "include" / "datasets" / "orders.yaml")
    dataset = dataset.model_copy(update={"reject_limit": RejectLimit(rows=None, ratio=None)})
    with warehouse(bench.folder) as connection:
        file = bench.folder / "bad.csv"
        few, _ = ingest(connection, dataset, file, Shape(rows // 10, seed=2, bad=1.0))
        account, seconds = ingest(connection, dataset, file, Shape(rows, seed=1, bad=1.0))
        run_id, name = UUID(account.run_id), dataset.name
        replay(connection, dataset, run_id, who=WHO, rule="fields")
        connection.execute("VACUUM ANALYZE millrace.rejected_row")
        middle = connection.execute("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY id) FROM millrace.rejected_row")
        (half,) = middle.fetchone() or (None,)
        pages: dict[str, Callable[[], Any]] = {
            "first page": lambda: rejected(connection),
            "of the dataset": lambda: rejected(connection, dataset=name),
            "of the older run": lambda: rejected(connection, run_id=UUID(few.run_id)),
            "in the middle": lambda: rejected(connection, after=half),
            "by rule": lambda: rejected(connection, dataset=name, rule="allowed"),
            "open ones by rule": lambda: rejected(connection, run_id=run_id, rule="type", state="open"),
            "of which there are none": lambda: rejected(connection, run_id=run_id, rule="fields", state="open"),
            "dismissed ones": lambda: rejected(connection, dataset=name, state="dismissed"),
        }
        found: Found = {what: [timed(page) for _ in range(TIMES)] for what, page in pages.items()}
        found[COUNTS] = [timed(lambda: count_by_rule(connection, dataset=name)) for _ in range(TIMES)]
        bytes_of_file = 0
        began = time.monotonic()
        for part in as_csv(connection, dataset, run_id=run_id):
            bytes_of_file += len(part)
        bench.say(f"  {rows:,} rejected in {seconds:.0f} s; downloaded in {time.monotonic() - began:.1f} s")
        bench.raw["download"] = {"bytes": bytes_of_file, "s": time.monotonic() - began, "rows": rows}
        return found


def timed(act: Callable[[], Any]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)


def sheets_of_pages(found: Found) -> list[Sheet]:
    """Median and longest of each choice."""
    rows: dict[str, Row] = {
        what: {"median, ms": rounded(median(taken), 1), "longest, ms": rounded(max(taken), 1)}
        for what, taken in found.items()
    }
    return [Sheet.of("Pages of 100 rejected rows", "page", rows)]


def figures_of_pages(found: Found | None) -> list[Figure]:
    """The slowest choice of a page."""
    value = max(median(taken) for what, taken in found.items() if what != COUNTS) if found else None
    counts = median(found[COUNTS]) if found else None
    return [
        Figure("page of a million rejected rows, the slowest choice, ms", rounded(value, 1), 50, 10, unit="ms"),
        Figure("a million rejected rows counted by rule, ms", rounded(counts, 1), 1000, 300, unit="ms"),
    ]


class Bench(harness.Bench):
    """The benchmark of rejected rows and their replay."""

    name = "replay"
    parts: ClassVar[harness.Parts] = {
        "pages": [harness.PartOf(measure_pages, sheets_of_pages, figures_of_pages)],
        "replay": [harness.PartOf(measure_replay, sheets_of_replay, figures_of_replay)],
    }
    packages = ("psycopg", "pyarrow")
    busy_means = "all figures are larger"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """How much there is to do."""
        parser.add_argument("--rows", type=int, help="rows of the file that fills the table (36,000,000; 200,000)")
        parser.add_argument("--corrected", type=int, help="rows to correct and replay (10,000; 1,000)")
        parser.add_argument("--rejected", type=int, help="rejected rows to page through (1,000,000; 50,000)")
