"""What came of the batches, as lines and as a page."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fuzz.judging import Checked, Difference

ROOT = Path(__file__).resolve().parent.parent


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


def write(file: Path, tallies: Iterable[Tally], *, command: str) -> None:
    """Write the page. `command` is what was typed after `./run fuzz`."""
    tallies = list(tallies)
    parts = [
        "# What the judges found",
        f"`./run fuzz {command}` wrote this page on {datetime.now(UTC):%Y-%m-%d},"
        f" of version {_version()}. [How they judge](fuzz.md).",
        table_of(tallies),
    ]
    for tally in tallies:
        if tally.held:
            lines = [f"| {name} | {number:,} |" for name, number in sorted(tally.held.items())]
            parts.append(f"What the {tally.cases:,} cases of `{tally.name}` held:")
            parts.append("\n".join(["| what | times |", "| --- | ---: |", *lines]))
        parts += [f"Seed {one.seed} of `{tally.name}`:\n\n```\n{one.case}\n```" for one in tally.differences[:20]]
    file.write_text("\n\n".join(parts) + "\n")


def _version() -> str:
    """The commit, where this is a clone."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
