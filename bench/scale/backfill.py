"""A year of small daily files through `airflow backfill create`, by two workers.

Each day's file holds orders of its own and corrects some of the day before. The table at the end is compared with what
the files say, row by row, and the account of each day with its file. Days are ingested side by side, in any order.

Airflow's overhead of a day is the wall time of the whole backfill by its days, less what the ingest itself took: the
seconds of plan, loads and merge in the ledger, of which two workers do two at a time.
"""

from __future__ import annotations

import csv
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path

from bench.airflow import Json, seconds_of, wait_for
from bench.figures import Figure, Row, rounded
from bench.harness import Bench
from bench.place import serve_the_schedule
from bench.report import Sheet
from bench.runs import DAG
from bench.scale.cluster import Cluster
from bench.scale.workers import SCHEDULED_ID, SCHEDULED_ROWS
from samples.orders import Shape, write
from stack.errors import StackError

FIRST_DAY = date(2025, 1, 1)
DAYS, QUICK_DAYS = 365, 8
ROWS, NEW_ROWS = 200, 150  # of a day; the others correct the day before
WORKERS, CONCURRENCY = 2, 4
ACTIVE_RUNS = 8
EXACT, OVERHEAD = "days exact", "Airflow's overhead, s a day"
SECONDS_A_DAY, POLL_SECONDS = 10.0, 2.0  # given up after
CREATE_SECONDS = 600.0  # for the command that makes all runs


def measure(bench: Bench) -> Row:
    """Files, cluster, backfill, comparison."""
    days = QUICK_DAYS if bench.quick else DAYS
    with Cluster(bench.folder, workers=WORKERS, concurrency=CONCURRENCY, say=bench.say) as cluster:
        serve_the_schedule(cluster.inbox, SCHEDULED_ROWS, SCHEDULED_ID)
        files = _write_files(cluster.inbox / "orders", days)
        cluster.airflow.await_dag(DAG, paused=False)
        last = FIRST_DAY + timedelta(days=days - 1)
        began, before = time.time(), cluster.cpu_seconds
        cluster.on(
            "scheduler", "airflow", "backfill", "create", "--dag-id", DAG, "--from-date", f"{FIRST_DAY}",
            "--to-date", f"{last}", "--max-active-runs", f"{ACTIVE_RUNS}", seconds=CREATE_SECONDS,
        )  # fmt: skip
        ended = _await_end(cluster, days)
        after = cluster.cpu_seconds
        cpu = None if before is None or after is None else after - before
        return _compare(cluster, files, ended - began, cpu)


def _write_files(folder: Path, days: int) -> dict[date, list[dict[str, str]]]:
    """A file a day; gives its rows."""
    found = {}
    for past in range(days):
        day, out = FIRST_DAY + timedelta(days=past), BytesIO()
        write(out, Shape(ROWS, seed=past, first_id=1 + past * NEW_ROWS, bad=0.0))
        (folder / f"orders_{day}.csv").write_bytes(out.getvalue())
        found[day] = list(csv.DictReader(out.getvalue().decode().splitlines(keepends=True)))
    return found


def _await_end(cluster: Cluster, days: int) -> float:
    """When the last run ended, in seconds since 1970."""

    def ended() -> list[Json]:
        runs = cluster.airflow.runs(DAG, run_type="backfill", state=["success", "failed"])
        if failed := [run["dag_run_id"] for run in runs if run["state"] == "failed"]:
            raise StackError(f"run {failed[0]} failed, see {cluster.place.logs}")
        return runs if len(runs) >= days else []

    runs = wait_for(ended, days * SECONDS_A_DAY + 120, POLL_SECONDS)
    if not runs:
        raise StackError(f"the backfill of {days} days did not end in time")
    return max(seconds_of(run["end_date"]) for run in runs)


def _compare(cluster: Cluster, files: dict[date, list[dict[str, str]]], seconds: float, cpu: float | None) -> Row:
    """The table against the files, and each day's account against its own."""
    wanted = {
        int(row["order_id"]): (day, Decimal(row["amount"]), row["sku"]) for day, rows in files.items() for row in rows
    }
    first = datetime.combine(FIRST_DAY, datetime.min.time(), UTC)
    with cluster.warehouse() as connection:
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
    # Task instances that a process was started for.
    tasks = cluster.airflow.api.get(f"dags/{DAG}/dagRuns/~/taskInstances", state="success", limit=1)["total_entries"]
    days = len(files)
    return {
        "days": days, "s": seconds, "s a day": seconds / days, "the ingest's own work, s a day": work / days,
        OVERHEAD: (seconds - work / WORKERS) / days, "CPU of all hosts, s a day": cpu and cpu / days,
        "tasks run": int(tasks), "rows in the end": len(held), EXACT: len(right - wrong),
    }  # fmt: skip


def sheets(found: Row) -> list[Sheet]:
    """One line."""
    return [Sheet.of(f"A backfill of small daily files, {WORKERS} workers", "", [found])]


def figures(found: dict[str, float] | None) -> list[Figure]:
    """Exactness and overhead."""
    days, inexact = (int(found["days"]), found["days"] - found[EXACT]) if found else (DAYS, None)
    overhead = rounded(found[OVERHEAD] if found else None, 2)
    return [
        Figure(f"backfill of {days} days: days that are not exact", inexact, 0, 0, unit="days"),
        Figure(f"backfill of {DAYS} days: Airflow's overhead a day, s", overhead, 3.0, 1.5, unit="s", full_size=True),
    ]
