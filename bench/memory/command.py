"""`./run bench memory`: four parts, each of which can run alone by `--only`.

| part | what it measures |
| --- | --- |
| verdicts | precision and recall on simulated processes, and how long a leak goes unnoticed |
| real | programs that really leak, old versions of packages among them, and innocent ones |
| cost | what the audit takes when it only watches, and what a deep profile costs its host |
| many | how long one audit of 200 processes takes |

None needs Airflow. `real` installs the old versions from PyPI, each into a venv of its own under
`.millrace/bench/memory/`. `--quick` runs the same code on less and writes nothing into the repository.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from rich.console import Console

from bench import machine, report
from bench.figures import Figure
from bench.memory import cost, many, real, verdicts, watcher
from bench.memory.kinds import KINDS, Kind
from bench.memory.late_kinds import LATE_KINDS
from bench.report import Result, Sheet
from include.memory.errors import MemoryAuditError
from stack.errors import StackError
from stack.settings import REPOSITORY, state_folder

PARTS = ("verdicts", "real", "cost", "many")
PACKAGES = ("numpy", "scipy", "psycopg", "pandas", "SQLAlchemy", "jinja2", "botocore")
SEEDS, QUICK_SEEDS = 50, 5
LOOK_SECONDS = 2.0
BUSY_PERCENT = 15.0


class Bench:
    """One benchmark under way. A part that fails leaves its reason among the notes, and its figures without values."""

    def __init__(self, folder: Path, options: argparse.Namespace, console: Console) -> None:
        self.folder, self.options, self.console = folder, options, console
        self.parts = [options.only] if options.only else list(PARTS)
        self.sheets: list[Sheet] = []
        self.figures: list[Figure] = []
        self.notes: list[str] = []
        busy = psutil.cpu_percent(LOOK_SECONDS)
        if busy > BUSY_PERCENT:
            self.notes.append(f"The machine was busy to {busy:.0f} % before this began: pauses mean little.")

    def run(self) -> None:
        """The parts, in turn."""
        for part in self.parts:
            self.say(part)
            getattr(self, f"run_{part}")()

    def run_verdicts(self) -> None:
        """Simulated processes."""
        seeds = self.options.seeds or (QUICK_SEEDS if self.options.quick else SEEDS)

        def judged(kinds: tuple[Kind, ...], title: str) -> verdicts.Score:
            chosen = [kind for kind in kinds if not self.options.kind or kind.name in self.options.kind]
            lines = verdicts.run(chosen, seeds, self.say)
            self.sheets.append(verdicts.sheet(lines, title))
            return verdicts.score(lines)

        early = judged(KINDS, "Kinds that the rules were made with")
        late = judged(LATE_KINDS, "Kinds that were written after the rules were frozen")
        if self.options.kind:
            return
        steady = verdicts.delays(verdicts.steady_leak, seeds)
        fast = verdicts.delays(verdicts.fast_leak, seeds)[1]
        self.figures += verdicts.figures(early, late, steady, fast)

    def run_real(self) -> None:
        """Real programs."""
        chosen = self.options.program or (real.QUICK if self.options.quick else ())
        rows = real.measure(self.folder, chosen, self.say)
        self.book(rows, real.sheets, real.figures(rows))

    def run_cost(self) -> None:
        """Watching, and a deep profile."""
        rounds = watcher.QUICK_ROUNDS if self.options.quick else watcher.ROUNDS
        watched = self.attempt(lambda: watcher.measure(self.folder, rounds, self.say))
        self.book(watched, watcher.sheets, watcher.figures(watched))
        scale = cost.QUICK if self.options.quick else cost.FULL
        profiles = self.attempt(lambda: cost.measure(scale, self.say))
        self.book(profiles, cost.sheets, cost.figures(profiles))

    def run_many(self) -> None:
        """Many processes at once."""
        found = self.attempt(lambda: many.measure(rounds=many.QUICK_ROUNDS if self.options.quick else many.ROUNDS))
        self.book(found, many.sheets, many.figures(found))

    def attempt(self, measure: Callable[[], Any]) -> Any:
        """What a part found; None, with the reason among the notes, when it failed."""
        try:
            return measure()
        except (StackError, MemoryAuditError) as fault:
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


def run(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 when a `must` is missed."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    folder = state_folder() / "bench" / "memory"
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        bench = Bench(folder, options, console)
        bench.run()
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    bench.notes.append(f"It took {(time.monotonic() - began) / 60:.1f} minutes.")
    facts = {**machine.host(folder), **machine.software(PACKAGES, real.PINS)}
    found = Result(f"Memory: {', '.join(bench.parts)}", facts, [], bench.figures, {}, bench.notes, bench.sheets)
    _write(bench, found, options)
    report.show(found, console)
    print(report.last_line(found.figures))
    return 0 if all(figure.reached for figure in found.figures) else 1


def _write(bench: Bench, found: Result, options: argparse.Namespace) -> None:
    """A whole run leaves its results in the repository, any other in the benchmark's own folder."""
    whole = not (options.quick or options.only or options.kind or options.program)
    folder = REPOSITORY / "bench" / "results" if whole else bench.folder / "results"
    report.write(found, folder, "memory" if not options.only else f"memory-{options.only}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench memory", description="Benchmark of the memory audit.")
    parser.add_argument("--quick", action="store_true", help="less of everything; writes nothing into the repository")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--seeds", type=int, help=f"simulated processes of each kind ({SEEDS}; {QUICK_SEEDS})")
    parser.add_argument("--kind", action="append", help="only this simulated kind; no figures (may be repeated)")
    parser.add_argument("--program", action="append", help="only this real program (may be repeated)")
    options = parser.parse_args(arguments)
    if options.seeds is not None and options.seeds < 1:
        parser.error("--seeds must be at least 1")
    return options
