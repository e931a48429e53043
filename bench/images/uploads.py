"""The upload part: how long 50 clients wait for an answer while resizing has both cores, and what memory it takes.

Every server gets the same 3 MB pictures from the same clients, each in turn, while two processes resize without a
pause and the DAG is paused. The ticket's endpoint takes a form, the sink the body, so Millrace is measured with both.
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
from pathlib import Path
from typing import Any

from bench.airflow import wait_for
from bench.figures import Figure, Row, Runs, rounded
from bench.images import chain
from bench.images.client import Order, Uploads
from bench.images.door import DAG, Door, upload
from bench.images.peers import HERE, MILLRACE
from bench.images.photos import KINDS, make
from bench.images.team import Job
from bench.measure import cpu_of, descendants, memory, snapshot, watching
from bench.report import Sheet
from stack.errors import StackError
from stack.ports import HOST, free_port

CLIENTS = 50
SIZE_BYTES = 3e6
WARM_UPLOADS, START_SECONDS = 2, 30.0
BODY, FORM, SINK, TICKET = "Millrace, body", "Millrace, form", "sink: uvicorn, body to a file", "the ticket's endpoint"


FULL, QUICK = (600, 3, 100), (100, 1, 50)  # uploads, rounds, uploads to the ticket's endpoint
PEAK, IDLE = "peak RSS MB", "idle RSS MB"


def measure(bench: Any) -> Runs:
    """Everything of this part."""
    folder, (count, rounds, ticket_count) = bench.folder, QUICK if bench.quick else FULL
    door: Door = bench.door
    pictures, found = make(folder, KINDS[0], 2), Runs()
    file = min(pictures, key=lambda picture: abs(picture.stat().st_size - SIZE_BYTES))
    api = descendants(snapshot(), bench.place.component("api-server"))

    def one(name: str, order: Order, processes: list[int]) -> tuple[Row, Uploads]:
        bench.say(f"{name}: {order.count} uploads")
        upload(Order(order.url, order.file, WARM_UPLOADS, 1, order.form, order.token))
        if order.token:
            door.empty()
        before = sum(cpu_of(pid)[0] for pid in processes)
        with watching(processes) as watch:
            done = upload(order)
        cpu_ms = 1000 * (sum(cpu_of(pid)[0] for pid in processes) - before) / order.count
        bench.say(f"  p50 {done.percentile(50):.2f} s, p99 {done.percentile(99):.2f} s")
        return {
            "uploads": order.count, "requests/s": order.count / done.all_seconds, "p50 s": done.percentile(50),
            "p99 s": done.percentile(99), "CPU ms an upload": cpu_ms, PEAK: watch["rss"],
            "peak PSS MB": watch["pss"],
        }, done  # fmt: skip

    def ours(name: str) -> Row:
        """Airflow's API server with Millrace's routes."""
        row, done = one(name, door.order(file, count, CLIENTS, form=name == FORM), api)
        kept, ids = sum(door.counts().values()), len(set(done.ids))
        if kept != count or ids != kept:
            raise StackError(f"{name}: of {count} uploads {ids} have ids, {kept} are kept")
        door.empty()
        return row | {IDLE: idle}

    def other(name: str, script: str, path: str, count: int) -> Row:
        with _server(script, folder) as (port, pid):
            order = Order(f"http://{HOST}:{port}{path}", str(file), count, CLIENTS, name == TICKET)
            return one(name, order, [pid])[0]

    contenders: dict[str, Callable[[], Row]] = {
        SINK: lambda: other(SINK, "sink.py", "/", count), BODY: lambda: ours(BODY), FORM: lambda: ours(FORM)
    }  # fmt: skip
    ticket = {TICKET: lambda: other(TICKET, "ticket.py", "/upload", ticket_count)}
    door.await_idle()  # a run that is paused does not end
    door.airflow.pause(DAG, True)
    idle = sum(map(memory, api)) / 1e6
    try:
        with _resizing(folder, pictures):
            found.take_turns({**contenders, **ticket}, 1)
            found.take_turns(contenders, (bench.options.repeat or rounds) - 1)
    finally:
        door.empty()
        door.airflow.pause(DAG, False)
    bench.notes.append(
        f"Uploads: {CLIENTS} clients, {file.stat().st_size / 1e6:.1f} MB, while two processes resize; {DAG} is paused."
    )
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


def sheets(found: Runs) -> list[Sheet]:
    """Answers and memory by server, medians of the rounds."""
    return [Sheet.of("Uploads while two processes resize", "server", found.medians())]


def figures(found: Runs | None) -> list[Figure]:
    """The time to an answer against the least and against the ticket's endpoint, and memory."""
    found = found or Runs()
    peaks = [peak for name in (BODY, FORM) for peak in found.values(name, PEAK)]
    growth = max(peaks) - found.values(BODY, IDLE)[0] if peaks else None  # resident, as each sees it who looks
    return [
        Figure("upload p99 / a bare uvicorn sink", found.ratio(BODY, SINK, "p99 s"), 2.5, 1.5, full_size=True),
        Figure("upload p99, form / the ticket's endpoint", found.ratio(FORM, TICKET, "p99 s"), 0.2, 0.1,
               full_size=True),
        Figure("peak memory of the API server over idle, MB", rounded(growth, 1), 150.0, 60.0, unit="MB"),
    ]  # fmt: skip
