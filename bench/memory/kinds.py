"""The kinds of processes that the rules were made with: those that leak, and those that only look like it.

Each kind builds the incarnations of one process from a seeded generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.memory.world import Trace, World
from include.memory.verdict.cache_bound import Bound

Make = Callable[[np.random.Generator], list[World]]


@dataclass(frozen=True)
class Kind:
    """A kind of process. It is judged every `judged_every_hours`, as an audit that comes by less often than a real
    one.
    """

    name: str
    leaks: bool
    make: Make
    judged_every_hours: float = 2.0

    def traces(self, seed: int) -> list[Trace]:
        """The incarnations of the process of that seed."""
        name = np.frombuffer(self.name.encode(), dtype=np.uint8)
        return [world.freeze() for world in self.make(np.random.default_rng([seed, *name.tolist()]))]


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def linear_python(rng: np.random.Generator) -> list[World]:
    """Python objects leak at a constant rate."""
    world = World(rng)
    world.python += world.base * between(rng, 0.003, 0.05) * world.ramp()
    return [world]


def linear_native(rng: np.random.Generator) -> list[World]:
    """Native memory leaks at a constant rate."""
    world = World(rng)
    world.native += world.base * between(rng, 0.003, 0.05) * world.ramp()
    return [world]


def slow(rng: np.random.Generator) -> list[World]:
    """A leak so slow that it takes a fortnight to matter."""
    world = World(rng)
    world.python += world.base * between(rng, 0.0015, 0.003) * world.ramp()
    return [world]


def strings_only(rng: np.random.Generator) -> list[World]:
    """What leaks is unknown to the collector."""
    world = World(rng)
    world.visible_share = 0.02
    world.python += world.base * between(rng, 0.004, 0.03) * world.ramp()
    return [world]


def stepwise(rng: np.random.Generator) -> list[World]:
    """A leak in steps, some hours apart."""
    world = World(rng)
    every, size = between(rng, 1.5, 6.0), world.base * between(rng, 0.01, 0.03)
    times = np.cumsum(rng.uniform(0.7, 1.3, 200) * every)
    world.python += size * np.searchsorted(times, world.hours)
    return [world]


def per_burst(rng: np.random.Generator) -> list[World]:
    """Load comes in bursts, and each leaves something behind for every task of it."""
    world = World(rng)
    every, lasts = between(rng, 2.0, 8.0), float(rng.uniform(0.2, 0.8))
    phase = (world.hours / every + rng.uniform()) % 1.0
    world.pattern = np.where(phase < lasts / every, rng.uniform(4, 10), 0.3)
    world.python += world.base * between(rng, 0.004, 0.02) * world.work()
    return [world]


def late(rng: np.random.Generator) -> list[World]:
    """It begins after a day or two."""
    world = World(rng)
    world.onset = float(rng.uniform(24, 48))
    world.python += world.base * between(rng, 0.007, 0.03) * world.ramp(world.onset)
    return [world]


def late_native(rng: np.random.Generator) -> list[World]:
    """The same, in native memory."""
    world = World(rng)
    world.onset = float(rng.uniform(24, 48))
    world.native += world.base * between(rng, 0.007, 0.03) * world.ramp(world.onset)
    return [world]


def under_daily_load(rng: np.random.Generator) -> list[World]:
    """Each task leaks, and there are more of them by day."""
    world = World(rng)
    world.daily(float(rng.uniform(0.4, 0.9)))
    world.task_mb *= 3
    world.python += world.base * between(rng, 0.004, 0.03) * world.work()
    return [world]


def by_clock_under_daily_load(rng: np.random.Generator) -> list[World]:
    """A heartbeat leaks, whatever there is to do."""
    world = World(rng)
    world.daily(float(rng.uniform(0.4, 0.9)))
    world.task_mb *= 3
    world.python += world.base * between(rng, 0.004, 0.03) * world.ramp()
    return [world]


def rising_floor(rng: np.random.Generator) -> list[World]:
    """Large saw-teeth of garbage above a floor that rises."""
    world = World(rng)
    world.garbage_share, world.garbage_hours = float(rng.uniform(0.08, 0.2)), between(rng, 0.7, 4.0)
    world.python += world.base * between(rng, 0.004, 0.03) * world.ramp()
    return [world]


def accelerating(rng: np.random.Generator) -> list[World]:
    """It leaks faster and faster."""
    world = World(rng)
    world.python += world.base * between(rng, 0.3, 1.5) * (world.hours / 72) ** rng.uniform(1.5, 2.5)
    return [world]


def behind_a_cache(rng: np.random.Generator) -> list[World]:
    """A cache that fills hides the beginning of a leak."""
    world = World(rng)
    world.python += world.base * float(rng.uniform(0.05, 0.25)) * world.saturating(0.0, between(rng, 1.5, 8.0))
    world.python += world.base * between(rng, 0.005, 0.03) * world.ramp()
    return [world]


def within_free_heap(rng: np.random.Generator) -> list[World]:
    """A great burst left free memory that the leak fills first: for hours, nothing is seen from outside."""
    world = World(rng)
    room = world.base * float(rng.uniform(0.05, 0.2))
    grown = world.base * between(rng, 0.005, 0.03) * world.ramp(1.0)
    world.python += grown
    world.free += np.maximum(room * (world.hours > 1.0) - grown, 0.0)
    return [world]


def killed_and_restarted(rng: np.random.Generator) -> list[World]:
    """It leaks until it is killed at its limit, and begins anew."""
    share, worlds, left = between(rng, 0.015, 0.04), [], 72.0
    lasts = 0.7 / share
    while left > 3.0:
        world = World(rng, min(lasts * rng.uniform(0.9, 1.1), left))
        world.python += world.base * share * world.ramp()
        left -= world.hours[-1]
        worlds.append(world)
    return worlds


def fast(rng: np.random.Generator) -> list[World]:
    """Hours of peace, then the limit comes near within three hours."""
    onset, lasts = float(rng.uniform(2, 6)), between(rng, 0.8, 3.0)
    world = World(rng, onset + lasts, 1.0)
    world.onset = onset
    world.limit = world.base * float(rng.uniform(1.8, 3.0))
    part = world.python if rng.uniform() < 0.7 else world.native
    part += (world.limit - world.base * 1.1) / lasts * world.ramp(onset)
    return [world]


def warm_up(rng: np.random.Generator) -> list[World]:
    """A long warm-up."""
    world = World(rng)
    world.warm_up(float(rng.uniform(0.1, 0.5)), between(rng, 0.3, 4.0))
    return [world]


def filling_cache(rng: np.random.Generator) -> list[World]:
    """A cache that fills within hours."""
    world = World(rng)
    world.python += world.base * float(rng.uniform(0.05, 0.4)) * world.saturating(0.0, between(rng, 2.0, 12.0))
    return [world]


def cache_that_starts_late(rng: np.random.Generator) -> list[World]:
    """A new DAG comes, and fills a cache of its own."""
    world = World(rng)
    onset, tau = float(rng.uniform(10, 45)), between(rng, 1.0, 12.0)
    world.python += world.base * float(rng.uniform(0.05, 0.3)) * world.saturating(onset, tau)
    return [world]


def slow_lru(rng: np.random.Generator) -> list[World]:
    """New keys become rarer over days."""
    world = World(rng, 96.0)
    world.python += world.base * float(rng.uniform(0.1, 0.4)) * world.saturating(0.0, between(rng, 12.0, 40.0))
    return [world]


def lru_of_unique_keys(rng: np.random.Generator) -> list[World]:
    """Every key is new, so that it fills in a straight line until it is full. A profile finds its bound."""
    world = World(rng)
    full, share = float(rng.uniform(15, 60)), float(rng.uniform(0.1, 0.4))
    filled = np.minimum(world.ramp() / full, 1.0)
    world.python += world.base * share * filled
    world.bound = Bound("cache `lookup`", 1, 100_000)
    return [world]


def sawtooth(rng: np.random.Generator) -> list[World]:
    """Garbage piles up and is collected."""
    world = World(rng)
    world.garbage_share, world.garbage_hours = float(rng.uniform(0.05, 0.25)), between(rng, 0.7, 10.0)
    return [world]


def daily_load(rng: np.random.Generator) -> list[World]:
    """Memory in step with a load that doubles by day."""
    world = World(rng)
    world.daily(float(rng.uniform(0.4, 0.9)))
    world.tasks_an_hour = float(rng.uniform(300, 900))
    world.task_mb = world.base * float(rng.uniform(0.1, 0.3)) / (world.tasks_an_hour * world.task_hours)
    return [world]


def weekly_ramp(rng: np.random.Generator) -> list[World]:
    """Load that climbs for three days, and memory with it."""
    world = World(rng)
    if rng.uniform() < 0.6:
        world.daily(float(rng.uniform(0.2, 0.5)))
    world.tasks_an_hour = float(rng.uniform(300, 900))
    world.pattern = world.pattern * (1 + rng.uniform(0.7, 2.0) * world.hours / 72)
    world.task_mb = world.base * float(rng.uniform(0.08, 0.2)) / (world.tasks_an_hour * world.task_hours)
    return [world]


def fragmentation_plateau(rng: np.random.Generator) -> list[World]:
    """The heap splinters, and then does no more."""
    world = World(rng)
    world.free += world.base * float(rng.uniform(0.1, 0.4)) * world.saturating(0.0, between(rng, 2.0, 20.0))
    return [world]


def fragmentation_that_creeps(rng: np.random.Generator) -> list[World]:
    """The heap splinters, on and on; nothing more is in use."""
    world = World(rng)
    world.free += world.base * between(rng, 0.002, 0.008) * world.ramp() ** 0.9
    return [world]


def one_step(rng: np.random.Generator) -> list[World]:
    """Something is loaded once."""
    world = World(rng)
    world.python += world.base * float(rng.uniform(0.05, 0.4)) * (world.hours > rng.uniform(4, 65))
    return [world]


def restarts(rng: np.random.Generator) -> list[World]:
    """Restarted every so often; each time it warms up to the same size."""
    worlds = []
    for lasts in rng.uniform(4, 30, 4):
        world = World(rng, float(lasts))
        world.warm_up(0.2, between(rng, 0.3, 2.0))
        worlds.append(world)
    return worlds


def noise(rng: np.random.Generator) -> list[World]:
    """A noisy host."""
    world = World(rng)
    world.noise_share = float(rng.uniform(0.01, 0.04))
    return [world]


def mapped_files(rng: np.random.Generator) -> list[World]:
    """Files are mapped, one after another."""
    world = World(rng)
    times = np.cumsum(rng.exponential(4.0, 60))
    world.mapped += world.base * float(rng.uniform(0.01, 0.04)) * np.searchsorted(times, world.hours)
    return [world]


def copy_on_write(rng: np.random.Generator) -> list[World]:
    """A forked worker makes pages its own: its resident size stays, its unique size grows."""
    world = World(rng)
    copied = world.base * float(rng.uniform(0.2, 0.6)) * world.saturating(0.0, between(rng, 2.0, 20.0))
    world.mapped += copied
    world.shared += copied.max() - copied
    return [world]


def bursts_of_large_tasks(rng: np.random.Generator) -> list[World]:
    """Every few hours a task builds something large for some minutes, keeps it a while and drops it."""
    world = World(rng)
    for begin in np.cumsum(rng.exponential(5.0, 40) + 1.0):
        building, keeping = rng.uniform(0.02, 0.15), rng.uniform(0.05, 0.7)
        since = world.hours - begin
        size = world.base * rng.uniform(0.1, 1.0)
        world.native += size * np.clip(since / building, 0.0, 1.0) * (since < building + keeping)
    return [world]


def cache_of_rare_keys(rng: np.random.Generator) -> list[World]:
    """Keys follow a power law: the cache fills ever more slowly, for days."""
    world = World(rng, 96.0)
    world.python += world.base * float(rng.uniform(0.1, 0.4)) * (world.hours / 96) ** rng.uniform(0.35, 0.6)
    return [world]


def two_caches(rng: np.random.Generator) -> list[World]:
    """A second deploy brings a second cache before the first is full."""
    world = World(rng)
    for onset in (rng.uniform(0, 15), rng.uniform(15, 45)):
        share, tau = float(rng.uniform(0.05, 0.2)), between(rng, 1.0, 8.0)
        world.python += world.base * share * world.saturating(float(onset), tau)
    return [world]


KINDS: tuple[Kind, ...] = (
    *(
        Kind(make.__name__, True, make, 1 / 6 if make is fast else 2.0)
        for make in (
            linear_python, linear_native, slow, strings_only, stepwise, per_burst, late, late_native, under_daily_load,
            by_clock_under_daily_load, rising_floor, accelerating, behind_a_cache, within_free_heap,
            killed_and_restarted, fast,
        )
    ),
    *(
        Kind(make.__name__, False, make)
        for make in (
            warm_up, filling_cache, cache_that_starts_late, slow_lru, lru_of_unique_keys, sawtooth, daily_load,
            weekly_ramp, fragmentation_plateau, fragmentation_that_creeps, one_step, restarts, noise, mapped_files,
            copy_on_write, bursts_of_large_tasks, cache_of_rare_keys, two_caches,
        )
    ),
)  # fmt: skip
