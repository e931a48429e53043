"""What came of the batches, as lines and as a page."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fuzz.judging import Checked, Difference

ROOT = Path(__file__).resolve().parent.parent
RUNS = """\
| day | version | judge | seeds | cases | differences | explained (fuzz.md) |
| --- | --- | --- | --- | ---: | ---: | --- |"""
MARK = "<!-- runs: "
MOST_SHOWN = 20


@dataclass
class Tally:
    """What a judge has seen so far."""

    name: str
    cases: int = 0
    batches: int = 0
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)
    explained: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)

    def add(self, checked: Checked, seconds: float) -> None:
        """Count a batch."""
        self.cases += checked.cases
        self.batches += 1
        self.seconds += seconds
        self.differences += checked.differences
        self.explained += checked.explained
        self.held += checked.held


def line_of(tally: Tally) -> str:
    """A few words of progress."""
    return f"{tally.name}: {tally.cases:,} cases, {len(tally.differences)} differences"


def table_of(tallies: Iterable[Tally]) -> str:
    """The table of all judges, in Markdown."""
    lines = ["| judge | cases | differences | explained (docs/fuzz.md) |", "| --- | ---: | ---: | --- |"]
    for tally in tallies:
        explained = ", ".join(f"{name} {number:,}" for name, number in sorted(tally.explained.items()))
        lines.append(f"| {tally.name} | {tally.cases:,} | {len(tally.differences)} | {explained or 'none'} |")
    return "\n".join(lines)


def _named(file: Path) -> str:
    """As it is written in the project's folder."""
    place = file.resolve()
    return str(place.relative_to(ROOT) if place.is_relative_to(ROOT) else file)


def write(file: Path, tallies: Iterable[Tally], *, seed: int) -> None:
    """Add what these have seen to the page, and make the page anew of all that was added to it."""
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    new = [
        {
            "day": day,
            "version": _version(),
            "seed": seed,
            **vars(tally),
            "differences": list(map(vars, tally.differences)),
        }
        for tally in tallies
        if tally.cases
    ]
    runs = [*_runs_of(file), *new]
    parts = [
        "# What the judges found",
        f"`./run fuzz --report {_named(file)}` adds its runs to this page. [How they judge](fuzz.md).",
        "\n".join([RUNS, *(_row(run) for run in runs)]),
    ]
    for judge in dict.fromkeys(run["name"] for run in runs):
        held = sum((Counter(run["held"]) for run in runs if run["name"] == judge), Counter())
        if held:
            cases = sum(run["cases"] for run in runs if run["name"] == judge)
            lines = [f"| {name} | {number:,} |" for name, number in sorted(held.items())]
            parts.append(f"What the {cases:,} cases of `{judge}` held:")
            parts.append("\n".join(["| what | times |", "| --- | ---: |", *lines]))
    for run in runs:
        differences = run["differences"][:MOST_SHOWN]
        parts += [f"Seed {one['seed']} of `{run['name']}`:\n\n```\n{one['case']}\n```" for one in differences]
    data = json.dumps(runs).replace(">", "\\u003e")  # a case may end the comment
    file.write_text("\n\n".join([*parts, f"{MARK}{data} -->"]) + "\n")


def _runs_of(file: Path) -> list[dict[str, Any]]:
    """What the page holds already, from the comment at its end."""
    held = file.read_text().rpartition(MARK)[2].removesuffix(" -->\n") if file.exists() else "[]"
    runs: list[dict[str, Any]] = json.loads(held)
    return runs


def _row(run: dict[str, Any]) -> str:
    explained = ", ".join(f"{name} {number:,}" for name, number in sorted(run["explained"].items()))
    seeds = f"{run['seed']} to {run['seed'] + run['batches'] - 1}"
    return (
        f"| {run['day']} | {run['version']} | {run['name']} | {seeds} | {run['cases']:,} | {len(run['differences'])} |"
        f" {explained or 'none'} |"
    )


def _version() -> str:
    """The commit, where this is a clone."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
