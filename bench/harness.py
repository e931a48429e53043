"""What every benchmark shares: contenders run in turn, runs become figures, figures a report.

A benchmark is a `Bench` with parts, each of which can run alone by `--only`. A part (a module, or a `PartOf`) measures
`Runs` (bench.figures), then makes tables and figures of them. `--quick` runs the same code on less and writes nothing
into the repository.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import psutil
from rich.console import Console

from bench import machine
from bench.figures import Figure
from bench.place import Place
from bench.report import Report, Sheet
from stack.errors import StackError
from stack.settings import REPOSITORY, state_folder

LOOK_SECONDS, BUSY_PERCENT = 2.0, 15.0


class PartOf(NamedTuple):
    """What is measured at once, its tables and its figures. One that failed has no tables, and figures of None."""

    measure: Callable[[Any], Any]
    sheets: Callable[[Any], list[Sheet]]
    figures: Callable[[Any], list[Figure]]


Parts = Mapping[str, Sequence[Any]]  # modules with these three functions, or PartOf


class Bench:
    """One benchmark under way. A part that fails (`faults`) leaves its reason among the notes, and figures of None."""

    name: ClassVar[str]
    parts: ClassVar[Parts]
    packages: ClassVar[Sequence[str]]
    pins: ClassVar[Path | None] = None
    busy_means: ClassVar[str]  # what a busy machine does to the figures
    faults: ClassVar[tuple[type[Exception], ...]] = (StackError,)

    def __init__(self, folder: Path, options: argparse.Namespace, console: Console) -> None:
        self.folder, self.options, self.console = folder, options, console
        self.quick: bool = options.quick
        self.whole = not options.quick and not options.only  # so that the results belong into the repository
        self.chosen: list[str] = [options.only] if options.only else list(self.parts)
        self.title = f"{self.name.capitalize()}: {', '.join(self.chosen)}"  # of the report
        self.file_name = f"{self.name}-{options.only}" if options.only else self.name
        self.machine = machine.host(folder)
        self.sheets: list[Sheet] = []
        self.figures: list[Figure] = []
        self.notes: list[str] = []
        self.raw: dict[str, Any] = {}
        self.found: dict[str, Any] = {}
        self.exits = ExitStack()  # what ends with the benchmark

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Options of its own."""

    def picture(self) -> tuple[str, str] | None:
        """The name and the text of an SVG for the documentation, if it has one."""
        return None

    @cached_property
    def place(self) -> Place:
        """The benchmark's own stack, which the first use starts. Raises StackError when it does not start."""
        place = self.exits.enter_context(Place(keep=self.options.keep, settle_seconds=0.3 if self.quick else 2.0))
        self.machine |= machine.server(place.admin)
        self.notes.append(f"The stack {'was up already' if place.was_up else 'was started for this'}.")
        return place

    def run(self) -> None:
        """The parts, in turn."""
        for name in self.chosen:
            self.say(name)
            for part in self.parts[name]:
                self.found[name] = None
                try:
                    self.found[name] = part.measure(self)
                    self.sheets += part.sheets(self.found[name])
                except self.faults as fault:
                    self.notes.append(f"A part failed: {fault}")
                    self.say(f"  {fault}")
                self.judge(part.figures(self.found[name]))

    def judge(self, figures: Sequence[Figure]) -> None:
        """Keep figures, as a run of this size can tell them."""
        self.figures += [figure.sized(quick=self.quick) for figure in figures]

    def say(self, words: str) -> None:
        """One line about the progress."""
        self.console.print(f"{time.strftime('%H:%M:%S')}  {words}", markup=False)

    def report(self) -> Report:
        """Run the parts in turn; what they found."""
        began, busy = time.monotonic(), psutil.cpu_percent(LOOK_SECONDS)
        if busy > BUSY_PERCENT:
            self.notes.append(f"The machine was busy to {busy:.0f} % before this began: {self.busy_means}.")
        with self.exits:
            self.run()
        self.notes.append(f"It took {(time.monotonic() - began) / 60:.1f} minutes.")
        facts = self.machine | machine.software(self.packages, self.pins)
        return Report(self.title, facts, self.figures, self.notes, self.sheets, self.raw)


def run(kind: type[Bench], arguments: list[str]) -> int:
    """Run a benchmark: 1 when a figure that was measured, or should have been, misses its `must`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is stopped
    parser = argparse.ArgumentParser(prog=f"./run bench {kind.name}", description=kind.__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything; writes nothing into the repository")
    parser.add_argument("--keep", action="store_true", help="leave the benchmark's stack running")
    parser.add_argument("--only", choices=list(kind.parts), help="one part alone")
    kind.add_options(parser)
    # Wide enough for the tables where it is no terminal.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    folder = state_folder() / "bench" / kind.name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        bench = kind(folder, parser.parse_args(arguments), console)
        found = bench.report()
    except StackError as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    found.write(REPOSITORY / "bench" / "results" if bench.whole else folder / "results", bench.file_name)
    if drawn := bench.picture():
        (REPOSITORY / "docs" if bench.whole else folder / "results").joinpath(drawn[0]).write_text(drawn[1])
    found.show(console)
    print(json.dumps([figure.as_dict() for figure in found.figures]))
    return 0 if all(figure.reached for figure in found.figures) else 1
