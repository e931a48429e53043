"""Kinds of processes that were written after the rules of judgement were frozen: no rule was changed to suit them.

They say what the rules are worth on what they were not made for. Whoever changes a rule because of one of these moves
that kind to `kinds.py` and writes another in its place.
"""

from __future__ import annotations

import numpy as np

from bench.memory.kinds import Kind, of
from bench.memory.world import World


def pinned_at_limit(world: World) -> None:
    """It leaks into its cgroup limit, where the kernel takes pages from it as fast as it grows."""
    share = world.between(0.01, 0.04)
    world.limit, world.pinned = world.base * (1 + share * world.rng.uniform(3, 12)), True
    world.python += world.base * share * world.ramp()


def at_night_only(world: World) -> None:
    """One nightly job leaks: a few steps, a day apart."""
    lasts, phase = world.rng.uniform(0.5, 3.0), world.rng.uniform(0, 24)
    within = np.minimum((world.hours + phase) % 24, lasts) / lasts
    nights = (world.hours + phase) // 24 + within
    world.python += world.base * world.uniform(0.03, 0.08) * (nights - nights[0])


def on_and_off(world: World) -> None:
    """It leaks for some hours, rests for some, and goes on."""
    leaks = world.steps(1, np.cumsum(world.rng.uniform(3, 10, 40))) % 2
    world.python += world.base * world.between(0.01, 0.03) * np.cumsum(leaks) * world.step


def inside_and_native(world: World) -> None:
    """Each lost object drags native memory along."""
    rate = world.between(0.006, 0.03)
    world.python += world.base * rate * 0.3 * world.ramp()
    world.native += world.base * rate * 0.7 * world.ramp()


def on_a_noisy_host(world: World) -> None:
    """Memory jumps about while it leaks."""
    world.set(noise_share=world.uniform(0.01, 0.03)).tasks(4).leak(0.008, 0.03)


def large_buffers(world: World) -> None:
    """Few leaks, each of megabytes, at random."""
    size = world.base * world.uniform(0.005, 0.02)
    world.native += world.steps(size, np.cumsum(world.rng.exponential(world.between(0.7, 3.0), 400)))


def leaks_by_the_weekday(world: World) -> None:
    """Every task leaks, and for a day and a half there are none."""
    world.daily(0.2, 0.6).quiet(world.uniform(20, 45), 0.05).leak(0.006, 0.02, by="work")


def lagging_load_ramp(world: World) -> None:
    """Memory follows, hours later, a load that climbs all week."""
    world.busy(200, 800).daily(0.1, 0.4).climb(0.5, 1.5, 96)
    followed = np.zeros_like(world.hours)
    keep, memory = np.exp(-world.step / world.rng.uniform(0.5, 4.0)), 0.0
    for place, load in enumerate(world.counts / world.step / world.tasks_an_hour):
        memory = keep * memory + (1 - keep) * load
        followed[place] = memory
    world.python += world.base * world.uniform(0.05, 0.15) * followed


def deploys(world: World) -> None:
    """Two or three times something new is loaded."""
    for at in world.rng.uniform(2, 90, int(world.rng.integers(2, 4))):
        world.python += world.base * world.uniform(0.02, 0.12) * (world.hours > at)


def cleared_every_night(world: World) -> None:
    """A cache that fills by day and is emptied at night."""
    since = (world.hours + world.rng.uniform(0, 24)) % 24
    world.python += world.base * world.uniform(0.05, 0.3) * -np.expm1(-since / world.between(2.0, 8.0))


def wandering_load(world: World) -> None:
    """Load goes up and down without a rhythm, and memory with it."""
    world.busy(200, 800)
    walk = np.cumsum(world.rng.normal(0, 0.03, len(world.hours)))
    world.pattern = np.clip(np.exp(walk - walk.mean()), 0.2, 4.0)
    world.tasks_hold(0.05, 0.15)


def quiet_weekend(world: World) -> None:
    """A day and a half without work, and then everything comes back."""
    world.busy(200, 800).daily(0.2, 0.6).quiet(world.uniform(10, 40), 0.1).tasks_hold(0.08, 0.2)


def slow_wander(world: World) -> None:
    """The host takes pages and gives them back, over hours."""
    walk = np.cumsum(world.rng.normal(0, 1, len(world.hours)))
    walk -= np.linspace(walk[0], walk[-1], len(walk))
    world.mapped += world.base * world.uniform(0.02, 0.1) * walk / np.abs(walk).max()
    world.lose()


def heap_that_splinters(world: World) -> None:
    """Every burst leaves the heap a little more splintered: malloc holds more, nothing is in use."""
    times = np.cumsum(world.rng.exponential(3.0, 60))
    world.free += world.steps(world.base * world.uniform(0.005, 0.03), times)


def registry_of_names(world: World) -> None:
    """Names are interned as they are first seen: every one soon, and then hardly any (logarithm of time)."""
    share = world.uniform(0.03, 0.12)
    world.python += world.base * share * np.log1p(world.hours / world.between(0.3, 4.0))


def pool_that_grows_with_peaks(world: World) -> None:
    """A pool of connections as large as the highest load so far."""
    peak = np.maximum.accumulate(world.daily(0.3, 0.8).busy(200, 800).counts)
    world.native += world.base * world.uniform(0.1, 0.3) * peak / peak.max()


LATE_KINDS: tuple[Kind, ...] = (
    *of(True, 72.0, pinned_at_limit=pinned_at_limit),
    *of(True, 144.0, at_night_only=at_night_only),
    *of(True, 96.0, on_and_off=on_and_off),
    *of(
        True,
        72.0,
        with_gaps=lambda world: world.leak(0.005, 0.03, native=True).lose(),  # the audit itself is down for hours
        inside_and_native=inside_and_native,
        # Each task leaks, and there are more of them every day.
        with_load_that_climbs=lambda world: world.daily(0.1, 0.5).climb(0.5, 1.5, 72).leak(0.005, 0.02, by="work"),
    ),
    *of(True, 96.0, behind_a_slow_cache=lambda world: world.cache(0.05, 0.2, (8.0, 20.0)).leak(0.007, 0.02)),
    *of(True, 72.0, on_a_noisy_host=on_a_noisy_host, large_buffers=large_buffers),
    *of(
        True,
        96.0,
        # It leaks under a daily load that nobody counts.
        load_unknown=lambda world: world.set(load_known=False).daily(0.3, 0.8).tasks(3).leak(0.006, 0.03, by="work"),
        leaks_by_the_weekday=leaks_by_the_weekday,
    ),
    *of(
        False,
        96.0,
        lagging_load_ramp=lagging_load_ramp,
        deploys=deploys,
        cleared_every_night=cleared_every_night,
        wandering_load=wandering_load,
        quiet_weekend=quiet_weekend,
        daily_load_unknown=lambda world: (
            world.set(load_known=False).daily(0.4, 0.9).busy(300, 900).tasks_hold(0.05, 0.15)
        ),
        slow_wander=slow_wander,
        heap_that_splinters=heap_that_splinters,
        registry_of_names=registry_of_names,
        pool_that_grows_with_peaks=pool_that_grows_with_peaks,
    ),
)
