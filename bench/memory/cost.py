"""What a deep profile costs its host: the longest pause, and the work that is lost in an hour that holds one."""

from __future__ import annotations

import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.figures import Figure
from bench.memory.worker import stamps, working
from bench.report import Sheet
from include.memory.watcher import probe

HOUR = 3600.0
Say = Callable[[str], None]
Span = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """How often, and how long the worker is left alone before each profile."""

    rounds: int
    alone_seconds: float


FULL, QUICK = Scale(5, 20.0), Scale(1, 5.0)


@dataclass(frozen=True)
class Round:
    """One profile, and the time before it, in which the worker was left alone. Pauses are gaps between two steps."""

    alone_pause_seconds: float
    pause_seconds: float
    seconds: float  # that the profile took
    lost_seconds: float  # of work
    agents_pause_seconds: float  # what the agent says itself, and what it did then
    agents_pause_in: str

    @property
    def lost_percent(self) -> float:
        """Of the work of an hour that holds one such profile."""
        return 100 * self.lost_seconds / HOUR


def measure(scale: Scale, say: Say) -> list[Round]:
    """Leave the worker alone and profile it, in turn."""
    spans: list[tuple[Span, Span]] = []
    answers = []
    with tempfile.TemporaryDirectory(prefix="millrace-cost-") as place, working(Path(place)) as program:
        time.sleep(2.0)
        for number in range(scale.rounds):
            began = time.monotonic()
            time.sleep(scale.alone_seconds)
            asked = time.monotonic()
            answers.append(probe.profile(program.incarnation, folder=program.folder))
            ended = time.monotonic()
            spans.append(((began, asked), (asked, ended)))
            say(f"  profile {number + 1} of {scale.rounds}: {ended - asked:.0f} s")
        steps = stamps(program)
    return [
        judge(steps, alone, profiled, answer["longest_pause_seconds"], answer["longest_pause_in"])
        for (alone, profiled), answer in zip(spans, answers, strict=True)
    ]


def judge(steps: Sequence[float], alone: Span, profiled: Span, pause: float, pause_in: str) -> Round:
    """Compare the steps of two spans of time."""
    rate = _count(steps, alone) / (alone[1] - alone[0])
    seconds = profiled[1] - profiled[0]
    lost = seconds - _count(steps, profiled) / rate
    return Round(longest_gap(steps, alone), longest_gap(steps, profiled), seconds, lost, pause, pause_in)


def longest_gap(steps: Sequence[float], span: Span) -> float:
    """The longest time without the end of a step that ends within the span."""
    begin, end = bisect_left(steps, span[0]), bisect_right(steps, span[1])
    return max((steps[at] - steps[at - 1] for at in range(max(begin, 1), end)), default=span[1] - span[0])


def sheets(rounds: Sequence[Round]) -> list[Sheet]:
    """One line a profile."""
    columns = [
        "profile", "longest pause alone, ms", "longest pause profiled, ms", "the agent's own longest, ms", "in",
        "profile, s", "work lost, s", "of an hour, %",
    ]  # fmt: skip
    rows = [
        [
            str(number), f"{one.alone_pause_seconds * 1e3:.0f}", f"{one.pause_seconds * 1e3:.0f}",
            f"{one.agents_pause_seconds * 1e3:.0f}", one.agents_pause_in, f"{one.seconds:.1f}",
            f"{one.lost_seconds:.1f}", f"{one.lost_percent:.2f}",
        ]
        for number, one in enumerate(rounds, 1)
    ]  # fmt: skip
    return [Sheet("A deep profile of a worker with a million objects that allocates all the time", columns, rows)]


def figures(rounds: Sequence[Round] | None) -> list[Figure]:
    """Medians over the profiles."""
    found = rounds or []
    pause = round(median(one.pause_seconds for one in found) * 1e3, 1) if found else None
    lost = round(median(one.lost_percent for one in found), 2) if found else None
    return [
        Figure("deep profile, longest pause of an allocation-heavy worker, ms", pause, 250.0, 50.0),
        Figure("deep profile, work lost in an hour that holds one, %", lost, 3.0, 1.0),
    ]


def _count(steps: Sequence[float], span: Span) -> int:
    return bisect_right(steps, span[1]) - bisect_left(steps, span[0])
