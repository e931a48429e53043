"""An audit of a simulated process: judged again and again, as far as could be known at each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.memory.world import Trace
from include.memory.verdict.judge import judge
from include.memory.verdict.series import Judgement


@dataclass
class Replay:
    """What the audit said of a process. Ages in hours, of the incarnation it was said of; None is never."""

    leaking_at: float | None = None
    watched_at: float | None = None
    too_early: bool = False  # it was flagged before it leaked
    said: list[Judgement] = field(default_factory=list)


def replay(traces: Sequence[Trace], every_hours: float, *, from_hours: float = 0.0, to_the_end: bool = False) -> Replay:
    """Judge each incarnation every so often; stops at the first flag unless `to_the_end`.

    As the audit does, a look is taken after a collection once the process is suspected, and a process that has been
    suspected was profiled; where a judgement suspects, it is made again with a collected look of that moment.
    """
    found = Replay()
    for trace in traces:
        _incarnation(trace, every_hours, from_hours, to_the_end, found)
        if found.leaking_at is not None and not to_the_end:
            break
    return found


def _incarnation(trace: Trace, every_hours: float, from_hours: float, to_the_end: bool, found: Replay) -> None:
    collected = np.zeros(len(trace.raw), dtype=bool)
    suspect, profiled, last = False, False, from_hours
    for now in _times(trace, every_hours, from_hours):
        looks = slice(*np.searchsorted(trace.raw.hours, [last + 1e-9, now + 1e-9]))
        collected[looks] = suspect
        said = judge(trace.until(now, collected, profiled))
        if said.suspect and not suspect and looks.stop > looks.start:
            collected[looks.stop - 1] = True
            said = judge(trace.until(now, collected, True))
        suspect, last = said.suspect, now
        profiled = profiled or suspect
        found.said.append(said)
        if said.verdict == "growing (watch)" and found.watched_at is None and now >= trace.onset:
            found.watched_at = now
        if said.verdict == "leaking" and found.leaking_at is None:
            found.leaking_at, found.too_early = now, now < trace.onset
            found.watched_at = now if found.watched_at is None else found.watched_at
            if not to_the_end:
                return


def _times(trace: Trace, every_hours: float, from_hours: float) -> list[float]:
    end = float(trace.hours[-1])
    count = int(np.floor((end - from_hours) / every_hours + 1e-9))
    return [from_hours + every_hours * number for number in range(1, count + 1)]
