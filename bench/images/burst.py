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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.images.client import Uploads
from bench.images.door import Door, wait_for
from bench.images.load import upload
from bench.images.photos import SMALL, make
from bench.images.uploads import CLIENTS
from bench.runs import ChunkLoad, lanes_of
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
    missing: int  # answered 202, but not done with all renditions in the store
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


def measure(folder: Path, door: Door, count: int, say: Callable[[str], None]) -> Found:
    """Everything of this part."""
    picture = make(folder, SMALL, 1)[0]
    door.await_idle()
    door.empty()
    began = time.time()
    say(f"{count} uploads")
    uploads = upload(door.order(picture, count, CLIENTS))
    if uploads.refused:
        raise StackError(f"{uploads.refused} of {count} uploads were refused: {uploads.faults[0]}")
    say(f"  all answered 202 in {uploads.all_seconds:.1f} s, p99 {uploads.percentile(99):.2f} s")
    limit = 60 + count * PICTURE_SECONDS
    if not wait_for(lambda: _all_ended(door, count), limit, LOOK_SECONDS):
        raise StackError(f"{limit:.0f} s after the last answer to {count} uploads there are {door.counts()}")
    door.await_idle()
    found = _account(door, uploads, began)
    say(f"  {found.done} done {time.time() - began:.1f} s after the first upload, {found.missing} missing")
    return found


def _all_ended(door: Door, count: int) -> bool | None:
    counts = door.counts()
    return counts.get("done", 0) + counts.get("failed", 0) >= count or None


def _account(door: Door, uploads: Uploads, began: float) -> Found:
    done = _done(door, uploads.ids)
    runs = door.runs_since(began)
    loads: list[ChunkLoad] = []
    for run in runs:
        loads += _loads(door, run["dag_run_id"])
    lane = max(lanes_of(loads, LANES), default=0.0)
    begin = min((_at(run["start_date"]) for run in runs), default=0.0)
    end = max((_at(run["end_date"]) for run in runs), default=0.0)
    missing = len(uploads.ids) - len(done)
    work = sum(load.seconds for load in loads)
    (last,) = door.database.execute("SELECT extract(epoch FROM max(finished_at)) FROM millrace.image_source").fetchone()
    return Found(
        uploads, len(done), missing, float(last or begin) - begin, end - begin, lane, work, len(runs), len(loads)
    )


def _loads(door: Door, run_id: str) -> list[ChunkLoad]:
    """The work of each `resize` task of a run."""
    found = []
    for task in door.tasks(run_id):
        if task["task_id"] == "resize" and task["map_index"] >= 0 and task["end_date"]:
            said: Any = door.returned(run_id, "resize", task["map_index"])
            if said is not None:
                found.append(ChunkLoad(_at(task["end_date"]), float(said["seconds"])))
    return found


def _done(door: Door, ids: Sequence[str]) -> set[str]:
    """Those of the uploads that are done, with every rendition of the recipes whole in the store."""
    wanted = sum(len(recipe.formats) for recipe in load_recipes().renditions.values())
    rows = door.database.execute(
        "SELECT i.image_id::text, r.digest, r.recipe, r.file, r.bytes FROM millrace.image i"
        " JOIN millrace.image_source s USING (digest) JOIN millrace.image_rendition r USING (digest)"
        " WHERE s.state = 'done' AND i.image_id = ANY(%s::uuid[])",
        [list(ids)],
    ).fetchall()
    whole: dict[str, int] = {}
    for image_id, digest, recipe, file, size in rows:
        path = door.store / rendition_key(digest, recipe, file)
        whole[image_id] = whole.get(image_id, 0) + (path.exists() and path.stat().st_size == size)
    return {image_id for image_id, count in whole.items() if count == wanted}


def _at(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
