"""The kinds of processes that the rules of judgement were made with, and later ones: those that leak, and those that
only look like it.

Each kind adds to the incarnations of one process, made from a seeded generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.memory.world import Trace, World, between
from include.memory.verdict.cache_bound import Bound

Worlds = Callable[[np.random.Generator], list[World]]
Shape = Callable[[World], object]


@dataclass(frozen=True)
class Kind:
    """A kind of process. It is judged less often than an audit comes by."""

    name: str
    leaks: bool
    make: Worlds
    judged_every_hours: float = 2.0

    def traces(self, seed: int) -> list[Trace]:
        """The incarnations of the process of that seed."""
        name = np.frombuffer(self.name.encode(), dtype=np.uint8)
        return [world.freeze() for world in self.make(np.random.default_rng([seed, *name.tolist()]))]


def of(leaks: bool, hours: float = 72.0, **shapes: Shape) -> list[Kind]:
    """Kinds of one incarnation that lives so long."""

    def make(shape: Shape, rng: np.random.Generator) -> list[World]:
        shape(world := World(rng, hours))
        return [world]

    return [Kind(name, leaks, partial(make, shape)) for name, shape in shapes.items()]


def stepwise(w: World) -> None:
    """A leak in steps, some hours apart."""
    every, size = w.between(1.5, 6.0), w.base * w.between(0.01, 0.03)
    w.add(size * w.steps(w.rng.uniform(0.7, 1.3, 200) * every))


def per_burst(w: World) -> None:
    """Load comes in bursts, and each leaves something behind for every task of it."""
    every, lasts = w.between(2.0, 8.0), w.uniform(0.2, 0.8)
    phase = (w.hours / every + w.uniform(0, 1)) % 1.0
    w.load(np.where(phase < lasts / every, w.uniform(4, 10), 0.3)).leak(0.004, 0.02, by="work")


def within_free_heap(w: World) -> None:
    """A great burst left free memory that the leak fills first: for hours, nothing is seen from outside."""
    room, grown = w.share(0.05, 0.2), w.base * w.between(0.005, 0.03) * w.ramp(1.0)
    w.add(grown).add(np.maximum(room * (w.hours > 1.0) - grown, 0.0), "free")


def killed_and_restarted(rng: np.random.Generator) -> list[World]:
    """It leaks until it is killed at its limit, and begins anew."""
    share, worlds, left = between(rng, 0.015, 0.04), list[World](), 72.0
    while left > 3.0:
        world = World(rng, min(0.7 / share * rng.uniform(0.9, 1.1), left))
        worlds.append(world.add(world.base * share * world.ramp()))
        left -= world.hours[-1]
    return worlds


def fast(rng: np.random.Generator) -> list[World]:
    """Hours of peace, then the limit comes near within three hours."""
    onset, lasts = float(rng.uniform(2, 6)), between(rng, 0.8, 3.0)
    return [World(rng, onset + lasts, 1.0).set(onset=onset).leak_to_limit(lasts)]


def saw_teeth(w: World, low: float, high: float, hours: float) -> World:
    """Large saw-teeth of garbage, some hours apart."""
    return w.set(garbage_share=w.uniform(low, high), garbage_hours=w.between(0.7, hours))


def lru_of_unique_keys(w: World) -> None:
    """Every key is new, so that it fills in a straight line until it is full. A profile finds its bound."""
    full, size = w.uniform(15, 60), w.share(0.1, 0.4)
    w.add(size * np.minimum(w.ramp() / full, 1.0)).set(bound=Bound("cache `lookup`", 1, 100_000))


def weekly_ramp(w: World) -> None:
    """Load that climbs for three days, and memory with it."""
    if w.uniform(0, 1) < 0.6:
        w.daily(0.2, 0.5)
    w.set(tasks_an_hour=w.uniform(300, 900)).climb(0.7, 2.0).tasks_hold(0.08, 0.2)


def restarts(rng: np.random.Generator) -> list[World]:
    """Restarted every so often; each time it warms up to the same size."""
    worlds = (World(rng, float(lasts)) for lasts in rng.uniform(4, 30, 4))
    return [world.warm_up(0.2, world.between(0.3, 2.0)) for world in worlds]


def copy_on_write(w: World) -> None:
    """A forked worker makes pages its own: its resident size stays, its unique size grows."""
    copied = w.share(0.2, 0.6) * w.saturating(0.0, w.between(2.0, 20.0))
    w.add(copied, "mapped").add(copied.max() - copied, "shared")


def bursts_of_large_tasks(w: World) -> None:
    """Every few hours a task builds something large for some minutes, keeps it a while and drops it."""
    for begin in np.cumsum(w.rng.exponential(5.0, 40) + 1.0):
        building, keeping, since = w.uniform(0.02, 0.15), w.uniform(0.05, 0.7), w.hours - begin
        w.add(w.share(0.1, 1.0) * np.clip(since / building, 0.0, 1.0) * (since < building + keeping), "native")


def cache_that_starts_late(w: World) -> None:
    """A new DAG comes, and fills a cache of its own."""
    onset, tau = w.uniform(10, 45), w.between(1.0, 12.0)
    w.add(w.share(0.05, 0.3) * w.saturating(onset, tau))


def two_caches(w: World) -> None:
    """A second deploy brings a second cache before the first is full."""
    for onset in (w.uniform(0, 15), w.uniform(15, 45)):
        size, tau = w.share(0.05, 0.2), w.between(1.0, 8.0)
        w.add(size * w.saturating(onset, tau))


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
    leaks = w.steps(w.rng.uniform(3, 10, 40)) % 2
    w.add(w.base * w.between(0.01, 0.03) * np.cumsum(leaks) * w.step)


def inside_and_native(w: World) -> None:
    """Each lost object drags native memory along."""
    rate = w.between(0.006, 0.03)
    w.add(w.base * rate * 0.3 * w.ramp()).add(w.base * rate * 0.7 * w.ramp(), "native")


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


def pool_that_grows_with_peaks(w: World) -> None:
    """A pool of connections as large as the highest load so far."""
    peak = np.maximum.accumulate(busy(w.daily(0.3, 0.8)).counts)
    w.add(w.share(0.1, 0.3) * peak / peak.max(), "native")


KINDS: tuple[Kind, ...] = (
    *of(
        True,
        linear_python=lambda w: w.leak(0.003, 0.05),
        linear_native=lambda w: w.leak(0.003, 0.05, "native"),
        slow=lambda w: w.leak(0.0015, 0.003),  # takes a fortnight to matter
        strings_only=lambda w: w.set(visible_share=0.02).leak(0.004, 0.03),  # unknown to the collector
        stepwise=stepwise,
        per_burst=per_burst,
        late=lambda w: w.set(onset=w.uniform(24, 48)).leak(0.007, 0.03),
        late_native=lambda w: w.set(onset=w.uniform(24, 48)).leak(0.007, 0.03, "native"),
        # Each task leaks, and there are more of them by day; then a heartbeat does, whatever there is to do.
        under_daily_load=lambda w: w.daily(0.4, 0.9).set(task_mb=3 * w.task_mb).leak(0.004, 0.03, by="work"),
        by_clock_under_daily_load=lambda w: w.daily(0.4, 0.9).set(task_mb=3 * w.task_mb).leak(0.004, 0.03),
        rising_floor=lambda w: saw_teeth(w, 0.08, 0.2, 4.0).leak(0.004, 0.03),
        accelerating=lambda w: w.add(w.base * w.between(0.3, 1.5) * (w.hours / 72) ** w.uniform(1.5, 2.5)),
        behind_a_cache=lambda w: w.cache(0.05, 0.25, (1.5, 8.0)).leak(0.005, 0.03),
        within_free_heap=within_free_heap,
    ),
    Kind("killed_and_restarted", True, killed_and_restarted),
    Kind("fast", True, fast, 1 / 6),
    *of(
        False,
        warm_up=lambda w: w.warm_up(w.uniform(0.1, 0.5), w.between(0.3, 4.0)),
        filling_cache=lambda w: w.cache(0.05, 0.4, (2.0, 12.0)),
        cache_that_starts_late=cache_that_starts_late,
        lru_of_unique_keys=lru_of_unique_keys,
        sawtooth=lambda w: saw_teeth(w, 0.05, 0.25, 10.0),
        daily_load=lambda w: busy(w.daily(0.4, 0.9), 300, 900).tasks_hold(0.1, 0.3),
        weekly_ramp=weekly_ramp,
        fragmentation_plateau=lambda w: w.cache(0.1, 0.4, (2.0, 20.0), "free"),  # the heap splinters, and then stops
        # It splinters on and on; nothing more is in use.
        fragmentation_that_creeps=lambda w: w.add(w.base * w.between(0.002, 0.008) * w.ramp() ** 0.9, "free"),
        one_step=lambda w: w.add(w.share(0.05, 0.4) * (w.hours > w.uniform(4, 65))),
        noise=lambda w: w.set(noise_share=w.uniform(0.01, 0.04)),
        mapped_files=lambda w: w.add(w.steps(w.rng.exponential(4.0, 60)) * w.share(0.01, 0.04), "mapped"),
        copy_on_write=copy_on_write,
        bursts_of_large_tasks=bursts_of_large_tasks,
        two_caches=two_caches,
    ),
    Kind("restarts", False, restarts),
    *of(
        False,
        96.0,
        slow_lru=lambda w: w.cache(0.1, 0.4, (12.0, 40.0)),  # new keys become rarer over days
        # Keys follow a power law: the cache fills ever more slowly, for days.
        cache_of_rare_keys=lambda w: w.add(w.share(0.1, 0.4) * (w.hours / 96) ** w.uniform(0.35, 0.6)),
    ),
)

# No rule was changed to suit these, which were written after the rules were frozen: they say what the rules are worth
# on what they were not made for. Whoever changes a rule because of one of them moves it to the others and writes a new.
LATE_KINDS: tuple[Kind, ...] = (
    *of(
        True,
        pinned_at_limit=pinned_at_limit,
        with_gaps=lambda w: w.leak(0.005, 0.03, "native").lose(),  # the audit itself is down for hours
        inside_and_native=inside_and_native,
        # Each task leaks, and there are more of them every day.
        with_load_that_climbs=lambda w: w.daily(0.1, 0.5).climb(0.5, 1.5).leak(0.005, 0.02, by="work"),
        on_a_noisy_host=lambda w: w.set(noise_share=w.uniform(0.01, 0.03), task_mb=4 * w.task_mb).leak(0.008, 0.03),
        # Few leaks, each of megabytes, at random.
        large_buffers=lambda w: w.add(
            w.share(0.005, 0.02) * w.steps(w.rng.exponential(w.between(0.7, 3.0), 400)), "native"
        ),
    ),
    *of(True, 144.0, at_night_only=at_night_only),
    *of(
        True,
        96.0,
        on_and_off=on_and_off,
        behind_a_slow_cache=lambda w: w.cache(0.05, 0.2, (8.0, 20.0)).leak(0.007, 0.02),
        # It leaks under a daily load that nobody counts; then every task does, and for a day and a half there are none.
        load_unknown=lambda w: (
            w.set(load_known=False, task_mb=3 * w.task_mb).daily(0.3, 0.8).leak(0.006, 0.03, by="work")
        ),
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
        daily_load_unknown=lambda w: busy(w.set(load_known=False).daily(0.4, 0.9), 300, 900).tasks_hold(0.05, 0.15),
        slow_wander=slow_wander,
        # Every burst leaves the heap a little more splintered: malloc holds more, nothing is in use.
        heap_that_splinters=lambda w: w.add(w.steps(w.rng.exponential(3.0, 60)) * w.share(0.005, 0.03), "free"),
        # Names are interned as they are first seen: every one soon, and then hardly any (logarithm of time).
        registry_of_names=lambda w: w.add(w.share(0.03, 0.12) * np.log1p(w.hours / w.between(0.3, 4.0))),
        pool_that_grows_with_peaks=pool_that_grows_with_peaks,
    ),
)
