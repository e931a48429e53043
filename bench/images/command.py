"""`./run bench images`: four parts, each of which can run alone by `--only`.

| part | what it measures |
| --- | --- |
| engine | pictures a second and quality of the resizing, against sharp, pyvips and others; needs no stack |
| upload | how long an upload waits for its answer under load, against a sink and the ticket's endpoint |
| latency | from the answer to all renditions, on an idle Airflow |
| burst | many uploads at once: nothing lost, and Airflow's share of the time |

The stack is the benchmark's own, under `.millrace/bench/`; it ends with the benchmark unless `--keep`. `--quick` runs
the same code on less; fixed costs then decide Airflow's share, so its figure looks worse than it is.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from rich.console import Console

from bench import machine, picture, report
from bench.figures import Figure
from bench.images import burst, engine, figures, latency, tables, uploads
from bench.images.door import Door
from bench.images.peers import PEERS, PINS
from bench.images.photos import KINDS
from bench.place import Place
from bench.report import Result, Sheet
from stack.errors import StackError
from stack.settings import REPOSITORY, state_folder

PARTS = ("engine", "upload", "latency", "burst")
PACKAGES = ("apache-airflow", "pillow", "numpy", "fastapi", "uvicorn", "uvloop", "httptools", "psycopg")
LOOK_SECONDS = 2.0
BUSY_PERCENT = 15.0
PICTURE = REPOSITORY / "docs" / "images-bench.svg"


class Bench:
    """One benchmark under way. A part that fails leaves its reason among the notes, and its figures without values."""

    def __init__(self, folder: Path, options: argparse.Namespace, console: Console) -> None:
        self.folder, self.options, self.console = folder, options, console
        self.parts = [options.only] if options.only else list(PARTS)
        self.machine = machine.host(folder)
        self.sheets: list[Sheet] = []
        self.figures: list[Figure] = []
        self.notes: list[str] = []
        self.look_for_others()
        self.engine: engine.Found | None = None
        self._door: Door | None = None
        self._no_door = ""
        self._stack = ExitStack()

    def run(self) -> None:
        """The parts, in turn."""
        with self._stack:
            for part in self.parts:
                self.say(part)
                getattr(self, f"run_{part}")()
        self.machine |= machine.software(PACKAGES, PINS)

    def look_for_others(self) -> None:
        """Note it when the machine is busy already: a contender with one thread then gets a smaller share of it."""
        busy = psutil.cpu_percent(LOOK_SECONDS)
        if busy > BUSY_PERCENT:
            self.notes.append(
                f"The machine was busy to {busy:.0f} % before this began: figures by the clock mean little, CPU ms do."
            )

    def run_engine(self) -> None:
        """Speed and quality of the engine."""
        scale = engine.QUICK if self.options.quick else engine.FULL
        rounds = self.options.repeat or scale.rounds
        scale = engine.Scale(scale.pictures, rounds, scale.times, scale.table_pictures)
        self.engine = self.attempt(lambda: engine.measure(self.folder, scale, self.say))
        self.book(self.engine, tables.of_engine, figures.of_engine(self.engine))

    def run_upload(self) -> None:
        """Answers to uploads under load."""
        scale = uploads.QUICK if self.options.quick else uploads.FULL
        scale = uploads.Scale(scale.uploads, self.options.repeat or scale.rounds, scale.ticket_uploads)
        found = self.attempt(lambda: uploads.UploadPart(self.folder, self.door, scale, self.say).run())
        self.notes += uploads.notes(found) if found else []
        self.book(found, tables.of_uploads, figures.of_uploads(found))

    def run_latency(self) -> None:
        """One picture on an idle Airflow."""
        times = latency.QUICK if self.options.quick else latency.FULL
        found = self.attempt(lambda: latency.measure(self.folder, self.door, times, self.say))
        self.book(found, tables.of_latency, figures.of_latency(found))

    def run_burst(self) -> None:
        """Many pictures at once."""
        count = burst.QUICK if self.options.quick else burst.FULL
        found = self.attempt(lambda: burst.measure(self.folder, self.door, count, self.say))
        self.book(found, tables.of_burst, figures.of_burst(found, count))

    def attempt(self, measure: Callable[[], Any]) -> Any:
        """What a part found; None, with the reason among the notes, when it failed."""
        try:
            return measure()
        except StackError as fault:
            self.notes.append(f"A part failed: {fault}")
            self.say(f"  {fault}")
            return None

    def book(self, found: Any, sheets: Callable[[Any], list[Sheet]], judged: list[Figure]) -> None:
        """Keep tables and figures of a part."""
        self.sheets += [] if found is None else sheets(found)
        self.figures += judged

    @property
    def door(self) -> Door:
        """The interface of the benchmark's stack, which the first use starts. Raises StackError when it does not."""
        if self._no_door:
            raise StackError(self._no_door)
        if self._door is None:
            try:
                self._door = self._open()
            except StackError as fault:
                self._no_door = f"there is no stack ({fault})"
                raise
        return self._door

    def _open(self) -> Door:
        place = self._stack.enter_context(Place(keep=self.options.keep))
        self.machine |= machine.server(place.admin)
        self.notes.append(f"The stack {'was up already' if place.was_up else 'was started for this'}.")
        return Door(place)

    def draw(self) -> str:
        """The picture for the README: everybody on the first kind of pictures."""
        assert self.engine is not None
        kind = KINDS[0]
        bars = [
            picture.Bar(peer.label, speed, ours=peer.name == "millrace")
            for peer in PEERS
            if (speed := self.engine.speed(peer.name, kind))
        ]
        bars.sort(key=lambda bar: -bar.value)
        subtitle = f"{kind.name} JPEGs to 1024, 512 and 128 px, each as JPEG and WebP, same settings, two cores"
        return picture.draw("Pictures resized a second", subtitle, "pictures/s", bars)

    def say(self, words: str) -> None:
        """One line about the progress."""
        self.console.print(f"{time.strftime('%H:%M:%S')}  {words}")


def run(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 when a `must` is missed."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    folder = state_folder() / "bench" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        bench = Bench(folder, options, console)
        bench.run()
    except StackError as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    bench.notes.append(f"It took {(time.monotonic() - began) / 60:.1f} minutes.")
    found = Result(_title(bench.parts), bench.machine, [], bench.figures, {}, bench.notes, bench.sheets)
    _write(bench, found, options)
    report.show(found, console)
    print(report.last_line(found.figures))
    return 0 if found.figures and all(figure.reached for figure in found.figures) else 1


def _write(bench: Bench, found: Result, options: argparse.Namespace) -> None:
    """A whole run leaves its results in the repository, any other in the benchmark's own folder."""
    whole = not options.quick and not options.only
    folder = REPOSITORY / "bench" / "results" if whole else bench.folder / "results"
    report.write(found, folder, "images" if not options.only else f"images-{options.only}")
    if bench.engine is not None:
        (PICTURE if whole else folder / PICTURE.name).write_text(bench.draw())


def _title(parts: list[str]) -> str:
    return f"Images: {', '.join(parts)}"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench images", description="Benchmark of the images.")
    parser.add_argument("--quick", action="store_true", help="less of everything; writes nothing into the repository")
    parser.add_argument("--repeat", type=int, help="rounds of the engine and of the uploads (5 and 3; 2 and 1)")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--keep", action="store_true", help="leave the benchmark's stack running")
    options = parser.parse_args(arguments)
    if options.repeat is not None and options.repeat < 1:
        parser.error("--repeat must be at least 1")
    return options
