"""Kinds of processes that were written after the rules of judgement were frozen: no rule was changed to suit them.

They say what the rules are worth on what they were not made for. Whoever changes a rule because of one of these moves
that kind to `kinds.py` and writes another in its place.
"""

from __future__ import annotations

import numpy as np

from bench.memory.kinds import Kind, between
from bench.memory.world import World


def pinned_at_limit(rng: np.random.Generator) -> list[World]:
    """It leaks into its cgroup limit, where the kernel takes pages from it as fast as it grows."""
    world = World(rng)
    share = between(rng, 0.01, 0.04)
    world.limit, world.pinned = world.base * (1 + share * rng.uniform(3, 12)), True
    world.python += world.base * share * world.ramp()
    return [world]


def at_night_only(rng: np.random.Generator) -> list[World]:
    """One nightly job leaks: a few steps, a day apart."""
    world = World(rng, 144.0)
    lasts, phase = rng.uniform(0.5, 3.0), rng.uniform(0, 24)
    within = np.minimum((world.hours + phase) % 24, lasts) / lasts
    nights = (world.hours + phase) // 24 + within
    world.python += world.base * float(rng.uniform(0.03, 0.08)) * (nights - nights[0])
    return [world]


def on_and_off(rng: np.random.Generator) -> list[World]:
    """It leaks for some hours, rests for some, and goes on."""
    world = World(rng, 96.0)
    lasts = rng.uniform(3, 10, 40)
    begins = np.cumsum(lasts)
    leaks = np.searchsorted(begins, world.hours) % 2
    world.python += world.base * between(rng, 0.01, 0.03) * np.cumsum(leaks) * world.step
    return [world]


def with_gaps(rng: np.random.Generator) -> list[World]:
    """The audit itself is down for hours at a time."""
    world = World(rng)
    world.native += world.base * between(rng, 0.005, 0.03) * world.ramp()
    _lose(rng, world)
    return [world]


def inside_and_native(rng: np.random.Generator) -> list[World]:
    """Each lost object drags native memory along."""
    world = World(rng)
    rate = between(rng, 0.006, 0.03)
    world.python += world.base * rate * 0.3 * world.ramp()
    world.native += world.base * rate * 0.7 * world.ramp()
    return [world]


def with_load_that_climbs(rng: np.random.Generator) -> list[World]:
    """Each task leaks, and there are more of them every day."""
    world = World(rng)
    world.daily(float(rng.uniform(0.1, 0.5)))
    world.pattern = world.pattern * (1 + rng.uniform(0.5, 1.5) * world.hours / 72)
    world.python += world.base * between(rng, 0.005, 0.02) * world.work()
    return [world]


def behind_a_slow_cache(rng: np.random.Generator) -> list[World]:
    """A cache that fills for a day hides a leak."""
    world = World(rng, 96.0)
    world.python += world.base * float(rng.uniform(0.05, 0.2)) * world.saturating(0.0, between(rng, 8.0, 20.0))
    world.python += world.base * between(rng, 0.007, 0.02) * world.ramp()
    return [world]


def on_a_noisy_host(rng: np.random.Generator) -> list[World]:
    """Memory jumps about while it leaks."""
    world = World(rng)
    world.noise_share, world.task_mb = float(rng.uniform(0.01, 0.03)), world.task_mb * 4
    world.python += world.base * between(rng, 0.008, 0.03) * world.ramp()
    return [world]


def large_buffers(rng: np.random.Generator) -> list[World]:
    """Few leaks, each of megabytes, at random."""
    world = World(rng)
    size = world.base * float(rng.uniform(0.005, 0.02))
    times = np.cumsum(rng.exponential(between(rng, 0.7, 3.0), 400))
    world.native += size * np.searchsorted(times, world.hours)
    return [world]


def load_unknown(rng: np.random.Generator) -> list[World]:
    """It leaks under a daily load that nobody counts."""
    world = World(rng, 96.0)
    world.load_known = False
    world.daily(float(rng.uniform(0.3, 0.8)))
    world.task_mb *= 3
    world.python += world.base * between(rng, 0.006, 0.03) * world.work()
    return [world]


def lagging_load_ramp(rng: np.random.Generator) -> list[World]:
    """Memory follows, hours later, a load that climbs all week."""
    world = World(rng, 96.0)
    world.tasks_an_hour = float(rng.uniform(200, 800))
    world.daily(float(rng.uniform(0.1, 0.4)))
    world.pattern = world.pattern * (1 + rng.uniform(0.5, 1.5) * world.hours / 96)
    followed = np.zeros_like(world.hours)
    keep, memory = np.exp(-world.step / rng.uniform(0.5, 4.0)), 0.0
    for place, load in enumerate(world.counts / world.step / world.tasks_an_hour):
        memory = keep * memory + (1 - keep) * load
        followed[place] = memory
    world.python += world.base * float(rng.uniform(0.05, 0.15)) * followed
    return [world]


def deploys(rng: np.random.Generator) -> list[World]:
    """Two or three times something new is loaded."""
    world = World(rng, 96.0)
    for at in rng.uniform(2, 90, int(rng.integers(2, 4))):
        world.python += world.base * float(rng.uniform(0.02, 0.12)) * (world.hours > at)
    return [world]


