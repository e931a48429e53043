"""The upload part: how long 50 clients wait for an answer while resizing has both cores, and what memory it takes.

Every server gets the same 3 MB pictures from the same clients, each in turn, under the same load: two processes that
resize without a pause. The DAG is paused meanwhile, so that nobody's uploads add to that load. The ticket's endpoint
takes a form, so Millrace is measured with a form too; the sink takes the body, and so does Millrace.
"""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.airflow import wait_for
from bench.figures import Figure, Runs, number, rounded
from bench.images import chain
from bench.images.client import Order, Uploads
from bench.images.door import DAG, Door, upload
from bench.images.peers import HERE, MILLRACE
from bench.images.photos import KINDS, make
from bench.images.team import Job
from bench.measure import MemoryWatch, cpu_of_all, descendants, snapshot
from bench.report import Sheet
from stack.errors import StackError
from stack.ports import HOST, free_port

CLIENTS = 50
SIZE_BYTES = 3e6
WARM_UPLOADS, START_SECONDS = 2, 30.0
BODY, FORM, SINK, TICKET = "Millrace, body", "Millrace, form", "sink: uvicorn, body to a file", "the ticket's endpoint"


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    uploads: int
    rounds: int
    ticket_uploads: int


FULL, QUICK = Scale(600, 3, 100), Scale(100, 1, 50)


@dataclass(frozen=True)
class Served:
    """One order of uploads to a server, and what it took."""

    uploads: Uploads
    cpu_ms: float  # an upload
    peak_rss: int
    peak_pss: int

    @property
    def speed(self) -> float:
        """Requests a second."""
        return len(self.uploads.seconds) / self.uploads.all_seconds

    @property
    def p50(self) -> float:
        """Half of the uploads took no longer."""
        return self.uploads.percentile(50)

    @property
    def p99(self) -> float:
        """99 % of the uploads took no longer."""
        return self.uploads.percentile(99)


@dataclass
class Found:
    """What the upload part found, by server."""

    runs: Runs[str, Served] = field(default_factory=Runs)
    idle_rss: int = 0
    megabytes: float = 0.0

    def growth_bytes(self) -> int | None:
        """Peak memory of Airflow's API server over idle; resident, as each sees it who looks at the process."""
        peaks = [one.peak_rss for name in (BODY, FORM) for one in self.runs.by.get(name, [])]
        return max(peaks) - self.idle_rss if peaks else None


def measure(bench: Any) -> Found:
    """Everything of this part."""
    folder, say, scale = bench.folder, bench.say, QUICK if bench.quick else FULL
    rounds: int = bench.options.repeat or scale.rounds
    door: Door = bench.door
    pictures = make(folder, KINDS[0], 2)
    file = min(pictures, key=lambda picture: abs(picture.stat().st_size - SIZE_BYTES))
    found = Found(megabytes=file.stat().st_size / 1e6)
    api = descendants(snapshot(), bench.place.component("api-server"))

    def one(name: str, order: Order, processes: list[int]) -> Served:
        say(f"{name}: {order.count} uploads of {found.megabytes:.1f} MB")
        upload(Order(order.url, order.file, WARM_UPLOADS, 1, order.form, order.token))
        if order.token:
            door.empty()
        before = cpu_of_all(processes)
        with MemoryWatch(processes) as watch:
            done = upload(order)
        spent = cpu_of_all(processes) - before
        say(f"  p50 {done.percentile(50):.2f} s, p99 {done.percentile(99):.2f} s")
        return Served(done, 1000 * spent / order.count, watch.peak_rss, watch.peak_pss)

    def ours(name: str) -> Served:
        """Airflow's API server with Millrace's routes."""
        done = one(name, door.order(file, scale.uploads, CLIENTS, form=name == FORM), api)
        kept, ids = sum(door.counts().values()), len(set(done.uploads.ids))
        if kept != scale.uploads or ids != kept:
            raise StackError(f"{name}: of {scale.uploads} uploads {ids} have ids, {kept} are kept")
        door.empty()
        return done

    def other(name: str, script: str, path: str, count: int) -> Served:
        with _server(script, folder) as (port, pid):
            return one(name, Order(f"http://{HOST}:{port}{path}", str(file), count, CLIENTS, name == TICKET), [pid])

    contenders: dict[str, Callable[[], Served]] = {
        SINK: lambda: other(SINK, "sink.py", "/", scale.uploads), BODY: lambda: ours(BODY), FORM: lambda: ours(FORM)
    }  # fmt: skip
    ticket = {TICKET: lambda: other(TICKET, "ticket.py", "/upload", scale.ticket_uploads)}
    door.airflow.pause(DAG, True)
    try:
        door.await_idle()
        with MemoryWatch(api) as idle:
            found.idle_rss = idle.first_rss
        with _resizing(folder, pictures):
            found.runs.take_turns({**contenders, **ticket}, 1)
            found.runs.take_turns(contenders, rounds - 1)
    finally:
        door.empty()
        door.airflow.pause(DAG, False)
    bench.notes += [
        f"Uploads: {CLIENTS} clients, {found.megabytes:.1f} MB, while two processes resize; {DAG} is paused meanwhile.",
        f"Idle, Airflow's API server holds {found.idle_rss / 1e6:,.0f} MB (RSS).",
    ]
    return found


