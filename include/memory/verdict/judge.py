"""The verdict on a process: pure functions over its series.

Two tiers. Memory that rises makes a suspect (`suspicion.py`); the counters inside decide whether it leaks: a counter
that has risen, also after collections, in a way that no curve which levels off explains (`saturation.py`). The trend
of memory alone condemns only where no counters can be had, and then only after a day. A rise that leaves no time is
judged within minutes (`fast_leak.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from include.memory.verdict import growth_kinds, saturation
from include.memory.verdict.curve_points import points_of
from include.memory.verdict.fast_leak import FastRise, earlier_look, fast_rise
from include.memory.verdict.saturation import Explained
from include.memory.verdict.series import Floats, Growth, Judgement, Kind, Series
from include.memory.verdict.suspicion import MATERIAL_SHARE, Rise, material, rising
from include.memory.verdict.trend import floor, slope

LEAST_SAMPLES, LEAST_HOURS = 6, 0.2
WARM_UP_HOURS = 1.0
# Odds and what must last of the rate: decision 12. `./run bench memory --only verdicts` measures what a change does.
ODDS = 12.0
LASTING = 0.4
LEAST_SHARE = 0.01  # of the counter's level, that growth has added
LEAST_BYTES = 1e6
LEAST_HOURS_OF_LEAK = 2.5
BLIND_ODDS, BLIND_LASTING, BLIND_HOURS = 30.0, 0.6, 24.0
NEAR_LIMIT = 0.92


@dataclass(frozen=True)
class Counter:
    """A counter inside the process that rises, and how it is explained. `bytes_each` makes its units bytes."""

    name: str
    kind: Kind
    level: float
    bytes_each: float
    explained: Explained | None

    def leaks(self, now: float) -> bool:
        """Whether it has grown in a way that no curve which levels off explains."""
        found = self.explained
        if found is None:
            return False
        enough = found.rise >= LEAST_SHARE * self.level and found.rise * self.bytes_each >= LEAST_BYTES
        lasted = now - found.since_hours >= LEAST_HOURS_OF_LEAK
        return enough and lasted and found.odds >= ODDS and found.lasting >= LASTING


def judge(series: Series) -> Judgement:
    """Judge one incarnation of a process by all that is known of it up to its last sample."""
    if len(series.hours) < LEAST_SAMPLES or series.now - series.hours[0] < LEAST_HOURS:
        return Judgement(
            "not enough data",
            "none",
            f"{len(series.hours)} looks so far; a verdict takes {LEAST_SAMPLES} over {LEAST_HOURS * 60:g} minutes.",
        )
    fast = fast_rise(series)
    if fast and fast.proved and not series.bound:
        return _fast_leak(series, fast)
    if series.now < WARM_UP_HOURS:
        why = f"It is {series.now * 60:.0f} minutes old; what it imports and fills first is no trend."
        return Judgement("warming up", "none", why, suspect=fast is not None)
    memory = rising(series.hours, series.used_bytes, material(float(np.median(series.used_bytes))))
    counters = _rising_counters(series)
    leaking = [counter for counter in counters if counter.leaks(series.now)]
    if leaking:
        return _leak(series, max(leaking, key=lambda counter: (counter.explained or _NEVER).odds))
    if memory is None and not counters and fast is None:
        return _near_limit(series) or _steady(series)
    if len(series.looks) < LEAST_SAMPLES:
        return _blind(series, memory)
    return _growing(series, memory, counters, fast)


_NEVER = Explained(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def _rising_counters(series: Series) -> list[Counter]:
    looks = series.looks
    found = []
    for name, kind, values, bytes_each in (
        ("allocated blocks", "Python objects", looks.blocks, growth_kinds.BYTES_A_BLOCK),
        ("malloc's bytes in use", "native memory", looks.heap_bytes, 1.0),
    ):
        level = float(np.median(values)) if len(values) else 0.0
        least = max(MATERIAL_SHARE * level, LEAST_BYTES / bytes_each)
        if rising(looks.hours, values, least) is None:
            continue
        points = points_of(series, looks.hours, values, looks.collected)
        explained = saturation.explain(points) if points else None
        found.append(Counter(name, kind, level, bytes_each, explained))  # type: ignore[arg-type]
    return found


def _leak(series: Series, counter: Counter) -> Judgement:
    explained = counter.explained or _NEVER
    since = explained.since_hours
    growth = _growth(series, since)
    if series.bound:
        why = (
            f"{series.bound.holder} holds the growth: {series.bound.entries:,} of {series.bound.limit:,} entries, "
            "where it will stop."
        )
        return Judgement("growing (watch)", "cache", why, growth, _left(series, growth), since, True)
    rate = explained.rate * counter.bytes_each / 1e6
    why = (
        f"{counter.name[0].upper()}{counter.name[1:]} have grown for {series.now - since:.1f} hours, by about "
        f"{rate:.1f} MB an hour, also after collections, and no curve that levels off explains it."
    )
    kind: Kind = counter.kind
    if kind == "Python objects" and not _objects_rise(series, since):
        why += " The collector's objects have not: strings, bytes or numbers, or references that were never given back."
    return Judgement("leaking", kind, why, growth, _left(series, growth), since, True)


def _objects_rise(series: Series, since: float) -> bool:
    """Whether the collector's objects account for a part of the growth; also true where they were not counted."""
    looks = series.looks
    counted = np.flatnonzero((looks.hours >= since) & ~np.isnan(looks.objects))
    if len(counted) < 2:
        return True
    parts = growth_kinds.accounted(looks, int(counted[0]), int(counted[-1]))
    return parts.objects * growth_kinds.BYTES_A_BLOCK >= 0.1 * parts.python


