"""`./run bench share`: an ingest, an image burst and memory audits on the same workers, alone and all at once.

The dataset loads 32 chunks at once, far more than there are slots. First each kind runs alone, then all together with
the pools of `include/slots.py`, then with pools so wide that they hold nobody back (priorities stay). A task's wait is
the time from the moment when it could run to its start: for a slot of its pool, for the executor, and for its process.
A `load` waits for the loads before it as well, by design.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import ClassVar

import psycopg

from bench import files, harness
from bench.airflow import Airflow, Json, seconds_of, wait_for
from bench.figures import Figure, Row, ratio, rounded
from bench.images.door import Door, upload
from bench.images.photos import SMALL, make
from bench.report import Sheet
from include import slots
from stack.errors import StackError
from stack.project import copy_project
from stack.settings import Settings

LOADS = 32
WIDE_SLOTS = 128
TOGETHER, WIDE = "together", "together, no pools"
KINDS = {"ingest": "ingest_orders", "images": "resize_images", "audit": "audit_memory"}
LONGEST_SECONDS = 1500.0
AUDITS, CLIENTS = 3, 8


@dataclass
class Job:
    """What one kind took: seconds of each run, and the wait of each task by its name."""

    seconds: list[float] = field(default_factory=list)
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, tasks: Sequence[Json]) -> None:
        """Keep the waits of a run's tasks."""
        for task in tasks:
            if task["scheduled_when"] and task["start_date"]:
                waited = seconds_of(task["start_date"]) - seconds_of(task["scheduled_when"])
                self.waits[task["task_id"]].append(waited)


Round = dict[str, Job]
Found = tuple[str, dict[str, Round]]  # how much there was to do, and the rounds: alone, together, and with no pools


@contextmanager
def running(folder: Path) -> Iterator[Settings]:
    """A stack of its own on a copy of the project whose dataset loads many chunks at once; removed at the end."""
    project = folder / "project"

    def stack(*arguments: str) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("MILLRACE", "AIRFLOW"))}
        command = [sys.executable, "-m", "stack", *arguments]
        done = subprocess.run(command, cwd=project, env=plain, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"{' '.join(arguments)} of the benchmark's stack: {done.stderr.strip()}")

    if project.exists():
        stack("down", "--delete")
        shutil.rmtree(project)
    copy_project(project)
    dataset = project / "include" / "datasets" / "orders.yaml"
    dataset.write_text(dataset.read_text().replace('schedule: "@daily"', f"schedule: null\nparallel: {LOADS}"))
    try:
        stack("up")
        yield Settings.load(project / ".millrace")
    finally:
        stack("down", "--delete")
        shutil.rmtree(project)