@contextmanager
def _server(script: str, folder: Path) -> Iterator[tuple[int, int]]:
    """A small HTTP server in a process and a session of its own, with a folder for what it writes: port and pid."""
    files, log, port = folder / "uploads", folder / f"{script}.log", free_port()
    files.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(HERE / script), str(port), str(files)], stdin=subprocess.DEVNULL, stdout=out,
            stderr=out, start_new_session=True,
        )  # fmt: skip

    def answers() -> bool:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            return process.poll() is not None
        return True

    try:
        if not wait_for(answers, START_SECONDS, 0.05) or process.poll() is not None:
            raise StackError(f"{script} does not start, see {log}")
        yield port, process.pid
    finally:
        process.kill()
        process.wait(timeout=10)
        shutil.rmtree(files, ignore_errors=True)


@contextmanager
def _resizing(folder: Path, pictures: Sequence[Path]) -> Iterator[None]:
    """Two processes that make renditions without a pause, as two tasks do."""
    stop, faults = threading.Event(), list[StackError]()

    def jobs() -> Iterator[Job]:
        for picture in itertools.cycle(pictures):
            if stop.is_set():
                return
            yield picture, folder / "renditions" / "load" / picture.stem

    def work() -> None:
        try:
            team.run(jobs())
        except StackError as fault:
            faults.append(fault)

    with MILLRACE.team(folder, chain.FILES) as team:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=60)
    if faults:
        raise faults[0]


def sheets(found: Found) -> list[Sheet]:
    """Answers and memory by server."""

    def most(of: str) -> Callable[[str], str]:
        return lambda name: number(max(getattr(one, of) for one in found.runs.by[name]), 0, 1e6)

    count: dict[str, Callable[[str], str]] = {
        "server": str,
        "uploads": lambda name: f"{len(found.runs.by[name])} x {len(found.runs.by[name][0].uploads.seconds)}",
    }
    medians = {"requests/s": ("speed", 1), "p50 s": ("p50", 2), "p99 s": ("p99", 2), "CPU ms an upload": ("cpu_ms", 1)}
    peaks = {"peak RSS MB": most("peak_rss"), "peak PSS MB": most("peak_pss")}
    return [Sheet.medians("Uploads while two processes resize", count, found.runs, medians, peaks)]


def figures(found: Found | None) -> list[Figure]:
    """The time to an answer against the least and against the ticket's endpoint, and memory."""
    found = found or Found()
    ours = {name: found.runs.ratio(name, other, lambda one: one.p99) for name, other in ((BODY, SINK), (FORM, TICKET))}
    growth = found.growth_bytes()
    megabytes = rounded(None if growth is None else growth / 1e6, 1)
    return [
        Figure("upload p99 / a bare uvicorn sink", ours[BODY], 2.5, 1.5, full_size=True),
        Figure("upload p99, form / the ticket's endpoint", ours[FORM], 0.2, 0.1, full_size=True),
        Figure("peak memory of the API server over idle, MB", megabytes, 150.0, 60.0, unit="MB"),
    ]