def _fast_leak(series: Series, fast: FastRise) -> Judgement:
    looks = series.looks
    parts = growth_kinds.accounted(looks, earlier_look(looks) or 0, len(looks) - 1)
    kind: Kind = "Python objects" if parts.python >= parts.native else "native memory"
    growth = Growth(*(value / 1e6 for value in (fast.rate, fast.rate - 2 * fast.error, fast.rate + 2 * fast.error)))
    goal = "the limit" if series.limit_bytes else "twice its size"
    why = (
        f"It has grown in a straight line for {(series.now - fast.since_hours) * 60:.0f} minutes, the counters inside "
        f"account for it, and it reaches {goal} in {fast.hours_left:.1f} hours."
    )
    return Judgement("leaking", kind, why, growth, fast.hours_left, fast.since_hours, True)


def _blind(series: Series, memory: Rise | None) -> Judgement:
    """Memory rises and nothing can be seen inside: only a day of growth that does not level off condemns."""
    growth = _growth(series, series.now - (memory.window_hours if memory else 1.0))
    every = np.ones(len(series.hours), dtype=bool)
    points = points_of(series, series.hours, series.used_bytes, every) if series.now > BLIND_HOURS else None
    found = saturation.explain(points) if points else _NEVER
    lasted = series.now - found.since_hours
    sure = found.odds >= BLIND_ODDS and found.lasting >= BLIND_LASTING and lasted >= BLIND_HOURS
    if sure and found.rise >= 2 * material(float(series.used_bytes[0])):
        growth = _growth(series, found.since_hours)
        why = f"There are no counters from inside; memory has grown for {lasted:.0f} hours and does not level off."
        return Judgement("leaking", "unknown", why, growth, _left(series, growth), found.since_hours, True)
    why = "Memory grows, and there are not enough counters from inside to say whether it leaks."
    return Judgement("growing (watch)", "unknown", why, growth, _left(series, growth), None, True)


def _growing(series: Series, memory: Rise | None, counters: list[Counter], fast: FastRise | None) -> Judgement:
    """Something rises, and it is not proved to be a leak: say what it looks like."""
    window = memory.window_hours if memory else 2.5
    since = max(series.now - window, 0.0)
    growth = _growth(series, since)
    left = _left(series, growth)
    explained = next((counter.explained for counter in counters if counter.explained), None)
    if fast:
        growth = Growth(fast.rate / 1e6, (fast.rate - 2 * fast.error) / 1e6, (fast.rate + 2 * fast.error) / 1e6)
        why = f"It grows fast, {growth.rate:.0f} MB an hour; the next look inside decides."
        return Judgement("growing (watch)", "unknown", why, growth, fast.hours_left, fast.since_hours, True)
    if explained and explained.load_share >= 0.6:
        return Judgement("steady", "load", "It grows and shrinks with the load.", growth, None, None, True)
    if explained:
        why = "What is in use grows, but a cache that fills, or the end of a warm-up, would look the same so far."
        return Judgement("growing (watch)", "cache", why, growth, left, explained.since_hours, True)
    kind = growth_kinds.kind_of(series, since)
    if memory is None:
        return Judgement(
            "growing (watch)", kind, "A counter inside rises; memory does not yet.", growth, left, since, True
        )
    why = "Memory grows, while what is in use inside does not."
    return Judgement("growing (watch)", kind, why, growth, left, since, True)


def _near_limit(series: Series) -> Judgement | None:
    if not series.limit_bytes or series.used_bytes[-1] < NEAR_LIMIT * series.limit_bytes:
        return None
    share = series.used_bytes[-1] / series.limit_bytes
    growth = _growth(series, series.now - 2.5)
    why = f"It takes {share:.0%} of its limit, though it hardly grows."
    return Judgement("growing (watch)", "none", why, growth, _left(series, growth), None, True)


def _steady(series: Series) -> Judgement:
    span = min(series.now, 24.0)
    growth = _growth(series, series.now - span)
    return Judgement("steady", "none", f"No material growth over the last {span:.0f} hours.", growth)


def _growth(series: Series, since_hours: float) -> Growth | None:
    """Theil-Sen over the floor of memory since that age, in MB an hour."""
    hours, values = _since(series.hours, series.used_bytes, since_hours)
    if len(hours) < LEAST_SAMPLES:
        return None
    found = slope(*floor(hours, values, max((hours[-1] - hours[0]) / 24, 1 / 30)))
    return Growth(found.rate / 1e6, found.low / 1e6, found.high / 1e6)


def _since(hours: Floats, values: Floats, since_hours: float) -> tuple[Floats, Floats]:
    begin = int(np.searchsorted(hours, since_hours))
    return hours[begin:], values[begin:]


def _left(series: Series, growth: Growth | None) -> float | None:
    if not series.limit_bytes or growth is None or growth.rate <= 0:
        return None
    return float(max(series.limit_bytes - series.used_bytes[-1], 0.0) / 1e6 / growth.rate)
