"""A benchmark of several parts that run in turn, each alone by `--only`: the frame of all but the oldest one."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import psutil
from rich.console import Console

from bench import report
from bench.figures import Figure
from bench.report import Result, Sheet
from stack.errors import StackError
from stack.settings import REPOSITORY, state_folder

LOOK_SECONDS = 2.0
BUSY_PERCENT = 15.0


class Parts(ABC):
    """One benchmark under way. A part that fails leaves its reason among the notes, and its figures without values.

    `run_<part>` is a part; `busy_means` is what a busy machine does to the figures; `faults` are failures of a part.
    """

    name: ClassVar[str]
    all_parts: ClassVar[Sequence[str]]
    busy_means: ClassVar[str]
    faults: ClassVar[tuple[type[Exception], ...]] = (StackError,)

    def __init__(self, folder: Path, options: argparse.Namespace, console: Console) -> None:
        self.folder, self.options, self.console = folder, options, console
        self.parts = [options.only] if options.only else list(self.all_parts)
        self.sheets: list[Sheet] = []
        self.figures: list[Figure] = []
        self.notes: list[str] = []
        busy = psutil.cpu_percent(LOOK_SECONDS)
        if busy > BUSY_PERCENT:
            self.notes.append(f"The machine was busy to {busy:.0f} % before this began: {self.busy_means}.")

    def run(self) -> None:
        """The parts, in turn."""
        for part in self.parts:
            self.say(part)
            getattr(self, f"run_{part}")()

    def attempt(self, measure: Callable[[], Any]) -> Any:
        """What a part found; None, with the reason among the notes, when it failed."""
        try:
            return measure()
        except self.faults as fault:
            self.notes.append(f"A part failed: {fault}")
            self.say(f"  {fault}")
            return None

    def book(self, found: Any, sheets: Callable[[Any], list[Sheet]], judged: list[Figure]) -> None:
        """Keep tables and figures of a part."""
        self.sheets += [] if found is None else sheets(found)
        self.figures += judged

    def say(self, words: str) -> None:
        """One line about the progress."""
        self.console.print(f"{time.strftime('%H:%M:%S')}  {words}", markup=False)

    @property
    def whole(self) -> bool:
        """Whether all was asked for, so that the results belong into the repository."""
        return not self.options.quick and not self.options.only

    @property
    def judged(self) -> bool:
        """Whether there must be figures."""
        return True

    @property
    def title(self) -> str:
        """Of the results."""
        return f"{self.name.capitalize()}: {', '.join(self.parts)}"

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """About machine and software."""

    def write(self, found: Result) -> None:
        """A whole run leaves its results in the repository, any other in the benchmark's own folder."""
        report.write(found, self.results, self.name if not self.options.only else f"{self.name}-{self.options.only}")

    @property
    def results(self) -> Path:
        """The folder of the results."""
        return REPOSITORY / "bench" / "results" if self.whole else self.folder / "results"


def parser_of(name: str, what: str, all_parts: Sequence[str]) -> argparse.ArgumentParser:
    """The options that all of them have; a benchmark adds its own."""
    parser = argparse.ArgumentParser(prog=f"./run bench {name}", description=f"Benchmark of {what}.")
    parser.add_argument("--quick", action="store_true", help="less of everything; writes nothing into the repository")
    parser.add_argument("--only", choices=all_parts, help="one part alone")
    return parser


def run(kind: type[Parts], options: argparse.Namespace) -> int:
    """Run a benchmark; 1 when a `must` is missed."""
    interruptible()
    console = console_of()
    folder = state_folder() / "bench" / kind.name
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        bench = kind(folder, options, console)
        bench.run()
    except StackError as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    bench.notes.append(f"It took {(time.monotonic() - began) / 60:.1f} minutes.")
    found = Result(bench.title, bench.facts(), [], bench.figures, {}, bench.notes, bench.sheets)
    bench.write(found)
    code = conclude(found, console)
    return code if found.figures or not bench.judged else 1


def conclude(found: Result, console: Console) -> int:
    """Show the results, the last line for programs; 1 when a `must` is missed."""
    report.show(found, console)
    print(report.last_line(found.figures))
    return 0 if all(figure.reached for figure in found.figures) else 1


def console_of() -> Console:
    """Where progress and tables are printed; wide enough for them where it is no terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def interruptible() -> None:
    """End on SIGTERM as on Ctrl-C, so that what was started is stopped."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
