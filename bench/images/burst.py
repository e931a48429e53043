"""Two parts on a running Airflow: how long one picture takes from the answer to its upload until all renditions are
there (`latency`); many uploads at once, until every picture is done, and Airflow's share of the time (`burst`).

Airflow's share is the time from the start of the first run of the DAG until the last picture is done, less the work of
the busiest of the lanes in which `resize` tasks run side by side. A task's work is what it says itself; it belongs to
the lane that was free first when it began. A picture's overhead in per cent is Airflow's share over the work of all
tasks; over the busiest lane's work, it is by how much the whole took longer.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from typing import Any

from bench.airflow import Json, seconds_of, wait_for
from bench.figures import Figure, Row, Runs, rounded
from bench.harness import PartOf
from bench.images.client import Uploads
from bench.images.door import DAG, PREFIX, Door, upload
from bench.images.photos import SMALL, make
from bench.images.uploads import CLIENTS
from bench.report import Sheet
from bench.runs import Load, lanes_of
from include.images.recipes import load_recipes
from include.images.store import rendition_key
from stack.errors import StackError

BURST, PICTURES = (2000, 100), (5, 2)  # full, quick
MOST_SECONDS, LOOK_SECONDS, REST_SECONDS = 60.0, 0.1, 2.0  # for one picture
LANES = os.cpu_count() or 1  # as `resize` has them
PICTURE_SECONDS = 0.5  # that a picture may take, and a minute more
ANSWERED, DONE = "uploads answered 202", "done, with all renditions in the store"
WORK, SHARE = "work of all resize tasks, s", "Airflow's share, s"


def measure_latency(bench: Any) -> Runs:
    """One small picture at a time; each waits until the DAG rests."""
    door: Door = bench.door
    picture, found = make(bench.folder, SMALL, 1)[0], Runs()
    door.empty()

    def one() -> Row:
        door.await_idle()
        time.sleep(REST_SECONDS)
        path = f"{PREFIX}/images/{door.post(picture, secrets.token_hex(16).encode())}"
        began = time.perf_counter()
        wait_for(lambda: door.api.call("GET", path)["state"] in ("done", "failed"), MOST_SECONDS, LOOK_SECONDS)
        seconds, shown = time.perf_counter() - began, door.api.call("GET", path)
        if shown["state"] != "done":
            raise StackError(
                f"a small picture is {shown['state']} {seconds:.0f} s after its upload: {shown.get('reason')}"
            )
        bench.say(f"  {seconds:.2f} s")
        return {"s": seconds}

    found.take_turns({"": one}, PICTURES[bench.quick], warm_up=1)  # what Airflow reads only once is in memory
    door.await_idle()
    return found


def figures_of_latency(found: Runs | None) -> list[Figure]:
    """Seconds until one picture is done."""
    seconds = rounded((found or Runs()).median("", "s"), 2)
    return [Figure("s from 202 to all renditions, idle Airflow", seconds, 10.0, 4.0, unit="s")]


def measure_burst(bench: Any) -> dict[str, float]:
    """Everything of this part, by name."""
    door: Door = bench.door
    count, picture = BURST[bench.quick], make(bench.folder, SMALL, 1)[0]
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


def figures_of_burst(found: dict[str, float] | None) -> list[Figure]:
    """Nothing lost, and what Airflow takes."""
    count, missing = (int(found[ANSWERED]), found[ANSWERED] - found[DONE]) if found else (BURST[0], None)
    percent = 100 * found[SHARE] / found[WORK] if found and found[WORK] else None
    return [
        Figure(f"of {count:,} uploads in a burst, lost or not done", missing, 0.0, 0.0, unit="uploads"),
        Figure("Airflow's overhead per picture, %", rounded(percent, 2), 1.0, 1.0, unit="%", full_size=True),
    ]


LATENCY = PartOf(
    measure_latency,
    lambda found: [Sheet.of("From 202 to all renditions, one picture, idle Airflow", "picture", found.by[""])],
    figures_of_latency,
)
BURST_OF_MANY = PartOf(
    measure_burst,
    lambda found: [Sheet.of("A burst of uploads", "fact", {name: {"": value} for name, value in found.items()})],
    figures_of_burst,
)
