"""Kinds of processes that were written after the rules of judgement were frozen: no rule was changed to suit them.

They say what the rules are worth on what they were not made for. Whoever changes a rule because of one of these moves
that kind to `kinds.py` and writes another in its place.
"""

from __future__ import annotations

import numpy as np

from bench.memory.kinds import Kind, of
from bench.memory.world import World


def unknown(w: World, **values: float) -> World:
    """Nobody counts the load."""
    return w.set(load_known=False, **values)


def busy(w: World, low: float = 200, high: float = 800) -> World:
    """So many tasks an hour."""
    return w.set(tasks_an_hour=w.uniform(low, high))


def quiet(w: World, low: float, high: float, share: float) -> World:
    """Hardly any load for a day and a half, which begin between these hours."""
    begin = w.uniform(low, high)
    return w.set(pattern=np.where((w.hours > begin) & (w.hours < begin + 36), share, w.pattern))


def pinned_at_limit(w: World) -> None:
    """It leaks into its cgroup limit, where the kernel takes pages from it as fast as it grows."""
    share = w.between(0.01, 0.04)
    w.set(limit=w.base * (1 + share * w.uniform(3, 12)), pinned=True).add(w.base * share * w.ramp())


def at_night_only(w: World) -> None:
    """One nightly job leaks: a few steps, a day apart."""
    lasts, phase = w.uniform(0.5, 3.0), w.uniform(0, 24)
    nights = (w.hours + phase) // 24 + np.minimum((w.hours + phase) % 24, lasts) / lasts
    w.add(w.share(0.03, 0.08) * (nights - nights[0]))


def on_and_off(w: World) -> None:
    """It leaks for some hours, rests for some, and goes on."""
    leaks = w.steps(np.cumsum(w.rng.uniform(3, 10, 40))) % 2
    w.add(w.base * w.between(0.01, 0.03) * np.cumsum(leaks) * w.step)


def inside_and_native(w: World) -> None:
    """Each lost object drags native memory along."""
    rate = w.between(0.006, 0.03)
    w.add(w.base * rate * 0.3 * w.ramp()).add(w.base * rate * 0.7 * w.ramp(), "native")


def large_buffers(w: World) -> None:
    """Few leaks, each of megabytes, at random."""
    size = w.share(0.005, 0.02)
    w.add(size * w.steps(np.cumsum(w.rng.exponential(w.between(0.7, 3.0), 400))), "native")


def lagging_load_ramp(w: World) -> None:
    """Memory follows, hours later, a load that climbs all week."""
    busy(w).daily(0.1, 0.4).climb(0.5, 1.5)
    keep, memory, followed = np.exp(-w.step / w.uniform(0.5, 4.0)), 0.0, np.zeros_like(w.hours)
    for place, load in enumerate(w.counts / w.step / w.tasks_an_hour):
        followed[place] = memory = keep * memory + (1 - keep) * load
    w.add(w.share(0.05, 0.15) * followed)


def deploys(w: World) -> None:
    """Two or three times something new is loaded."""
    for at in w.rng.uniform(2, 90, int(w.rng.integers(2, 4))):
        w.add(w.share(0.02, 0.12) * (w.hours > at))


def cleared_every_night(w: World) -> None:
    """A cache that fills by day and is emptied at night."""
    since = (w.hours + w.uniform(0, 24)) % 24
    w.add(w.share(0.05, 0.3) * -np.expm1(-since / w.between(2.0, 8.0)))


def wandering_load(w: World) -> None:
    """Load goes up and down without a rhythm, and memory with it."""
    busy(w)
    walk = np.cumsum(w.rng.normal(0, 0.03, len(w.hours)))
    w.load(np.clip(np.exp(walk - walk.mean()), 0.2, 4.0)).tasks_hold(0.05, 0.15)


def slow_wander(w: World) -> None:
    """The host takes pages and gives them back, over hours."""
    walk = np.cumsum(w.rng.normal(0, 1, len(w.hours)))
    walk -= np.linspace(walk[0], walk[-1], len(walk))
    w.add(w.share(0.02, 0.1) * walk / np.abs(walk).max(), "mapped").lose()


def heap_that_splinters(w: World) -> None:
    """Every burst leaves the heap a little more splintered: malloc holds more, nothing is in use."""
    times = np.cumsum(w.rng.exponential(3.0, 60))
    w.add(w.share(0.005, 0.03) * w.steps(times), "free")


def registry_of_names(w: World) -> None:
    """Names are interned as they are first seen: every one soon, and then hardly any (logarithm of time)."""
    w.add(w.share(0.03, 0.12) * np.log1p(w.hours / w.between(0.3, 4.0)))


def pool_that_grows_with_peaks(w: World) -> None:
    """A pool of connections as large as the highest load so far."""
    peak = np.maximum.accumulate(busy(w.daily(0.3, 0.8)).counts)
    w.add(w.share(0.1, 0.3) * peak / peak.max(), "native")


LATE_KINDS: tuple[Kind, ...] = (
    *of(
        True,
        pinned_at_limit=pinned_at_limit,
        with_gaps=lambda w: w.leak(0.005, 0.03, "native").lose(),  # the audit itself is down for hours
        inside_and_native=inside_and_native,
        # Each task leaks, and there are more of them every day.
        with_load_that_climbs=lambda w: w.daily(0.1, 0.5).climb(0.5, 1.5).leak(0.005, 0.02, by="work"),
        on_a_noisy_host=lambda w: w.set(noise_share=w.uniform(0.01, 0.03), task_mb=4 * w.task_mb).leak(0.008, 0.03),
        large_buffers=large_buffers,
    ),
    *of(True, 144.0, at_night_only=at_night_only),
    *of(
        True,
        96.0,
        on_and_off=on_and_off,
        behind_a_slow_cache=lambda w: w.cache(0.05, 0.2, (8.0, 20.0)).leak(0.007, 0.02),
        # It leaks under a daily load that nobody counts; then every task does, and for a day and a half there are none.
        load_unknown=lambda w: unknown(w, task_mb=3 * w.task_mb).daily(0.3, 0.8).leak(0.006, 0.03, by="work"),
        leaks_by_the_weekday=lambda w: quiet(w.daily(0.2, 0.6), 20, 45, 0.05).leak(0.006, 0.02, by="work"),
    ),
    *of(
        False,
        96.0,
        lagging_load_ramp=lagging_load_ramp,
        deploys=deploys,
        cleared_every_night=cleared_every_night,
        wandering_load=wandering_load,
        # A day and a half without work, and then everything comes back.
        quiet_weekend=lambda w: quiet(busy(w).daily(0.2, 0.6), 10, 40, 0.1).tasks_hold(0.08, 0.2),
        daily_load_unknown=lambda w: busy(unknown(w).daily(0.4, 0.9), 300, 900).tasks_hold(0.05, 0.15),
        slow_wander=slow_wander,
        heap_that_splinters=heap_that_splinters,
        registry_of_names=registry_of_names,
        pool_that_grows_with_peaks=pool_that_grows_with_peaks,
    ),
)
