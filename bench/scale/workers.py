"""One worker and two, on hosts of their own, with the same share of a core each.

Two workers with a core each and a database that is no bottleneck take more than the two cores of a small machine. So
each worker gets an eighth of a core, by a quota of the kernel on all that its host runs, and the database and Airflow
get what is left: fourteen eighths, of which a merge, one backend, can use eight. The larger the worker's share, the
larger is the merges' part of a run, and the less a second worker brings.

Two shapes of 2 GB: one file, whose plan is one task and so can't be shared; and four files, each the run of a day of
its own, as in a backfill: Airflow has the chunks of the first day loaded first, so that it merges while others load.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from bench.figures import Figure
from bench.files import SEED, File, make
from bench.place import Place, target_ddl
from bench.report import Sheet
from bench.scale.cluster import Cluster, cpu_of, seconds_of
from include.ingest.dataset_file import load_dataset
from samples.orders import Shape, rows_for, write
from stack.errors import StackError
from stack.settings import REPOSITORY

DAG = "ingest_orders"
CORES = 0.125  # of each worker
MEGABYTES, QUICK_MEGABYTES = 2000.0, 300.0
FILES = 4
REPEAT = 2  # of one file; four files take so long that once must do
SCHEDULED_ROWS, SCHEDULED_ID = 200, 1_000_000_000  # far from all others
RUN_SECONDS, LOOK_SECONDS = 900.0, 4.0
ONE_FILE, FOUR_FILES = "one file", "four files"
DAYS = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in count())  # a run each
RELEASE = """
import sys
from airflow.providers.celery.executors.celery_executor import app
done = getattr(app.control, sys.argv[1])("default", destination=["celery@worker-2"], reply=True, timeout=20)
sys.exit(not done)
"""


@dataclass(frozen=True)
class Timed:
    """One shape of 2 GB, ingested. Seconds; `database_cores` is what the warehouse used at the most."""

    whole: float
    plan: float
    load: float
    merge: float
    database_cores: float
    hosts: frozenset[str]  # that loaded


@dataclass
class Found:
    """By shape and number of workers."""

    megabytes: float = 0.0
    runs: dict[tuple[str, int], list[Timed]] = field(default_factory=lambda: defaultdict(list))

    def speed_up(self, shape: str, part: str) -> float | None:
        """Median of one worker over that of two."""
        one, two = ([float(getattr(run, part)) for run in self.runs[shape, workers]] for workers in (1, 2))
        return round(median(one) / median(two), 3) if one and two else None


def measure(folder: Path, *, quick: bool, say: Callable[[str], None]) -> Found:
    """Each shape with two workers and with one, in turn."""
    megabytes = QUICK_MEGABYTES if quick else MEGABYTES
    found = Found(megabytes)
    say("files")
    files = Place().folder / "files"
    whole = [make(files, megabytes, ["dirty"])["dirty"]]
    parts = [_part(files, megabytes / FILES, number) for number in range(FILES)]
    with Cluster(folder, workers=2, concurrency=1, say=say) as cluster:
        serve_the_schedule(cluster)
        cluster.await_dag(DAG, paused=False)
        _time(cluster, _small(cluster))
        cluster.limit(CORES)
        for number in range(1 if quick else REPEAT):
            for shape, group in ((ONE_FILE, whole), (FOUR_FILES, parts))[: 1 if number else 2]:
                for workers in (2, 1):
                    _employ(cluster, workers)
                    done = _time(cluster, group)
                    _check(done, workers)
                    found.runs[shape, workers].append(done)
                    say(f"  {shape}, workers: {workers}: {done.whole:.1f} s, loads {done.load:.1f} s")
    return found


def serve_the_schedule(cluster: Cluster) -> None:
    """Small files for the scheduled run, which would otherwise ask for its file all the time."""
    folder = cluster.inbox / "orders"
    folder.mkdir(parents=True, exist_ok=True)
    for days in (0, 1):
        with (folder / f"orders_{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}.csv").open("wb") as out:
            write(out, Shape(SCHEDULED_ROWS, bad=0.0, seed=days + 90, first_id=SCHEDULED_ID))


def sheets(found: Found) -> list[Sheet]:
    """A line a shape and number of workers."""
    rows = []
    for (shape, workers), runs in found.runs.items():
        cells = [f"{median(getattr(run, part) for run in runs):.1f}" for part in ("whole", "plan", "load", "merge")]
        rows.append([f"{shape}, {workers}", *cells, f"{median(run.database_cores for run in runs):.2f}"])
    title = f"{found.megabytes / 1000:g} GB with one worker and with two, each with {CORES:g} of a core"
    columns = ("shape, workers", "all, s", "plan, s", "load, s", "merge, s", "warehouse's cores at the most")
    return [Sheet(title, columns, rows)]


def figures(found: Found | None) -> list[Figure]:
    """Speed-ups."""
    wanted = (
        (ONE_FILE, "load", "loads of one file of 2 GB"),
        (FOUR_FILES, "whole", "2 GB in four files, whole runs"),
        (ONE_FILE, "whole", "2 GB in one file, whole run"),
    )
    return [
        Figure(f"1 to 2 workers, speed-up: {name}", found.speed_up(shape, part) if found else None, 1.6, 1.85, "higher")
        for shape, part, name in wanted
    ]


def _part(folder: Path, megabytes: float, number: int) -> File:
    """A file of orders that no other part has."""
    rows = rows_for(megabytes * 1e6)
    path = folder / f"orders-{megabytes:g}mb-{SEED}-part-{number}.csv"
    shape = Shape(rows, SEED + number, first_id=1 + number * rows)
    if not path.exists():
        with path.with_suffix(".new").open("wb") as out:
            write(out, shape)
        path.with_suffix(".new").rename(path)
    return File(path, path.stat().st_size, rows, 0)


def _small(cluster: Cluster) -> list[File]:
    path = next((cluster.inbox / "orders").iterdir())
    return [File(path, path.stat().st_size, SCHEDULED_ROWS, 0)] * 2


def _employ(cluster: Cluster, workers: int) -> None:
    """Have the second worker take tasks, or none."""
    cluster.on("worker-1", "python", "-c", RELEASE, "add_consumer" if workers == 2 else "cancel_consumer")
    time.sleep(3)  # what it has asked for already times out


def _time(cluster: Cluster, files: Sequence[File]) -> Timed:
    """Ingest these files side by side into a fresh table."""
    _await_quiet(cluster)
    dataset = load_dataset(REPOSITORY / "include" / "datasets" / "orders.yaml")
    with cluster.warehouse() as connection:
        connection.execute("DROP TABLE IF EXISTS public.orders")
        connection.execute(target_ddl(dataset))
    for file in files:
        file.warm()
    watch, began, runs = _Watch(cluster), time.time(), []
    for file in files:
        body = {"logical_date": f"{next(DAYS):%FT%TZ}", "conf": {"path": str(file.path)}}
        runs.append(str(cluster.api.post(f"dags/{DAG}/dagRuns", body)["dag_run_id"]))
    ends = [seconds_of(cluster.await_run(DAG, run, RUN_SECONDS, watch)["end_date"]) for run in runs]
    tasks = [task for run in runs for task in _tasks(cluster, run)]
    hosts = {str(task["hostname"]) for task in tasks if task["task_id"] == "load" and task["start_date"]}
    plan, load, merge = (_span(tasks, name) for name in ("plan", "load", "merge"))
    return Timed(max(ends) - began, plan, load, merge, watch.cores, frozenset(hosts))


def _await_quiet(cluster: Cluster) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        runs = cluster.api.get(f"dags/{DAG}/dagRuns", limit=20, order_by="-run_after")["dag_runs"]
        if runs and all(run["state"] in ("success", "failed") for run in runs):
            return
        time.sleep(1)
    raise StackError(f"the scheduled run of {DAG} does not end")


def _tasks(cluster: Cluster, run: str) -> list[dict[str, Any]]:
    path = f"dags/{DAG}/dagRuns/{quote(run, safe='')}/taskInstances"
    found: list[dict[str, Any]] = cluster.api.get(path, limit=100)["task_instances"]
    return found


def _span(tasks: Sequence[dict[str, Any]], name: str) -> float:
    """From the first start to the last end of a kind of task."""
    ran = [task for task in tasks if task["task_id"] == name and task["start_date"]]
    if not ran:
        return 0.0
    return max(seconds_of(task["end_date"]) for task in ran) - min(seconds_of(task["start_date"]) for task in ran)


def _check(done: Timed, workers: int) -> None:
    """Raise StackError when other workers loaded than were to."""
    if done.hosts != {f"worker-{number}" for number in range(1, workers + 1)}:
        raise StackError(f"{workers} workers were to load, and {', '.join(sorted(done.hosts))} did")


class _Watch:
    """How busy the warehouse is at the most, in cores, over some seconds."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._last = cluster, (time.monotonic(), self._cpu(cluster))
        self.cores = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last[0] < LOOK_SECONDS:
            return
        cpu = self._cpu(self._cluster)
        self.cores = max(self.cores, (cpu - self._last[1]) / (now - self._last[0]))
        self._last = now, cpu

    @staticmethod
    def _cpu(cluster: Cluster) -> float:
        return cpu_of(cluster.processes("warehouse-db"))
