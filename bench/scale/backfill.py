"""A year of small daily files through `airflow backfill create`, by two workers.

Each day's file holds orders of its own and corrects some of the day before. The table at the end is compared with what
the files say, row by row, and the account of each day with its file. Days are ingested side by side, in any order.

Airflow's overhead of a day is the wall time of the whole backfill by its days, less what the ingest itself took: the
seconds of plan, loads and merge in the ledger, of which two workers do two at a time.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

from bench.figures import Figure
from bench.report import Sheet
from bench.scale.cluster import Cluster, seconds_of
from bench.scale.workers import DAG, serve_the_schedule
from samples.orders import Shape, write
from stack.errors import StackError

FIRST_DAY = date(2025, 1, 1)
DAYS, QUICK_DAYS = 365, 8
ROWS, NEW_ROWS = 200, 150  # of a day; the others correct the day before
WORKERS, CONCURRENCY = 2, 4
ACTIVE_RUNS = 8
SECONDS_A_DAY, POLL_SECONDS = 10.0, 2.0  # given up after
CREATE_SECONDS = 600.0  # for the command that makes all runs


@dataclass(frozen=True)
class Found:
    """A backfill that has ended."""

    days: int
    seconds: float
    work_seconds: float  # of all days, in the ledger
    exact_days: int
    tasks: int  # processes that Airflow started
    rows: int
    cpu_seconds: float | None  # of all hosts

    @property
    def overhead_seconds(self) -> float:
        """Of a day."""
        return (self.seconds - self.work_seconds / WORKERS) / self.days


def measure(folder: Path, *, quick: bool, say: Callable[[str], None]) -> Found:
    """Files, cluster, backfill, comparison."""
    days = QUICK_DAYS if quick else DAYS
    with Cluster(folder, workers=WORKERS, concurrency=CONCURRENCY, say=say) as cluster:
        serve_the_schedule(cluster)
        files = _write_files(cluster.inbox / "orders", days)
        cluster.await_dag(DAG, paused=False)
        last = FIRST_DAY + timedelta(days=days - 1)
        began, before = time.time(), cluster.cpu_seconds
        cluster.on(
            "scheduler", "airflow", "backfill", "create", "--dag-id", DAG, "--from-date", f"{FIRST_DAY}",
            "--to-date", f"{last}", "--max-active-runs", f"{ACTIVE_RUNS}", seconds=CREATE_SECONDS,
        )  # fmt: skip
        ended = _await_end(cluster, days, say)
        after = cluster.cpu_seconds
        cpu = None if before is None or after is None else after - before
        return replace(_compare(cluster, files, ended - began), cpu_seconds=cpu)


def _write_files(folder: Path, days: int) -> dict[date, list[dict[str, str]]]:
    """A file a day; gives its rows."""
    found = {}
    for number in range(days):
        day, out = FIRST_DAY + timedelta(days=number), BytesIO()
        write(out, Shape(ROWS, seed=number, first_id=1 + number * NEW_ROWS, bad=0.0))
        (folder / f"orders_{day}.csv").write_bytes(out.getvalue())
        found[day] = list(csv.DictReader(out.getvalue().decode().splitlines(keepends=True)))
    return found


def _await_end(cluster: Cluster, days: int, say: Callable[[str], None]) -> float:
    """When the last run ended, in seconds since 1970."""
    deadline, told = time.monotonic() + days * SECONDS_A_DAY + 120, 0
    while time.monotonic() < deadline:
        done = _runs(cluster, "success", 1)["total_entries"]
        if failed := _runs(cluster, "failed", 1)["dag_runs"]:
            raise StackError(f"run {failed[0]['dag_run_id']} failed, see {cluster.place.logs}")
        if done >= days:
            return max(seconds_of(run["end_date"]) for run in _runs(cluster, "success", 20)["dag_runs"])
        if done >= told + 50:
            told = done
            say(f"  {done} days are done")
        time.sleep(POLL_SECONDS)
    raise StackError(f"the backfill of {days} days did not end in time")


def _runs(cluster: Cluster, state: str, limit: int) -> dict[str, Any]:
    found: dict[str, Any] = cluster.api.get(
        f"dags/{DAG}/dagRuns", run_type="backfill", state=state, limit=limit, order_by="-end_date"
    )
    return found


def _compare(cluster: Cluster, files: dict[date, list[dict[str, str]]], seconds: float) -> Found:
    """The table against the files, and each day's account against its own."""
    wanted: dict[int, tuple[date, Decimal, str]] = {}
    for day, rows in files.items():
        wanted.update({int(row["order_id"]): (day, Decimal(row["amount"]), row["sku"]) for row in rows})
    with cluster.warehouse() as connection:
        first = datetime.combine(FIRST_DAY, datetime.min.time(), UTC)
        runs = connection.execute(
            "SELECT (version AT TIME ZONE 'UTC')::date, read, rejected, inserted + updated + unchanged + superseded,"
            " coalesce(plan_seconds, 0) + coalesce(merge_seconds, 0)"
            " + (SELECT coalesce(sum(seconds), 0) FROM millrace.ingest_chunk c WHERE c.run_id = r.run_id)"
            " FROM millrace.ingest_run r WHERE status = 'done' AND version >= %s AND version < %s",
            [first, first + timedelta(days=len(files))],
        ).fetchall()
        last_key = len(files) * NEW_ROWS + ROWS
        table = connection.execute(
            "SELECT order_id, amount, sku FROM public.orders WHERE source_version < %s AND order_id <= %s",
            [first + timedelta(days=len(files)), last_key],
        ).fetchall()
    right = {day for day, read, rejected, rest, _ in runs if (read, rejected, rest) == (len(files[day]), 0, read)}
    held = {key: (amount, sku) for key, amount, sku in table}
    wrong = {day for key, (day, *row) in wanted.items() if held.get(key) != tuple(row)}
    if held.keys() - wanted.keys():
        raise StackError(f"{len(held.keys() - wanted.keys()):,} rows are in the table and in no file")
    work = float(sum(run[-1] for run in runs))
    return Found(len(files), seconds, work, len(right - wrong), _tasks(cluster), len(held), None)


def _tasks(cluster: Cluster) -> int:
    """Task instances that a process was started for."""
    found = cluster.api.get(f"dags/{DAG}/dagRuns/~/taskInstances", state="success", limit=1)
    return int(found["total_entries"])


def sheets(found: Found) -> list[Sheet]:
    """One line."""
    columns = ("days", "s", "s a day", "the ingest's own work, s a day", "Airflow's overhead, s a day",
               "CPU of all hosts, s a day", "tasks run", "rows in the end", "days exact")  # fmt: skip
    each = (found.seconds, found.work_seconds, found.overhead_seconds * found.days, found.cpu_seconds)
    a_day = ["" if value is None else f"{value / found.days:.2f}" for value in each]
    row = [
        f"{found.days}",
        f"{found.seconds:.0f}",
        *a_day,
        f"{found.tasks:,}",
        f"{found.rows:,}",
        f"{found.exact_days}",
    ]
    return [Sheet(f"A backfill of small daily files, {WORKERS} workers", columns, [row])]


def figures(found: Found | None) -> list[Figure]:
    """Exactness and overhead."""
    inexact = found.days - found.exact_days if found else None
    overhead = round(found.overhead_seconds, 2) if found else None
    return [
        Figure("backfill of 365 days: days that are not exact", inexact, 0, 0),
        Figure("backfill of 365 days: Airflow's overhead a day, s", overhead, 3.0, 1.5),
    ]
