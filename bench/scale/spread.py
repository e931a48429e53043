"""Two parts on a cluster: one worker and two, with the same share of a core each (`workers`); a year of small daily
files through `airflow backfill create`, by two workers (`backfill`).

Each worker gets an eighth of a core, by a quota of the kernel on all that its host runs; database and Airflow get what
is left of a small machine, of which a merge, one backend, can use one core. The larger the worker's share, the less a
second worker brings. 2 GB are one file, whose plan is one task and can't be shared; and four, each the run of a day.

In the backfill, each day's file corrects some of the day before. The table at the end is compared with the files, row
by row, and each day's account with its file. Airflow's overhead of a day is the wall time of the whole by its days,
less plan, loads and merge in the ledger, of which two workers do two at a time.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from io import BytesIO
from itertools import count

from bench.airflow import Json, seconds_of, span, wait_for
from bench.figures import Figure, Row, Runs, rounded
from bench.files import SEED, File, make, make_one
from bench.harness import Bench, PartOf
from bench.measure import Sampler
from bench.place import serve_the_schedule, target_ddl
from bench.report import Sheet
from bench.runs import DAG
from bench.scale.cluster import Cluster
from include.ingest.dataset_file import load_dataset
from samples.orders import Shape, rows_for, write
from stack.errors import StackError
from stack.settings import REPOSITORY

CORES = 0.125  # of each worker
MEGABYTES, QUICK_MEGABYTES = 2000.0, 300.0
FILES = 4
REPEAT = 2  # of one file; four files take so long that once must do
SCHEDULED_ROWS, SCHEDULED_ID = 200, 1_000_000_000  # far from all others
RUN_SECONDS, BUSY_SECONDS = 900.0, 4.0
ONE_FILE, FOUR_FILES = "one file", "four files"
OWN_DAYS = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in count())  # a run each
RELEASE = """
import sys
from airflow.providers.celery.executors.celery_executor import app
done = getattr(app.control, sys.argv[1])("default", destination=["celery@worker-2"], reply=True, timeout=20)
sys.exit(not done)
"""
FIRST_DAY = date(2025, 1, 1)
DAYS, QUICK_DAYS = 365, 8
ROWS, NEW_ROWS = 200, 150  # of a day; the others correct the day before
BACKFILL_WORKERS, CONCURRENCY, ACTIVE_RUNS = 2, 4, 8
EXACT, OVERHEAD = "days exact", "Airflow's overhead, s a day"
SECONDS_A_DAY, POLL_SECONDS = 10.0, 2.0  # given up after
CREATE_SECONDS = 600.0  # for the command that makes all runs


def measure_workers(bench: Bench) -> Runs:
    """Each shape with two workers and with one, in turn."""
    found, megabytes = Runs(), QUICK_MEGABYTES if bench.quick else MEGABYTES
    files = bench.folder.parent / "files"
    whole, rows = make(files, megabytes, ["dirty"])["dirty"], rows_for(megabytes / FILES * 1e6)
    parts = [
        make_one(files / f"orders-{megabytes:g}mb-{SEED}-part-{number}.csv",
                 Shape(rows, SEED + number, first_id=1 + number * rows)) for number in range(FILES)
    ]  # fmt: skip

    def run(shape: str, group: Sequence[File], workers: int) -> Row:
        cluster.on("worker-1", "python", "-c", RELEASE, "add_consumer" if workers == 2 else "cancel_consumer")
        time.sleep(3)  # what the second worker has asked for already times out
        done = _timed(cluster, group, {f"worker-{number}" for number in range(1, workers + 1)})
        bench.say(f"  {shape}, workers: {workers}: {done['all, s']:.1f} s")
        return done

    with Cluster(bench.folder, workers=2, concurrency=1, say=bench.say) as cluster:
        small = serve_the_schedule(cluster.inbox, SCHEDULED_ROWS, SCHEDULED_ID)
        cluster.airflow.await_dag(DAG, paused=False)
        _timed(cluster, [File(small, small.stat().st_size, SCHEDULED_ROWS, 0)] * 2)
        cluster.limit(CORES)
        one = {f"{ONE_FILE}, {workers}": partial(run, ONE_FILE, [whole], workers) for workers in (2, 1)}
        four = {f"{FOUR_FILES}, {workers}": partial(run, FOUR_FILES, parts, workers) for workers in (2, 1)}
        found.take_turns(one | four, 1)
        found.take_turns(one, 0 if bench.quick else REPEAT - 1)
    return found


def _timed(cluster: Cluster, files: Sequence[File], loaders: set[str] | None = None) -> Row:
    """Ingest these files side by side into a fresh table. Raises StackError when others than the loaders loaded."""
    airflow = cluster.airflow
    airflow.await_idle(DAG, once=True, seconds=RUN_SECONDS)
    with cluster.warehouse() as connection:
        connection.execute("DROP TABLE IF EXISTS public.orders")
        connection.execute(target_ddl(load_dataset(REPOSITORY / "include" / "datasets" / "orders.yaml")))
    for file in files:
        file.warm()
    with Sampler({"warehouse": lambda _: cluster.processes("warehouse-db")}) as sampler:
        began = time.time()
        runs = [
            airflow.trigger(DAG, {"logical_date": f"{next(OWN_DAYS):%FT%TZ}", "conf": {"path": str(file.path)}})
            for file in files
        ]
        ends = [seconds_of(airflow.await_end(DAG, run, RUN_SECONDS)["end_date"]) for run in runs]
    tasks = [task for run in runs for task in airflow.tasks(DAG, run)]
    hosts = {str(task["hostname"]) for task in tasks if task["task_id"] == "load" and task["start_date"]}
    if loaders and hosts != loaders:
        raise StackError(f"{', '.join(sorted(loaders))} were to load, and {', '.join(sorted(hosts))} did")
    row: Row = {"all, s": max(ends) - began}
    for name in ("plan", "load", "merge"):
        begin, end = span(tasks, name) or (0.0, 0.0)
        row[f"{name}, s"] = end - begin
    return row | {"warehouse's cores at the most": sampler.trace.most_cores("warehouse", BUSY_SECONDS)}


def figures_of_workers(found: Runs | None) -> list[Figure]:
    """Speed-ups."""
    wanted = (
        (ONE_FILE, "load, s", "loads of one file of 2 GB"),
        (FOUR_FILES, "all, s", "2 GB in four files, whole runs"),
        (ONE_FILE, "all, s", "2 GB in one file, whole run"),
    )
    found = found or Runs()
    return [
        Figure(f"1 to 2 workers, speed-up: {name}", found.ratio(f"{shape}, 1", f"{shape}, 2", part), 1.6, 1.85,
               "higher", full_size=True)
        for shape, part, name in wanted
    ]  # fmt: skip


def measure_backfill(bench: Bench) -> Row:
    """Files, cluster, backfill, comparison."""
    days = QUICK_DAYS if bench.quick else DAYS
    with Cluster(bench.folder, workers=BACKFILL_WORKERS, concurrency=CONCURRENCY, say=bench.say) as cluster:
        serve_the_schedule(cluster.inbox, SCHEDULED_ROWS, SCHEDULED_ID)
        files = {}
        for past in range(days):
            day, out = FIRST_DAY + timedelta(days=past), BytesIO()
            write(out, Shape(ROWS, seed=past, first_id=1 + past * NEW_ROWS, bad=0.0))
            (cluster.inbox / "orders" / f"orders_{day}.csv").write_bytes(out.getvalue())
            files[day] = list(csv.DictReader(out.getvalue().decode().splitlines(keepends=True)))
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
        OVERHEAD: (seconds - work / BACKFILL_WORKERS) / days, "CPU of all hosts, s a day": cpu and cpu / days,
        "tasks run": int(tasks), "rows in the end": len(held), EXACT: len(right - wrong),
    }  # fmt: skip


def figures_of_backfill(found: dict[str, float] | None) -> list[Figure]:
    """Exactness and overhead."""
    days, inexact = (int(found["days"]), found["days"] - found[EXACT]) if found else (DAYS, None)
    overhead = rounded(found[OVERHEAD] if found else None, 2)
    return [
        Figure(f"backfill of {days} days: days that are not exact", inexact, 0, 0, unit="days"),
        Figure(f"backfill of {DAYS} days: Airflow's overhead a day, s", overhead, 3.0, 1.5, unit="s", full_size=True),
    ]


WORKERS = PartOf(
    measure_workers,
    lambda found: [Sheet.of(f"One worker and two, each with {CORES:g} of a core", "shape, workers", found.medians())],
    figures_of_workers,
)
BACKFILL = PartOf(
    measure_backfill,
    lambda found: [Sheet.of(f"A backfill of small daily files, {BACKFILL_WORKERS} workers", "", [found])],
    figures_of_backfill,
)
