"""The kinds of processes that the rules were made with: those that leak, and those that only look like it.

Each kind adds to the incarnations of one process, made from a seeded generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.memory.world import Trace, World
from include.memory.verdict.cache_bound import Bound

Worlds = Callable[[np.random.Generator], list[World]]
Shape = Callable[[World], object]


@dataclass(frozen=True)
class Kind:
    """A kind of process. It is judged every `judged_every_hours`, as an audit that comes by less often than a real
    one.
    """

    name: str
    leaks: bool
    make: Worlds
    judged_every_hours: float = 2.0

    def traces(self, seed: int) -> list[Trace]:
        """The incarnations of the process of that seed."""
        name = np.frombuffer(self.name.encode(), dtype=np.uint8)
        return [world.freeze() for world in self.make(np.random.default_rng([seed, *name.tolist()]))]


def of(leaks: bool, hours: float, **shapes: Shape) -> list[Kind]:
    """Kinds of one incarnation that lives so long."""

    def worlds(shape: Shape) -> Worlds:
        def make(rng: np.random.Generator) -> list[World]:
            world = World(rng, hours)
            shape(world)
            return [world]

        return make

    return [Kind(name, leaks, worlds(shape)) for name, shape in shapes.items()]


def stepwise(world: World) -> None:
    """A leak in steps, some hours apart."""
    every, size = world.between(1.5, 6.0), world.base * world.between(0.01, 0.03)
    world.python += world.steps(size, np.cumsum(world.rng.uniform(0.7, 1.3, 200) * every))


def per_burst(world: World) -> None:
    """Load comes in bursts, and each leaves something behind for every task of it."""
    every, lasts = world.between(2.0, 8.0), world.uniform(0.2, 0.8)
    phase = (world.hours / every + world.rng.uniform()) % 1.0
    world.pattern = np.where(phase < lasts / every, world.rng.uniform(4, 10), 0.3)
    world.leak(0.004, 0.02, by="work")


def rising_floor(world: World) -> None:
    """Large saw-teeth of garbage above a floor that rises."""
    world.garbage_share, world.garbage_hours = world.uniform(0.08, 0.2), world.between(0.7, 4.0)
    world.leak(0.004, 0.03)


def accelerating(world: World) -> None:
    """It leaks faster and faster."""
    world.python += world.base * world.between(0.3, 1.5) * (world.hours / 72) ** world.rng.uniform(1.5, 2.5)


def within_free_heap(world: World) -> None:
    """A great burst left free memory that the leak fills first: for hours, nothing is seen from outside."""
    room = world.base * world.uniform(0.05, 0.2)
    grown = world.base * world.between(0.005, 0.03) * world.ramp(1.0)
    world.python += grown
    world.free += np.maximum(room * (world.hours > 1.0) - grown, 0.0)


def killed_and_restarted(rng: np.random.Generator) -> list[World]:
    """It leaks until it is killed at its limit, and begins anew."""
    share, worlds, left = float(np.exp(rng.uniform(np.log(0.015), np.log(0.04)))), list[World](), 72.0
    while left > 3.0:
        world = World(rng, min(0.7 / share * rng.uniform(0.9, 1.1), left))
        world.python += world.base * share * world.ramp()
        left -= world.hours[-1]
        worlds.append(world)
    return worlds


def fast(rng: np.random.Generator) -> list[World]:
    """Hours of peace, then the limit comes near within three hours."""
    onset, lasts = float(rng.uniform(2, 6)), float(np.exp(rng.uniform(np.log(0.8), np.log(3.0))))
    return [World(rng, onset + lasts, 1.0).set(onset=onset).leak_to_limit(lasts)]


def cache_that_starts_late(world: World) -> None:
    """A new DAG comes, and fills a cache of its own."""
    onset, tau = world.uniform(10, 45), world.between(1.0, 12.0)
    world.python += world.base * world.uniform(0.05, 0.3) * world.saturating(onset, tau)


def lru_of_unique_keys(world: World) -> None:
    """Every key is new, so that it fills in a straight line until it is full. A profile finds its bound."""
    full, share = world.uniform(15, 60), world.uniform(0.1, 0.4)
    world.python += world.base * share * np.minimum(world.ramp() / full, 1.0)
    world.bound = Bound("cache `lookup`", 1, 100_000)


def weekly_ramp(world: World) -> None:
    """Load that climbs for three days, and memory with it."""
    if world.rng.uniform() < 0.6:
        world.daily(0.2, 0.5)
    world.busy(300, 900).climb(0.7, 2.0, 72).tasks_hold(0.08, 0.2)


def fragmentation_plateau(world: World) -> None:
    """The heap splinters, and then does no more."""
    world.free += world.base * world.uniform(0.1, 0.4) * world.saturating(0.0, world.between(2.0, 20.0))


def fragmentation_that_creeps(world: World) -> None:
    """The heap splinters, on and on; nothing more is in use."""
    world.free += world.base * world.between(0.002, 0.008) * world.ramp() ** 0.9


def one_step(world: World) -> None:
    """Something is loaded once."""
    world.python += world.base * world.uniform(0.05, 0.4) * (world.hours > world.rng.uniform(4, 65))


def restarts(rng: np.random.Generator) -> list[World]:
    """Restarted every so often; each time it warms up to the same size."""
    worlds = []
    for lasts in rng.uniform(4, 30, 4):
        world = World(rng, float(lasts))
        worlds.append(world.warm_up(0.2, world.between(0.3, 2.0)))
    return worlds


def mapped_files(world: World) -> None:
    """Files are mapped, one after another."""
    times = np.cumsum(world.rng.exponential(4.0, 60))
    world.mapped += world.steps(world.base * world.uniform(0.01, 0.04), times)


def copy_on_write(world: World) -> None:
    """A forked worker makes pages its own: its resident size stays, its unique size grows."""
    copied = world.base * world.uniform(0.2, 0.6) * world.saturating(0.0, world.between(2.0, 20.0))
    world.mapped += copied
    world.shared += copied.max() - copied


def bursts_of_large_tasks(world: World) -> None:
    """Every few hours a task builds something large for some minutes, keeps it a while and drops it."""
    rng = world.rng
    for begin in np.cumsum(rng.exponential(5.0, 40) + 1.0):
        building, keeping = rng.uniform(0.02, 0.15), rng.uniform(0.05, 0.7)
        since = world.hours - begin
        size = world.base * rng.uniform(0.1, 1.0)
        world.native += size * np.clip(since / building, 0.0, 1.0) * (since < building + keeping)


def cache_of_rare_keys(world: World) -> None:
    """Keys follow a power law: the cache fills ever more slowly, for days."""
    world.python += world.base * world.uniform(0.1, 0.4) * (world.hours / 96) ** world.rng.uniform(0.35, 0.6)


def two_caches(world: World) -> None:
    """A second deploy brings a second cache before the first is full."""
    for onset in (world.uniform(0, 15), world.uniform(15, 45)):
        world.cache(0.05, 0.2, (1.0, 8.0), onset)


KINDS: tuple[Kind, ...] = (
    *of(
        True,
        72.0,
        linear_python=lambda world: world.leak(0.003, 0.05),
        linear_native=lambda world: world.leak(0.003, 0.05, native=True),
        slow=lambda world: world.leak(0.0015, 0.003),  # takes a fortnight to matter
        strings_only=lambda world: world.set(visible_share=0.02).leak(0.004, 0.03),  # unknown to the collector
        stepwise=stepwise,
        per_burst=per_burst,
        late=lambda world: world.set(onset=world.uniform(24, 48)).leak(0.007, 0.03),
        late_native=lambda world: world.set(onset=world.uniform(24, 48)).leak(0.007, 0.03, native=True),
        # Each task leaks, and there are more of them by day; then a heartbeat does, whatever there is to do.
        under_daily_load=lambda world: world.daily(0.4, 0.9).tasks(3).leak(0.004, 0.03, by="work"),
        by_clock_under_daily_load=lambda world: world.daily(0.4, 0.9).tasks(3).leak(0.004, 0.03),
        rising_floor=rising_floor,
        accelerating=accelerating,
        behind_a_cache=lambda world: world.cache(0.05, 0.25, (1.5, 8.0)).leak(0.005, 0.03),
        within_free_heap=within_free_heap,
    ),
    Kind("killed_and_restarted", True, killed_and_restarted),
    Kind("fast", True, fast, 1 / 6),
    *of(
        False,
        72.0,
        warm_up=lambda world: world.warm_up(world.uniform(0.1, 0.5), world.between(0.3, 4.0)),
        filling_cache=lambda world: world.cache(0.05, 0.4, (2.0, 12.0)),
        cache_that_starts_late=cache_that_starts_late,
    ),
    *of(False, 96.0, slow_lru=lambda world: world.cache(0.1, 0.4, (12.0, 40.0))),  # new keys become rarer over days
    *of(
        False,
        72.0,
        lru_of_unique_keys=lru_of_unique_keys,
        sawtooth=lambda world: world.set(garbage_share=world.uniform(0.05, 0.25), garbage_hours=world.between(0.7, 10)),
        daily_load=lambda world: world.daily(0.4, 0.9).busy(300, 900).tasks_hold(0.1, 0.3),
        weekly_ramp=weekly_ramp,
        fragmentation_plateau=fragmentation_plateau,
        fragmentation_that_creeps=fragmentation_that_creeps,
        one_step=one_step,
    ),
    Kind("restarts", False, restarts),
    *of(
        False,
        72.0,
        noise=lambda world: world.set(noise_share=world.uniform(0.01, 0.04)),
        mapped_files=mapped_files,
        copy_on_write=copy_on_write,
        bursts_of_large_tasks=bursts_of_large_tasks,
    ),
    *of(False, 96.0, cache_of_rare_keys=cache_of_rare_keys),
    *of(False, 72.0, two_caches=two_caches),
)
