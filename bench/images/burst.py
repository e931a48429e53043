"""The burst part: many uploads at once, until every picture is done; and Airflow's share of the time.

Airflow's share is the time from the start of the first run of the DAG until the last picture is done, less the work of
the busiest of the lanes in which `resize` tasks run side by side. A task's work is what it says itself (`seconds`, from
its first look at the list of work to its last); it belongs to the lane that was free first when it began. All the rest
is Airflow's: scheduling, starting processes, imports, claiming, and lanes that stood still. What Airflow does when no
picture waits any more is in the table, and in no picture's overhead.

A picture's overhead in per cent is its part of Airflow's share over its own work: Airflow's share over the work of all
`resize` tasks. The table also has it over the busiest lane's work, which is by how much the whole took longer.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

from bench.airflow import Json, seconds_of, wait_for
from bench.figures import Figure, Row, rounded
from bench.images.client import Uploads
from bench.images.door import DAG, Door, upload
from bench.images.photos import SMALL, make
from bench.images.uploads import CLIENTS
from bench.report import Sheet
from bench.runs import Load, lanes_of
from include.images.recipes import load_recipes
from include.images.store import rendition_key
from stack.errors import StackError

FULL, QUICK = 2000, 100
LANES = os.cpu_count() or 1  # as `resize` has them
PICTURE_SECONDS = 0.5  # that a picture may take, and a minute more
ANSWERED, DONE = "uploads answered 202", "done, with all renditions in the store"
WORK, SHARE = "work of all resize tasks, s", "Airflow's share, s"


def measure(bench: Any) -> dict[str, float]:
    """Everything of this part, by name."""
    door: Door = bench.door
    count, picture = QUICK if bench.quick else FULL, make(bench.folder, SMALL, 1)[0]
    door.await_idle()
    door.empty()
    began = time.time()
    bench.say(f"{count} uploads")
    uploads = upload(door.order(picture, count, CLIENTS))
    bench.say(f"  all answered 202 in {uploads.all_seconds:.1f} s")
    limit = 60 + count * PICTURE_SECONDS
    if not wait_for(lambda: sum(door.counts().get(end, 0) for end in ("done", "failed")) >= count, limit, 1.0):
        raise StackError(f"{limit:.0f} s after the last answer to {count} uploads there are {door.counts()}")
    door.await_idle()
    return _account(door, uploads, door.runs_since(began))


def _account(door: Door, uploads: Uploads, runs: list[Json]) -> dict[str, float]:
    loads = list[Load]()
    for run in (run["dag_run_id"] for run in runs):
        for task in door.airflow.tasks(DAG, run):
            if task["task_id"] == "resize" and task["map_index"] >= 0 and task["end_date"]:
                said = door.airflow.returned(DAG, run, "resize", task["map_index"])
                loads += [Load(seconds_of(task["end_date"]), float(said["seconds"]))] if said is not None else []
    begin = min((seconds_of(run["start_date"]) for run in runs), default=0.0)
    end = max((seconds_of(run["end_date"]) for run in runs), default=0.0)
    ((last,),) = door.database.execute("SELECT extract(epoch FROM max(finished_at)) FROM millrace.image_source")
    lane, work = max(lanes_of(loads, LANES), default=0.0), sum(load.seconds for load in loads)
    done, until = _done(door, uploads.ids), float(last or begin) - begin
    share, each = max(until - lane, 0.0), 1000 / max(done, 1)
    return {
        ANSWERED: len(uploads.ids), "seconds until the last answer": uploads.all_seconds,
        "p99 of the answers, s": uploads.percentile(99), DONE: done, "runs of the DAG": len(runs),
        "resize tasks": len(loads), "first run's start until the last picture is done, s": until,
        "first run's start to last run's end, s": end - begin, "work of the busiest lane, s": lane, WORK: work,
        "work per picture, ms": each * work, SHARE: share, "Airflow's share per picture, ms": each * share,
        "Airflow's share over the busiest lane's work, %": 100 * share / lane if lane else 0.0,
    }  # fmt: skip


def _done(door: Door, ids: list[str]) -> int:
    """How many of the uploads are done, with every rendition of the recipes whole in the store."""
    wanted = sum(len(recipe.formats) for recipe in load_recipes().renditions.values())
    rows = door.database.execute(
        "SELECT i.image_id::text, r.digest, r.recipe, r.file, r.bytes FROM millrace.image i"
        " JOIN millrace.image_source s USING (digest) JOIN millrace.image_rendition r USING (digest)"
        " WHERE s.state = 'done' AND i.image_id = ANY(%s::uuid[])",
        [ids],
    ).fetchall()
    whole: Counter[str] = Counter()
    for image_id, digest, recipe, file, size in rows:
        path = door.settings.images / rendition_key(digest, recipe, file)
        whole[image_id] += path.exists() and path.stat().st_size == size
    return sum(count == wanted for count in whole.values())


def sheets(found: dict[str, float]) -> list[Sheet]:
    """What became of it."""
    rows: dict[str, Row] = {name: {"": value} for name, value in found.items()}
    return [Sheet.of("A burst of uploads", "fact", rows)]


def figures(found: dict[str, float] | None) -> list[Figure]:
    """Nothing lost, and what Airflow takes."""
    count, missing = (int(found[ANSWERED]), found[ANSWERED] - found[DONE]) if found else (FULL, None)
    percent = 100 * found[SHARE] / found[WORK] if found and found[WORK] else None
    return [
        Figure(f"of {count:,} uploads in a burst, lost or not done", missing, 0.0, 0.0, unit="uploads"),
        Figure("Airflow's overhead per picture, %", rounded(percent, 2), 1.0, 1.0, unit="%", full_size=True),
    ]
