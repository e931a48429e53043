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
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from bench import machine, parts, picture
from bench.images import burst, engine, figures, latency, tables, uploads
from bench.images.door import Door
from bench.images.peers import PEERS, PINS
from bench.images.photos import KINDS
from bench.parts import Parts
from bench.place import Place
from bench.report import Result
from stack.errors import StackError
from stack.settings import REPOSITORY

PARTS = ("engine", "upload", "latency", "burst")
PACKAGES = ("apache-airflow", "pillow", "numpy", "fastapi", "uvicorn", "uvloop", "httptools", "psycopg")
PICTURE = REPOSITORY / "docs" / "images-bench.svg"


class Bench(Parts):
    """The benchmark of the images."""

    name = "images"
    all_parts = PARTS
    # A contender with one thread then gets a smaller share of it.
    busy_means = "figures by the clock mean little, CPU ms do"

    def __init__(self, folder: Path, options: argparse.Namespace, console: Console) -> None:
        super().__init__(folder, options, console)
        self.machine = machine.host(folder)
        self.engine: engine.Found | None = None
        self._door: Door | None = None
        self._no_door = ""
        self._stack = ExitStack()

    def run(self) -> None:
        """The parts, in turn; the stack ends with the last."""
        with self._stack:
            super().run()

    def facts(self) -> dict[str, str]:
        """About machine and software, and the stack's server where one was asked."""
        return self.machine | machine.software(PACKAGES, PINS)

    def write(self, found: Result) -> None:
        """Results, and the picture of the engine."""
        super().write(found)
        if self.engine is not None:
            (PICTURE if self.whole else self.results / PICTURE.name).write_text(self.draw())

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


def run(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 when a `must` is missed."""
    return parts.run(Bench, _options(arguments))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = parts.parser_of("images", "the images", PARTS)
    parser.add_argument("--repeat", type=int, help="rounds of the engine and of the uploads (5 and 3; 2 and 1)")
    parser.add_argument("--keep", action="store_true", help="leave the benchmark's stack running")
    options = parser.parse_args(arguments)
    if options.repeat is not None and options.repeat < 1:
        parser.error("--repeat must be at least 1")
    return options
