"""The upload part: how long 50 clients wait for an answer while resizing has both cores, and what memory it takes.

Every server gets the same 3 MB pictures from the same clients, each in turn, under the same load: two processes that
resize without a pause. The DAG is paused meanwhile, so that nobody's uploads add to that load. The ticket's endpoint
takes a form, so Millrace is measured with a form too; the sink takes the body, and so does Millrace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.images.client import Order, Uploads
from bench.images.door import DAG, Door
from bench.images.load import Resizing, upload
from bench.images.memory import MemoryWatch
from bench.images.photos import KINDS, make
from bench.images.server import Server
from bench.measure import descendants, snapshot
from stack.errors import StackError

CLIENTS = 50
SIZE_BYTES = 3e6
WARM_UPLOADS = 2
BODY, FORM, SINK, TICKET = "Millrace, body", "Millrace, form", "sink: uvicorn, body to a file", "the ticket's endpoint"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    uploads: int
    rounds: int
    ticket_uploads: int


FULL, QUICK = Scale(600, 3, 100), Scale(100, 1, 50)


@dataclass
class Found:
    """What the upload part found, by server."""

    runs: dict[str, list[Uploads]] = field(default_factory=lambda: defaultdict(list))
    idle_rss: int = 0
    peak_rss: dict[str, int] = field(default_factory=dict)
    peak_pss: dict[str, int | None] = field(default_factory=dict)
    cpu_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # of the server, an upload
    megabytes: float = 0.0

    def seconds(self, name: str, percent: float) -> float | None:
        """Median over the rounds of a percentile."""
        found = self.runs.get(name)
        return median(one.percentile(percent) for one in found) if found else None

    def growth_bytes(self) -> int | None:
        """Peak memory of Airflow's API server over idle; resident, as each sees it who looks at the process."""
        peaks = [self.peak_rss[name] for name in (BODY, FORM) if name in self.peak_rss]
        return max(peaks) - self.idle_rss if peaks else None


class UploadPart:
    """The part under way."""

    def __init__(self, folder: Path, door: Door, scale: Scale, say: Say) -> None:
        self.folder, self.door, self.scale, self.say = folder, door, scale, say
        self.found = Found()
        self.pictures = make(folder, KINDS[0], 2)
        self.file = min(self.pictures, key=lambda picture: abs(picture.stat().st_size - SIZE_BYTES))
        self.found.megabytes = self.file.stat().st_size / 1e6

    def run(self) -> Found:
        """Everything of this part."""
        self.door.pause(True)
        try:
            self.door.await_idle()
            with MemoryWatch(self.api_processes()) as idle:
                pass
            self.found.idle_rss = idle.first_rss
            with Resizing(self.folder, self.pictures):
                for number in range(self.scale.rounds):
                    self.sink()
                    self.ours(BODY, form=False)
                    self.ours(FORM, form=True)
                    if number == 0:
                        self.ticket()
        finally:
            self.door.empty()
            self.door.pause(False)
        return self.found

    def ours(self, name: str, *, form: bool) -> None:
        """Airflow's API server with Millrace's routes."""
        order = self.door.order(self.file, self.scale.uploads, CLIENTS, form=form)
        done = self.measure(name, order, self.api_processes())
        kept = sum(self.door.counts().values())
        if kept != self.scale.uploads or len(set(done.ids)) != kept:
            raise StackError(f"{name}: of {self.scale.uploads} uploads {len(set(done.ids))} have ids, {kept} are kept")
        self.door.empty()

    def sink(self) -> None:
        """A server that does nothing but to write the body to a file."""
        with Server("sink.py", self.folder) as server:
            self.measure(SINK, Order(server.url + "/", str(self.file), self.scale.uploads, CLIENTS), [server.pid])

    def ticket(self) -> None:
        """The endpoint that resizes inside the request."""
        with Server("ticket.py", self.folder) as server:
            order = Order(server.url + "/upload", str(self.file), self.scale.ticket_uploads, CLIENTS, form=True)
            self.measure(TICKET, order, [server.pid])

    def measure(self, name: str, order: Order, processes: list[int]) -> Uploads:
        """One run of the clients under load, booked. Raises StackError when an upload is refused."""
        self.say(f"{name}: {order.count} uploads of {self.found.megabytes:.1f} MB")
        upload(Order(order.url, order.file, WARM_UPLOADS, 1, order.form, order.token))
        if order.token:
            self.door.empty()
        before = cpu_seconds(processes)
        with MemoryWatch(processes) as watch:
            done = upload(order)
        spent = cpu_seconds(processes) - before
        if done.refused:
            raise StackError(f"{name}: {done.refused} of {order.count} uploads were refused: {done.faults[0]}")
        self.found.runs[name].append(done)
        self.found.cpu_ms[name].append(1000 * spent / order.count)
        self.found.peak_rss[name] = max(self.found.peak_rss.get(name, 0), watch.peak_rss)
        self.found.peak_pss[name] = watch.peak_pss
        self.say(f"  p50 {done.percentile(50):.2f} s, p99 {done.percentile(99):.2f} s")
        return done

    def api_processes(self) -> list[int]:
        """The processes of Airflow's API server."""
        return descendants(snapshot(), self.door.place.component("api-server"))


def cpu_seconds(pids: list[int]) -> float:
    """CPU of these processes so far."""
    processes = snapshot()
    return sum(processes[pid].cpu_seconds for pid in pids if pid in processes)


def notes(found: Found) -> list[str]:
    """What a reader has to know about the table."""
    return [
        f"Uploads: {CLIENTS} clients, {found.megabytes:.1f} MB, while two processes resize; {DAG} is paused meanwhile.",
        f"Idle, Airflow's API server holds {found.idle_rss / 1e6:,.0f} MB (RSS).",
    ]
