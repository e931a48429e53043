"""Precision and recall of the verdicts on simulated processes, and how long a leak goes unnoticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from bench.figures import Figure
from bench.memory.kinds import Kind
from bench.memory.replay import Replay, replay
from bench.memory.world import LOOK_EVERY_HOURS, World
from bench.report import Sheet

Say = Callable[[str], None]


@dataclass(frozen=True)
class Line:
    """One kind: of how many processes, how many were flagged, watched at the end, and when."""

    kind: str
    leaks: bool
    processes: int
    flagged: int
    too_early: int
    watched: int
    hours: float | None  # median age at the flag
    kinds_said: str


@dataclass(frozen=True)
class Score:
    """Precision and recall over many processes. A leak that was flagged before it began counts against precision."""

    precision: float
    recall: float


def run(kinds: Sequence[Kind], seeds: int, say: Say) -> list[Line]:
    """Judge every kind with every seed."""
    lines = []
    for kind in kinds:
        done = [replay(kind.traces(seed), kind.judged_every_hours) for seed in range(seeds)]
        line = _line(kind, done)
        lines.append(line)
        when = "" if line.hours is None else f", at {line.hours:.1f} h"
        say(f"{kind.name:<28} {'leak' if kind.leaks else 'innocent':<9} flagged {line.flagged:>3} of {seeds}{when}")
    return lines


def score(lines: Sequence[Line]) -> Score:
    """A process counts as flagged if it was ever called leaking."""
    true = sum(line.flagged - line.too_early for line in lines if line.leaks)
    false = sum(line.flagged if not line.leaks else line.too_early for line in lines)
    leaks = sum(line.processes for line in lines if line.leaks)
    return Score(true / max(true + false, 1), true / max(leaks, 1))


def steady_leak(seed: int) -> tuple[float | None, float | None]:
    """Hours from the onset of a leak of 1 % of the process an hour to `growing (watch)` and to `leaking`."""
    rng = np.random.default_rng([seed, 1])
    world = World(rng, 60.0, 1.0)
    world.onset = float(rng.uniform(20, 30))
    part = world.python if rng.uniform() < 0.7 else world.native
    part += world.base * 0.01 * world.ramp(world.onset)
    return _delays(replay([world.freeze()], LOOK_EVERY_HOURS, from_hours=world.onset - 3.0), world.onset)


def fast_leak(seed: int) -> tuple[float | None, float | None]:
    """Hours from the onset of a leak that reaches the limit within three hours, audited every ten minutes."""
    rng = np.random.default_rng([seed, 2])
    lasts = float(rng.uniform(1.0, 3.0))
    onset = float(rng.uniform(3, 9))
    world = World(rng, onset + lasts, 1.0)
    world.onset, world.limit = onset, world.base * float(rng.uniform(1.8, 3.0))
    part = world.python if rng.uniform() < 0.7 else world.native
    part += (world.limit - world.base * 1.1) / lasts * world.ramp(onset)
    return _delays(replay([world.freeze()], LOOK_EVERY_HOURS), onset)


def delays(
    measure: Callable[[int], tuple[float | None, float | None]], seeds: int
) -> tuple[float | None, float | None]:
    """The medians over all seeds; one that was never noticed counts as endless."""
    found = [measure(seed) for seed in range(seeds)]
    return _median([watch for watch, _ in found]), _median([leaking for _, leaking in found])


def sheet(lines: Sequence[Line], title: str) -> Sheet:
    """One line a kind."""
    columns = ["kind", "is", "processes", "leaking", "too early", "watched at the end", "age, h, median", "said to be"]
    rows = []
    for line in lines:
        age = "" if line.hours is None else f"{line.hours:.1f}"
        counts = map(str, (line.processes, line.flagged, line.too_early, line.watched))
        rows.append([line.kind, "leak" if line.leaks else "innocent", *counts, age, line.kinds_said])
    return Sheet(title, columns, rows)


def figures(early: Score, late: Score, steady: tuple[float | None, float | None], fast: float | None) -> list[Figure]:
    """The table of the issue, as far as it is about verdicts."""
    watch, leaking = steady
    minutes = None if fast is None else round(fast * 60, 1)
    return [
        Figure("precision of verdicts on simulated series", round(early.precision, 4), 0.98, 0.995, "higher"),
        Figure("recall of verdicts on simulated series", round(early.recall, 4), 0.95, 0.99, "higher"),
        Figure("precision on kinds written after the rules", round(late.precision, 4), 0.9, 0.97, "higher"),
        Figure("recall on kinds written after the rules", round(late.recall, 4), 0.9, 0.97, "higher"),
        Figure("steady leak of 1 % an hour to growing (watch), h, median", watch, 10.0, 3.0),
        Figure("steady leak of 1 % an hour to leaking, h, median", leaking, 30.0, 10.0),
        Figure("fast leak to leaking, min, median", minutes, 45.0, 20.0),
    ]


def _line(kind: Kind, done: Sequence[Replay]) -> Line:
    flagged = [one for one in done if one.leaking_at is not None]
    said = Counter(one.said[-1].kind for one in flagged)
    return Line(
        kind.name,
        kind.leaks,
        len(done),
        len(flagged),
        sum(one.too_early for one in flagged),
        sum(bool(one.said) and one.said[-1].verdict == "growing (watch)" for one in done),
        median(one.leaking_at for one in flagged if one.leaking_at is not None) if flagged else None,
        ", ".join(f"{name} {count}" for name, count in said.most_common()),
    )


def _delays(found: Replay, onset: float) -> tuple[float | None, float | None]:
    watch = None if found.watched_at is None else found.watched_at - onset
    leaking = None if found.leaking_at is None or found.too_early else found.leaking_at - onset
    return watch, leaking


def _median(values: Sequence[float | None]) -> float | None:
    middle = median(float("inf") if value is None else value for value in values)
    return None if middle == float("inf") else round(middle, 2)
