"""`./run bench share`: an ingest, an image burst and memory audits on the same workers, alone and all at once.

The dataset of this benchmark loads 32 chunks at once, far more than there are slots. First each kind runs alone, then
all together with the pools of `include/slots.py`, then together with pools so wide that they hold nobody back
(priorities stay). Two cores for three busy jobs make each some three times slower; a job that waits for slots is much
slower still.

A task's wait is the time from the moment when it could run, as all before it was done, to its start: for a slot of its
pool, for the executor, and for its process. A `load` waits for the loads before it as well, by design.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import psycopg

from bench import files, machine, parts
from bench.figures import Figure
from bench.images.door import Door, wait_for
from bench.images.load import upload
from bench.images.photos import SMALL, make
from bench.parts import Parts
from bench.report import Sheet
from include import slots
from stack.api import AirflowApi
from stack.errors import StackError
from stack.project import copy_project
from stack.settings import Settings

LOADS = 32
WIDE = 128
KINDS = {"ingest": "ingest_orders", "images": "resize_images", "audit": "audit_memory"}
LONGEST_SECONDS = 1500.0
AUDITS, CLIENTS = 3, 8
ENDED = ("success", "failed")


@dataclass
class Job:
    """What one kind took: seconds of each run, and the wait of each task by its name."""

    seconds: list[float] = field(default_factory=list)
    waits: dict[str, list[float]] = field(default_factory=dict)

    def add(self, tasks: Sequence[dict[str, Any]]) -> None:
        """Keep the waits of a run's tasks."""
        for task in tasks:
            if task["scheduled_when"] and task["start_date"]:
                waited = _at(task["start_date"]) - _at(task["scheduled_when"])
                self.waits.setdefault(task["task_id"], []).append(waited)


Round = dict[str, Job]


@dataclass(frozen=True)
class Copy:
    """A stack of its own on a copy of the project, whose dataset loads many chunks at once."""

    settings: Settings

    def dsn(self, database: str) -> str:
        """The connection URL of a database, as its owner."""
        return self.settings.database_url(database)


@contextmanager
def running(folder: Path) -> Iterator[Copy]:
    """Copy the project and start it; stop and remove it at the end."""
    project = folder / "project"
    if project.exists():
        _stack(project, "down", "--delete")
        shutil.rmtree(project)
    copy_project(project)
    dataset = project / "include" / "datasets" / "orders.yaml"
    dataset.write_text(dataset.read_text().replace('schedule: "@daily"', f"schedule: null\nparallel: {LOADS}"))
    try:
        _stack(project, "up")
        yield Copy(Settings.load(project / ".millrace"))
    finally:
        _stack(project, "down", "--delete")
        shutil.rmtree(project)