class Jobs:
    """The three kinds of work on a running stack."""

    def __init__(self, settings: Settings, file: Path, photo: Path, pictures: int) -> None:
        self.settings, self.file, self.photo, self.pictures = settings, file, photo, pictures
        self.door = Door(settings)
        for dag in KINDS.values():
            self.door.airflow.await_dag(dag, paused=False)

    def ingest(self, file: Path | None = None) -> Job:
        """The file into an empty table."""
        with psycopg.connect(self.settings.database_url("warehouse"), autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS public.orders")
        job, chosen = Job(), file or self.file
        self._run("ingest", job, {"path": str(chosen), "force": True, "chunk_bytes": chosen.stat().st_size // LOADS})
        return job

    def audits(self, busy: Callable[[], bool] = lambda: False) -> Job:
        """Audits by hand, one after the other: three, and more while the others are busy."""
        job = Job()
        while len(job.seconds) < AUDITS or busy():
            self._run("audit", job, {})
        return job

    def images(self) -> Job:
        """A burst of uploads, until the last picture is done."""
        self.door.await_idle()
        self.door.empty()
        began = time.time()
        upload(self.door.order(self.photo, self.pictures, CLIENTS))
        if not wait_for(lambda: self.door.counts().get("done", 0) >= self.pictures, LONGEST_SECONDS):
            raise StackError(f"pictures are left: {self.door.counts()}")
        job = Job([time.time() - began])
        self.door.await_idle()
        for run in self.door.runs_since(began):
            job.add(self.door.airflow.tasks(KINDS["images"], run["dag_run_id"]))
        return job

    def together(self) -> Round:
        """All at once."""
        with ThreadPoolExecutor(2) as threads:
            ingest, images = threads.submit(self.ingest), threads.submit(self.images)
            audit = self.audits(lambda: not (ingest.done() and images.done()))
            return {"ingest": ingest.result(), "images": images.result(), "audit": audit}

    def _run(self, kind: str, job: Job, conf: Json) -> None:
        airflow, dag, began = Airflow(self.settings), KINDS[kind], time.time()
        run = airflow.trigger(dag, {"logical_date": None, "conf": conf})
        # An audit fails when it finds a leak.
        ended = airflow.await_end(dag, run, LONGEST_SECONDS, fails=kind == "audit")
        job.seconds.append(seconds_of(ended["end_date"]) - began)
        job.add(airflow.tasks(dag, run))
        airflow.api.close()


def measure(bench: harness.Bench) -> Found:
    """Alone, together, and together without bounds."""
    bench.title = "Share: ingest, images and audits on the same workers"
    megabytes = bench.options.mb or (100.0 if bench.quick else 1000.0)
    pictures = bench.options.pictures or (40 if bench.quick else 300)
    home = bench.folder.parent
    file, small = (files.make(home / "files", size, ["dirty"])["dirty"] for size in (megabytes, 1))
    photo = make(home / "images", SMALL, 1)[0]
    with running(bench.folder) as settings:
        jobs = Jobs(settings, file.path, photo, pictures)
        jobs.ingest(small.path)
        jobs.audits()
        bench.say("  each alone")
        alone = {"ingest": jobs.ingest(), "images": jobs.images(), "audit": jobs.audits()}
        bench.say("  together")
        together = jobs.together()
        bench.say("  together, pools wide")
        for pool in slots.KINDS:
            jobs.door.api.patch(f"pools/{pool}", {"pool": pool, "slots": WIDE_SLOTS, "include_deferred": False})
        rounds = {"alone": alone, TOGETHER: together, WIDE: jobs.together()}
        return f"{megabytes:g} MB, {pictures} pictures", rounds


def sheets(found: Found) -> list[Sheet]:
    """Seconds of each kind, and the waits of each task."""
    what, rounds = found

    def waits(name: str, kind: str, task: str) -> str:
        waited = rounds[name][kind].waits.get(task)
        return f"{median(waited):.1f}; {max(waited):.1f} ({len(waited)})" if waited else ""

    times: dict[str, Row] = {
        kind: {
            **{f"{name}, s": median(rounds[name][kind].seconds) for name in rounds},
            **{f"{name} / alone": slower(rounds, name, kind) for name in (TOGETHER, WIDE)},
            "runs": ", ".join(str(len(rounds[name][kind].seconds)) for name in (TOGETHER, WIDE)),
        }
        for kind in KINDS
    }  # fmt: skip
    tasks = {kind: {task for round in rounds.values() for task in round[kind].waits} for kind in KINDS}
    rows: dict[str, Row] = {
        f"{kind}: {task}": {name: waits(name, kind, task) for name in rounds}
        for kind, names in tasks.items()
        for task in sorted(names)
    }
    return [
        Sheet.of(f"Seconds of a run (median): {what}", "kind", times),
        Sheet.of("Wait of a task, s: median; longest (number)", "task", rows),
    ]


def figures(found: Found | None) -> list[Figure]:
    """Nobody waits long, and nobody is much slower than a third of the machine makes it."""
    rounds = found[1] if found else None
    ratios = {kind: rounded(slower(rounds, "together", kind), 2) if rounds else None for kind in KINDS}
    longest = None
    if rounds:
        audit, claims = rounds["together"]["audit"].waits, rounds["together"]["images"].waits["claim"]
        longest = rounded(max([*claims, *(wait for found in audit.values() for wait in found)], default=None), 1)
    return [
        *(Figure(f"{kind}: together / alone", value, 10.0, 4.0) for kind, value in ratios.items()),
        Figure("longest wait of a task of an audit, or of a claim, s", longest, 15.0, 5.0, unit="s"),
    ]


def slower(rounds: dict[str, Round], name: str, kind: str) -> float | None:
    """How many times as long a kind took in that round as alone."""
    return ratio(median(rounds[name][kind].seconds), median(rounds["alone"][kind].seconds))


class Bench(harness.Bench):
    """The benchmark of the shared workers."""

    name = "share"
    parts: ClassVar[harness.Parts] = {"share": [harness.PartOf(measure, sheets, figures)]}
    packages = ("apache-airflow", "psycopg")
    busy_means = "all figures are larger, those together more than those alone"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """How much there is to do."""
        parser.add_argument("--mb", type=float, help="size of the file in MB (1000; 100)")
        parser.add_argument("--pictures", type=int, help="uploads of a burst (300; 40)")
