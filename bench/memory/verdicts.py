"""Precision and recall of the verdicts on simulated processes, and how long a leak goes unnoticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from bench.figures import Figure, Row, Say, rounded
from bench.harness import Bench
from bench.memory.kinds import KINDS, LATE_KINDS, Kind
from bench.memory.world import LOOK_EVERY_HOURS, Part, Trace, World
from bench.report import Sheet
from include.memory.verdict.judge import judge
from include.memory.verdict.series import Judgement

SEEDS, QUICK_SEEDS = 50, 5
LEAK, FLAGGED, EARLY = "leak", "leaking", "too early"
Delay = tuple[float | None, float | None]  # hours to `growing (watch)` and to `leaking`


@dataclass
class Replay:
    """What the audit said of a process. Ages in hours, of the incarnation it was said of; None is never."""

    leaking_at: float | None = None
    watched_at: float | None = None
    too_early: bool = False  # it was flagged before it leaked
    said: list[Judgement] = field(default_factory=list)


def replay(traces: Sequence[Trace], every_hours: float, *, from_hours: float = 0.0) -> Replay:
    """Judge each incarnation every so often, as far as could be known at each time; stops at the first flag.

    As in the audit, a suspected process is profiled, and looks are then taken after a collection; where a judgement
    suspects, it is made again with a collected look of that moment.
    """
    found = Replay()
    for trace in traces:
        collected = np.zeros(len(trace.raw), dtype=bool)
        suspect, profiled, last = False, False, from_hours
        count = int(np.floor((float(trace.hours[-1]) - from_hours) / every_hours + 1e-9))
        for now in (from_hours + every_hours * np.arange(1, count + 1)).tolist():
            looks = slice(*np.searchsorted(trace.raw.hours, [last + 1e-9, now + 1e-9]))
            collected[looks] = suspect
            said = judge(trace.until(now, collected, profiled))
            if said.suspect and not suspect and looks.stop > looks.start:
                collected[looks.stop - 1] = True
                said = judge(trace.until(now, collected, True))
            suspect, last = said.suspect, now
            profiled = profiled or suspect
            found.said.append(said)
            leaking, watched = said.verdict == "leaking", said.verdict == "growing (watch)" and now >= trace.onset
            if found.watched_at is None and (leaking or watched):
                found.watched_at = now
            if leaking:
                found.leaking_at, found.too_early = now, now < trace.onset
                return found
    return found


@dataclass(frozen=True)
class Found:
    """What is said of the kinds that the rules were made with, and of later ones; how soon leaks are noticed."""

    early: dict[str, Row]
    late: dict[str, Row]
    steady: Delay
    fast: float | None


def measure(bench: Bench) -> Found:
    """Everything of this part."""
    seeds = QUICK_SEEDS if bench.quick else SEEDS
    early, late = (judged(kinds, seeds, bench.say) for kinds in (KINDS, LATE_KINDS))
    return Found(early, late, delays(steady_leak, seeds), delays(fast_leak, seeds)[1])


def judged(kinds: Sequence[Kind], seeds: int, say: Say) -> dict[str, Row]:
    """Judge every kind with every seed."""
    rows: dict[str, Row] = {}
    for kind in kinds:
        done = [replay(kind.traces(seed), kind.judged_every_hours) for seed in range(seeds)]
        ages = [one.leaking_at for one in done if one.leaking_at is not None]
        said = Counter(one.said[-1].kind for one in done if one.leaking_at is not None)
        rows[kind.name] = {
            "is": LEAK if kind.leaks else "innocent", "processes": len(done), FLAGGED: len(ages),
            EARLY: sum(one.too_early for one in done),
            "watched at the end": sum(bool(one.said) and one.said[-1].verdict == "growing (watch)" for one in done),
            "age, h, median": median(ages) if ages else None,
            "said to be": ", ".join(f"{name} {count}" for name, count in said.most_common()),
        }  # fmt: skip
        say(f"{kind.name:<28} {'leak' if kind.leaks else 'innocent':<9} flagged {len(ages):>3} of {seeds}")
    return rows


def score(rows: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """Precision and recall. A process counts as flagged if it was ever called leaking; before it leaks, as false."""
    found = list(rows)
    true = sum(row[FLAGGED] - row[EARLY] for row in found if row["is"] == LEAK)
    false = sum(row[EARLY] if row["is"] == LEAK else row[FLAGGED] for row in found)
    leaks = sum(row["processes"] for row in found if row["is"] == LEAK)
    return true / max(true + false, 1), true / max(leaks, 1)


def steady_leak(seed: int) -> Delay:
    """Hours from the onset of a leak of 1 % of the process an hour to `growing (watch)` and to `leaking`."""
    world = World(np.random.default_rng([seed, 1]), 60.0, 1.0)
    world.onset = world.uniform(20, 30)
    part: Part = "python" if world.uniform(0, 1) < 0.7 else "native"
    trace = world.add(world.base * 0.01 * world.ramp(world.onset), part).freeze()
    return _delays(replay([trace], LOOK_EVERY_HOURS, from_hours=world.onset - 3.0), world.onset)


def fast_leak(seed: int) -> Delay:
    """Hours from the onset of a leak that reaches the limit within three hours, audited every ten minutes."""
    rng = np.random.default_rng([seed, 2])
    lasts, onset = float(rng.uniform(1.0, 3.0)), float(rng.uniform(3, 9))
    world = World(rng, onset + lasts, 1.0).set(onset=onset).leak_to_limit(lasts)
    return _delays(replay([world.freeze()], LOOK_EVERY_HOURS), onset)


def delays(measure: Callable[[int], Delay], seeds: int) -> Delay:
    """The medians over all seeds; one that was never noticed counts as endless."""
    found = [measure(seed) for seed in range(seeds)]
    return _median([watch for watch, _ in found]), _median([leaking for _, leaking in found])


def _median(values: Sequence[float | None]) -> float | None:
    middle = median(float("inf") if value is None else value for value in values)
    return None if middle == float("inf") else round(middle, 2)


def _delays(found: Replay, onset: float) -> Delay:
    watch = None if found.watched_at is None else found.watched_at - onset
    return watch, None if found.leaking_at is None or found.too_early else found.leaking_at - onset


def sheets(found: Found) -> list[Sheet]:
    """One line a kind."""
    return [
        Sheet.of("Kinds that the rules were made with", "kind", found.early),
        Sheet.of("Kinds that were written after the rules were frozen", "kind", found.late),
    ]


def figures(found: Found) -> list[Figure]:
    """How often the audit is right, for which a few seeds are too few, and how soon."""
    (precision, recall), (late_precision, late_recall) = score(found.early.values()), score(found.late.values())
    minutes, (watch, leaking) = rounded(None if found.fast is None else found.fast * 60, 1), found.steady

    def share(name: str, value: float, must: float, aim: float) -> Figure:
        return Figure(name, round(value, 4), must, aim, "higher", full_size=True)

    return [
        share("precision of verdicts on simulated series", precision, 0.98, 0.995),
        share("recall of verdicts on simulated series", recall, 0.95, 0.99),
        share("precision on kinds written after the rules", late_precision, 0.9, 0.97),
        share("recall on kinds written after the rules", late_recall, 0.9, 0.97),
        Figure("steady leak of 1 % an hour to growing (watch), h, median", watch, 10.0, 3.0, unit="h"),
        Figure("steady leak of 1 % an hour to leaking, h, median", leaking, 30.0, 10.0, unit="h"),
        Figure("fast leak to leaking, min, median", minutes, 45.0, 20.0, unit="min"),
    ]