def _stack(project: Path, *arguments: str) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MILLRACE", "AIRFLOW"))}
    done = subprocess.run(
        [sys.executable, "-m", "stack", *arguments], cwd=project, env=plain, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(f"{' '.join(arguments)} of the benchmark's stack: {done.stderr.strip()}")


class Jobs:
    """The three kinds of work on a running stack."""

    def __init__(self, copy: Copy, file: Path, photo: Path, pictures: int) -> None:
        self.copy, self.file, self.photo, self.pictures = copy, file, photo, pictures
        self.door = Door(copy)  # type: ignore[arg-type]
        self.api = self._api()
        for dag in KINDS.values():
            if not wait_for(lambda dag=dag: self.api.get(f"dags/{dag}"), 180):
                raise StackError(f"Airflow does not show {dag}")
            self.api.patch(f"dags/{dag}", {"is_paused": False})

    def ingest(self, file: Path | None = None) -> Job:
        """The file into an empty table."""
        with psycopg.connect(self.copy.dsn("warehouse"), autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS public.orders")
        job = Job()
        chosen = file or self.file
        self._run("ingest", job, {"path": str(chosen), "force": True, "chunk_bytes": chosen.stat().st_size // LOADS})
        return job

    def audits(self, busy: Callable[[], bool]) -> Job:
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
        uploads = upload(self.door.order(self.photo, self.pictures, CLIENTS))
        if uploads.refused:
            raise StackError(f"{uploads.refused} uploads were refused: {uploads.faults[0]}")
        if not wait_for(lambda: self.door.counts().get("done", 0) >= self.pictures or None, LONGEST_SECONDS):
            raise StackError(f"pictures are left: {self.door.counts()}")
        job = Job([time.time() - began])
        self.door.await_idle()
        for run in self.door.runs_since(began):
            job.add(self.door.tasks(run["dag_run_id"]))
        return job

    def together(self) -> Round:
        """All at once."""
        with ThreadPoolExecutor(2) as threads:
            others: dict[str, Future[Job]] = {
                "ingest": threads.submit(self.ingest), "images": threads.submit(self.images)
            }  # fmt: skip
            audit = self.audits(lambda: not all(job.done() for job in others.values()))
            return {**{kind: job.result() for kind, job in others.items()}, "audit": audit}

    def widen(self) -> None:
        """Take the pools' bounds away."""
        for pool in slots.KINDS:
            self.api.patch(f"pools/{pool}", {"pool": pool, "slots": WIDE, "include_deferred": False})

    def _run(self, kind: str, job: Job, conf: dict[str, Any]) -> None:
        api, dag, began = self._api(), KINDS[kind], time.time()
        run_id = str(api.post(f"dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])
        path = f"dags/{dag}/dagRuns/{quote(run_id, safe='')}"

        def outcome() -> Any:
            found = api.get(path)
            return found if found["state"] in ENDED else None

        ended = wait_for(outcome, LONGEST_SECONDS)
        if not ended or (ended["state"] == "failed" and kind == "ingest"):  # an audit fails when it finds a leak
            raise StackError(f"a run of {dag} did not succeed")
        job.seconds.append(_at(ended["end_date"]) - began)
        job.add(api.get(f"{path}/taskInstances", limit=100)["task_instances"])
        api.close()

    def _api(self) -> AirflowApi:
        api = AirflowApi(self.copy.settings)
        api.login()
        return api


class Bench(Parts):
    """The benchmark of the shared workers."""

    name = "share"
    title = "Share: ingest, images and audits on the same workers"
    all_parts = ("share",)
    busy_means = "all figures are larger, those together more than those alone"

    def facts(self) -> dict[str, str]:
        """About machine and software."""
        return machine.host(self.folder) | machine.software(("apache-airflow", "psycopg"))

    def run_share(self) -> None:
        """Alone, together, and together without bounds."""
        found = self.attempt(self._measure)
        self.book(found, lambda rounds: tables(rounds, self._what), figures(found))

    @property
    def _what(self) -> str:
        return f"{self.options.mb:g} MB, {self.options.pictures} pictures"

    def _measure(self) -> dict[str, Round]:
        file = files.make(self.folder.parent / "files", self.options.mb, ["dirty"])["dirty"]
        small = files.make(self.folder.parent / "files", 1, ["dirty"])["dirty"]
        photo = make(self.folder.parent / "images", SMALL, 1)[0]
        with running(self.folder) as copy:
            jobs = Jobs(copy, file.path, photo, self.options.pictures)
            self.say("  warming up")
            jobs.ingest(small.path)
            jobs.audits(lambda: False)
            rounds: dict[str, Round] = {}
            self.say("  each alone")
            rounds["alone"] = {"ingest": jobs.ingest(), "images": jobs.images(), "audit": jobs.audits(lambda: False)}
            self.say("  together")
            rounds["together"] = jobs.together()
            self.say("  together, pools wide")
            jobs.widen()
            rounds["without"] = jobs.together()
        return rounds


def tables(rounds: dict[str, Round], what: str) -> list[Sheet]:
    """Seconds of each kind, and the waits of each task."""
    alone, together, without = (rounds[name] for name in ("alone", "together", "without"))
    times = [
        [
            kind,
            *(f"{median(one[kind].seconds):.1f}" for one in (alone, together, without)),
            *(f"{_ratio(alone, one, kind):.1f}" for one in (together, without)),
            f"{len(together[kind].seconds)}, {len(without[kind].seconds)}",
        ]
        for kind in KINDS
    ]
    waits = [
        [f"{kind}: {task}", *(_waits(one[kind].waits.get(task, [])) for one in (alone, together, without))]
        for kind in KINDS
        for task in sorted({*together[kind].waits, *alone[kind].waits})
    ]
    return [
        Sheet(f"Seconds of a run (median): {what}",
              ("kind", "alone, s", "together, s", "together, no pools, s", "ratio", "ratio, no pools", "runs"), times),
        Sheet("Wait of a task, s: median; longest (number)", ("task", "alone", "together", "no pools"), waits),
    ]  # fmt: skip


def figures(rounds: dict[str, Round] | None) -> list[Figure]:
    """Nobody waits long, and nobody is much slower than a third of the machine makes it."""
    slower = {kind: _ratio(rounds["alone"], rounds["together"], kind) if rounds else None for kind in KINDS}
    audit = rounds["together"]["audit"].waits if rounds else {}
    claims = rounds["together"]["images"].waits.get("claim", []) if rounds else []
    longest = max([*claims, *(wait for found in audit.values() for wait in found)], default=None)
    return [
        *(Figure(f"{kind}: together / alone", value and round(value, 2), 10.0, 4.0) for kind, value in slower.items()),
        Figure("longest wait of a task of an audit, or of a claim, s", longest and round(longest, 1), 15.0, 5.0),
    ]


def _ratio(alone: Round, other: Round, kind: str) -> float:
    return median(other[kind].seconds) / median(alone[kind].seconds)


def _waits(found: Sequence[float]) -> str:
    return f"{median(found):.1f}; {max(found):.1f} ({len(found)})" if found else ""


def _at(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def main(arguments: list[str]) -> int:
    """Run the benchmark; 1 when a `must` is missed."""
    parser = parts.parser_of("share", "three kinds of work on the same workers", Bench.all_parts)
    parser.add_argument("--mb", type=float, help="size of the file in MB (1000; 100)")
    parser.add_argument("--pictures", type=int, help="uploads of a burst (300; 40)")
    options = parser.parse_args(arguments)
    options.mb = options.mb or (100.0 if options.quick else 1000.0)
    options.pictures = options.pictures or (40 if options.quick else 300)
    return parts.run(Bench, options)
