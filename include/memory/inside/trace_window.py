"""Which lines allocate what stays: tracemalloc for a short window, in parts, compared by traceback.

Tracing slows Python code down by a factor of 2 to 10, and a snapshot stops every thread while it copies the traces,
so the window is bounded by time and by the memory of the traces (4 MB hold about 40,000, copied in 30 to 40 ms). A
line that grows in every part is a leak's; one that grows once is a cache's, or a burst's.
"""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from include.memory.inside.cpython import Frames, traces_of
from include.memory.inside.time_slices import Pace

OWN_FOLDER = str(Path(__file__).parents[1])
STEP_SECONDS = 0.05  # between looks at what the traces take, which an allocation-heavy program fills quickly
SLICE = 4_000  # traces that are read between two rests


@dataclass(frozen=True)
class Line:
    """A traceback, innermost frame first as `file:line`, and what it has allocated that was still there at the end.

    `grew` counts the parts of the window in which it added something.
    """

    frames: tuple[str, ...]
    bytes: int
    count: int
    grew: int


@dataclass(frozen=True)
class Traced:
    """What a window has found. `parts` were traced in all; `ended_early` says why there were fewer than asked for."""

    lines: tuple[Line, ...]
    seconds: float
    parts: int
    ended_early: str | None


Totals = dict[Frames, tuple[int, int]]  # bytes and count by traceback


def trace(pace: Pace, *, seconds: float, parts: int, frames: int, most_bytes: int, top: int) -> Traced:
    """Trace for so long, and rank the lines: first by the parts they grew in, then by bytes."""
    if tracemalloc.is_tracing():
        return Traced((), 0.0, 0, "the program traces its allocations itself")
    began, early = time.monotonic(), None
    taken: list[Totals] = []
    tracemalloc.start(frames)
    try:
        for _ in range(parts):
            early = _wait(seconds / parts, most_bytes)
            taken.append(_snapshot(pace))
            if early:
                break
    finally:
        pace.call(tracemalloc.stop)
    return Traced(_rank(taken, top), time.monotonic() - began, len(taken), early)


def _wait(seconds: float, most_bytes: int) -> str | None:
    """Let a part pass; why it ended early, if it did."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if tracemalloc.get_tracemalloc_memory() > most_bytes:
            return f"the traces took more than {most_bytes / 1e6:.0f} MB"
        time.sleep(min(STEP_SECONDS, left))
    return None


def _snapshot(pace: Pace) -> Totals:
    """Bytes and count by traceback. Tracebacks are one object for all their traces, so they are grouped by identity."""
    traces = traces_of(pace.call(tracemalloc.take_snapshot))
    found: dict[int, tuple[Frames, int, int]] = {}
    for begin in range(0, len(traces), SLICE):
        for _, size, frames, *_ in traces[begin : begin + SLICE]:
            _, total, count = found.get(id(frames), (frames, 0, 0))
            found[id(frames)] = frames, total + size, count + 1
        time.sleep(pace.rest_seconds)
    totals: Totals = {}
    for frames, size, count in found.values():
        if not frames[0][0].startswith((OWN_FOLDER, tracemalloc.__file__)):
            before = totals.get(frames, (0, 0))
            totals[frames] = before[0] + size, before[1] + count
    return totals


def _rank(taken: list[Totals], top: int) -> tuple[Line, ...]:
    if not taken:
        return ()
    lines = []
    for frames, (size, count) in taken[-1].items():
        sizes = [0, *(totals.get(frames, (0, 0))[0] for totals in taken)]
        grew = sum(after > before for before, after in pairwise(sizes))
        lines.append(Line(tuple(f"{file}:{line}" for file, line in frames), size, count, grew))
    return tuple(sorted(lines, key=lambda line: (-line.grew, -line.bytes))[:top])
