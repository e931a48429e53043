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
from dataclasses import dataclass
from typing import Any

from bench.airflow import Json, seconds_of, wait_for
from bench.figures import Figure, number, rounded
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
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Found:
    """What became of the burst."""

    uploads: Uploads
    done: int
    done_seconds: float  # from the start of the first run until the last picture was done
    run_seconds: float  # until the end of the last run
    lane_seconds: float
    work_seconds: float
    runs: int
    tasks: int

    @property
    def overhead_percent(self) -> float | None:
        """Airflow's share of the time in per cent of the work on all pictures."""
        return 100 * self.airflow_seconds / self.work_seconds if self.work_seconds else None

    @property
    def airflow_seconds(self) -> float:
        """Airflow's share of the time."""
        return max(self.done_seconds - self.lane_seconds, 0.0)


def measure(bench: Any) -> Found:
    """Everything of this part."""
    door: Door = bench.door
    say, count, picture = bench.say, QUICK if bench.quick else FULL, make(bench.folder, SMALL, 1)[0]
    door.await_idle()
    door.empty()
    began = time.time()
    say(f"{count} uploads")
    uploads = upload(door.order(picture, count, CLIENTS))
    say(f"  all answered 202 in {uploads.all_seconds:.1f} s, p99 {uploads.percentile(99):.2f} s")
    limit = 60 + count * PICTURE_SECONDS

    def ended() -> bool:
        counts = door.counts()
        return counts.get("done", 0) + counts.get("failed", 0) >= count

    if not wait_for(ended, limit, LOOK_SECONDS):
        raise StackError(f"{limit:.0f} s after the last answer to {count} uploads there are {door.counts()}")
    door.await_idle()
    found = _account(door, uploads, door.runs_since(began))
    say(f"  {found.done} done {time.time() - began:.1f} s after the first upload, {count - found.done} missing")
    return found


def _account(door: Door, uploads: Uploads, runs: list[Json]) -> Found:
    loads = list[Load]()
    for run in runs:
        for task in door.airflow.tasks(DAG, run["dag_run_id"]):
            if task["task_id"] == "resize" and task["map_index"] >= 0 and task["end_date"]:
                said = door.airflow.returned(DAG, run["dag_run_id"], "resize", task["map_index"])
                if said is not None:
                    loads.append(Load(seconds_of(task["end_date"]), float(said["seconds"])))
    begin = min((seconds_of(run["start_date"]) for run in runs), default=0.0)
    end = max((seconds_of(run["end_date"]) for run in runs), default=0.0)
    ((last,),) = door.database.execute("SELECT extract(epoch FROM max(finished_at)) FROM millrace.image_source")
    return Found(
        uploads, _done(door, uploads.ids), float(last or begin) - begin, end - begin,
        max(lanes_of(loads, LANES), default=0.0), sum(load.seconds for load in loads), len(runs), len(loads),
    )  # fmt: skip


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
        path = door.store / rendition_key(digest, recipe, file)
        whole[image_id] += path.exists() and path.stat().st_size == size
    return sum(count == wanted for count in whole.values())


def sheets(found: Found) -> list[Sheet]:
    """What became of it."""
    each = 1000 / max(found.done, 1)
    facts = {
        "uploads answered 202": f"{len(found.uploads.ids):,}",
        "seconds until the last answer": number(found.uploads.all_seconds),
        "p99 of the answers, s": number(found.uploads.percentile(99), 2),
        "done, with all renditions in the store": f"{found.done:,}",
        "runs of the DAG": str(found.runs),
        "resize tasks": str(found.tasks),
        "first run's start until the last picture is done, s": number(found.done_seconds),
        "first run's start to last run's end, s": number(found.run_seconds),
        "work of the busiest lane, s": number(found.lane_seconds),
        "work of all resize tasks, s": number(found.work_seconds),
        "work per picture, ms": number(each * found.work_seconds),
        "Airflow's share, s": number(found.airflow_seconds),
        "Airflow's share per picture, ms": number(each * found.airflow_seconds),
        "Airflow's share over the busiest lane's work, %": number(
            100 * found.airflow_seconds / found.lane_seconds if found.lane_seconds else None
        ),
    }
    return [Sheet.facts("A burst of uploads", facts)]


def figures(found: Found | None) -> list[Figure]:
    """Nothing lost, and what Airflow takes."""
    count, missing = (len(found.uploads.ids), len(found.uploads.ids) - found.done) if found else (FULL, None)
    percent = rounded(found.overhead_percent if found else None, 2)
    return [
        Figure(f"of {count:,} uploads in a burst, lost or not done", missing, 0.0, 0.0),
        Figure("Airflow's overhead per picture, %", percent, 1.0, 1.0, unit="%", full_size=True),
    ]