def cleared_every_night(rng: np.random.Generator) -> list[World]:
    """A cache that fills by day and is emptied at night."""
    world = World(rng, 96.0)
    since = (world.hours + rng.uniform(0, 24)) % 24
    world.python += world.base * float(rng.uniform(0.05, 0.3)) * -np.expm1(-since / between(rng, 2.0, 8.0))
    return [world]


def wandering_load(rng: np.random.Generator) -> list[World]:
    """Load goes up and down without a rhythm, and memory with it."""
    world = World(rng, 96.0)
    world.tasks_an_hour = float(rng.uniform(200, 800))
    walk = np.cumsum(rng.normal(0, 0.03, len(world.hours)))
    world.pattern = np.clip(np.exp(walk - walk.mean()), 0.2, 4.0)
    world.task_mb = world.base * float(rng.uniform(0.05, 0.15)) / (world.tasks_an_hour * world.task_hours)
    return [world]


def quiet_weekend(rng: np.random.Generator) -> list[World]:
    """A day and a half without work, and then everything comes back."""
    world = World(rng, 96.0)
    world.tasks_an_hour = float(rng.uniform(200, 800))
    world.daily(float(rng.uniform(0.2, 0.6)))
    begin = rng.uniform(10, 40)
    world.pattern = np.where((world.hours > begin) & (world.hours < begin + 36), 0.1, world.pattern)
    world.task_mb = world.base * float(rng.uniform(0.08, 0.2)) / (world.tasks_an_hour * world.task_hours)
    return [world]


def daily_load_unknown(rng: np.random.Generator) -> list[World]:
    """Memory in step with a load that nobody counts."""
    world = World(rng, 96.0)
    world.load_known = False
    world.daily(float(rng.uniform(0.4, 0.9)))
    world.tasks_an_hour = float(rng.uniform(300, 900))
    world.task_mb = world.base * float(rng.uniform(0.05, 0.15)) / (world.tasks_an_hour * world.task_hours)
    return [world]


def slow_wander(rng: np.random.Generator) -> list[World]:
    """The host takes pages and gives them back, over hours."""
    world = World(rng, 96.0)
    walk = np.cumsum(rng.normal(0, 1, len(world.hours)))
    walk -= np.linspace(walk[0], walk[-1], len(walk))
    world.mapped += world.base * float(rng.uniform(0.02, 0.1)) * walk / np.abs(walk).max()
    _lose(rng, world)
    return [world]


def heap_that_splinters(rng: np.random.Generator) -> list[World]:
    """Every burst leaves the heap a little more splintered: malloc holds more, nothing is in use."""
    world = World(rng, 96.0)
    times = np.cumsum(rng.exponential(3.0, 60))
    world.free += world.base * float(rng.uniform(0.005, 0.03)) * np.searchsorted(times, world.hours)
    return [world]


def leaks_by_the_weekday(rng: np.random.Generator) -> list[World]:
    """Every task leaks, and for a day and a half there are none."""
    world = World(rng, 96.0)
    world.daily(float(rng.uniform(0.2, 0.6)))
    begin = rng.uniform(20, 45)
    world.pattern = np.where((world.hours > begin) & (world.hours < begin + 36), 0.05, world.pattern)
    world.python += world.base * between(rng, 0.006, 0.02) * world.work()
    return [world]


def registry_of_names(rng: np.random.Generator) -> list[World]:
    """Names are interned as they are first seen: every one soon, and then hardly any (logarithm of time)."""
    world = World(rng, 96.0)
    share = float(rng.uniform(0.03, 0.12))
    world.python += world.base * share * np.log1p(world.hours / between(rng, 0.3, 4.0))
    return [world]


def pool_that_grows_with_peaks(rng: np.random.Generator) -> list[World]:
    """A pool of connections as large as the highest load so far."""
    world = World(rng, 96.0)
    world.daily(float(rng.uniform(0.3, 0.8)))
    world.tasks_an_hour = float(rng.uniform(200, 800))
    peak = np.maximum.accumulate(world.counts)
    world.native += world.base * float(rng.uniform(0.1, 0.3)) * peak / peak.max()
    return [world]


def _lose(rng: np.random.Generator, world: World) -> None:
    """Some hours of samples were never taken, three times over."""
    for begin in rng.uniform(3, world.hours[-1] - 6, 3):
        world.missing |= (world.hours > begin) & (world.hours < begin + rng.uniform(0.5, 6))


LATE_KINDS: tuple[Kind, ...] = (
    *(
        Kind(make.__name__, True, make)
        for make in (
            pinned_at_limit, at_night_only, on_and_off, with_gaps, inside_and_native, with_load_that_climbs,
            behind_a_slow_cache, on_a_noisy_host, large_buffers, load_unknown, leaks_by_the_weekday,
        )
    ),
    *(
        Kind(make.__name__, False, make)
        for make in (
            lagging_load_ramp, deploys, cleared_every_night, wandering_load,
            quiet_weekend, daily_load_unknown, slow_wander, heap_that_splinters,
            registry_of_names, pool_that_grows_with_peaks,
        )
    ),
)  # fmt: skip
