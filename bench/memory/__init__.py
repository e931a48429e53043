"""The benchmark of the memory audit: `./run bench memory [--only verdicts]`.

`verdicts` judges simulated processes (`kinds.py`, and `late_kinds.py`, which was written after the rules were frozen)
and measures how long a leak goes unnoticed. It takes minutes of one core and needs neither a database nor Airflow.
"""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console
from rich.table import Table

from bench import report
from bench.figures import Figure
from bench.memory import verdicts
from bench.memory.kinds import KINDS, Kind
from bench.memory.late_kinds import LATE_KINDS
from bench.memory.verdicts import Line

PARTS = ("verdicts",)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 when a `must` is missed."""
    options = _options(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    began = time.monotonic()
    found = _verdicts(options, console)
    console.print(f"It took {time.monotonic() - began:.0f} s.")
    report.show_figures(found, console)
    print(report.last_line(found))
    return 0 if all(figure.reached for figure in found) else 1


def _verdicts(options: argparse.Namespace, console: Console) -> list[Figure]:
    def judged(kinds: tuple[Kind, ...], title: str) -> verdicts.Score:
        chosen = [kind for kind in kinds if not options.kind or kind.name in options.kind]
        lines = verdicts.run(chosen, options.seeds, console.print)
        _show(lines, title, console)
        return verdicts.score(lines)

    early = judged(KINDS, "Kinds that the rules were made with")
    late = judged(LATE_KINDS, "Kinds that were written after the rules were frozen")
    if options.kind:
        return []
    steady = verdicts.delays(verdicts.steady_leak, options.seeds)
    fast = verdicts.delays(verdicts.fast_leak, options.seeds)[1]
    return verdicts.figures(early, late, steady, fast)


def _show(lines: list[Line], title: str, console: Console) -> None:
    table = Table(title=title, title_justify="left")
    for name in ("kind", "", "processes", "leaking", "too early", "watched at the end", "age, h, median", "said to be"):
        table.add_column(name, justify="left" if name in ("kind", "", "said to be") else "right")
    for line in lines:
        age = "" if line.hours is None else f"{line.hours:.1f}"
        counts = map(str, (line.processes, line.flagged, line.too_early, line.watched))
        table.add_row(line.kind, "leaks" if line.leaks else "innocent", *counts, age, line.kinds_said)
    console.print(table)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench memory", description="Benchmark of the memory audit.")
    parser.add_argument("--only", choices=PARTS, default="verdicts", help="the part to run")
    parser.add_argument("--seeds", type=int, default=50, help="processes of each kind (50)")
    parser.add_argument("--kind", action="append", help="only this kind; gives no figures (may be repeated)")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    return options
