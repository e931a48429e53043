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
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

from bench.airflow import seconds_of, span
from bench.figures import Figure, Row, Runs
from bench.files import SEED, File, make, make_one
from bench.harness import Bench
from bench.measure import Sampler
from bench.place import Place, serve_the_schedule, target_ddl
from bench.report import Sheet
from bench.runs import DAG
from bench.scale.cluster import Cluster
from include.ingest.dataset_file import load_dataset
from samples.orders import Shape, rows_for
from stack.errors import StackError
from stack.settings import REPOSITORY

CORES = 0.125  # of each worker
MEGABYTES, QUICK_MEGABYTES = 2000.0, 300.0
FILES = 4
REPEAT = 2  # of one file; four files take so long that once must do
SCHEDULED_ROWS, SCHEDULED_ID = 200, 1_000_000_000  # far from all others
RUN_SECONDS, BUSY_SECONDS = 900.0, 4.0
ONE_FILE, FOUR_FILES = "one file", "four files"
DAYS = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in count())  # a run each
RELEASE = """
import sys
from airflow.providers.celery.executors.celery_executor import app
done = getattr(app.control, sys.argv[1])("default", destination=["celery@worker-2"], reply=True, timeout=20)
sys.exit(not done)
"""


def measure(bench: Bench) -> Runs:
    """Each shape with two workers and with one, in turn."""
    found, megabytes = Runs(), QUICK_MEGABYTES if bench.quick else MEGABYTES
    files = Place().folder / "files"
    whole, rows = make(files, megabytes, ["dirty"])["dirty"], rows_for(megabytes / FILES * 1e6)
    parts = [
        make_one(files / f"orders-{megabytes:g}mb-{SEED}-part-{number}.csv",
                 Shape(rows, SEED + number, first_id=1 + number * rows)) for number in range(FILES)
    ]  # fmt: skip

    def run(shape: str, group: Sequence[File], workers: int) -> Row:
        cluster.on("worker-1", "python", "-c", RELEASE, "add_consumer" if workers == 2 else "cancel_consumer")
        time.sleep(3)  # what the second worker has asked for already times out
        done = _time(cluster, group, {f"worker-{number}" for number in range(1, workers + 1)})
        bench.say(f"  {shape}, workers: {workers}: {done['all, s']:.1f} s")
        return done

    with Cluster(bench.folder, workers=2, concurrency=1, say=bench.say) as cluster:
        small = serve_the_schedule(cluster.inbox, SCHEDULED_ROWS, SCHEDULED_ID)
        cluster.airflow.await_dag(DAG, paused=False)
        _time(cluster, [File(small, small.stat().st_size, SCHEDULED_ROWS, 0)] * 2)
        cluster.limit(CORES)
        one = {f"{ONE_FILE}, {workers}": partial(run, ONE_FILE, [whole], workers) for workers in (2, 1)}
        four = {f"{FOUR_FILES}, {workers}": partial(run, FOUR_FILES, parts, workers) for workers in (2, 1)}
        found.take_turns(one | four, 1)
        found.take_turns(one, 0 if bench.quick else REPEAT - 1)
    return found


def _time(cluster: Cluster, files: Sequence[File], loaders: set[str] | None = None) -> Row:
    """Ingest these files side by side into a fresh table. Raises StackError when others than the loaders loaded."""
    airflow = cluster.airflow
    airflow.await_idle(DAG, once=True, seconds=RUN_SECONDS)
    dataset = load_dataset(REPOSITORY / "include" / "datasets" / "orders.yaml")
    with cluster.warehouse() as connection:
        connection.execute("DROP TABLE IF EXISTS public.orders")
        connection.execute(target_ddl(dataset))
    for file in files:
        file.warm()
    with Sampler({"warehouse": lambda _: cluster.processes("warehouse-db")}) as sampler:
        began = time.time()
        runs = [
            airflow.trigger(DAG, {"logical_date": f"{next(DAYS):%FT%TZ}", "conf": {"path": str(file.path)}})
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


def sheets(found: Runs) -> list[Sheet]:
    """A line a shape and number of workers."""
    return [Sheet.of(f"One worker and two, each with {CORES:g} of a core", "shape, workers", found.medians())]


def figures(found: Runs | None) -> list[Figure]:
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
