"""A model of one process: what it holds, what it is given to do, and what can be seen of it from outside and inside.

Sizes in MB (10^6 bytes), times in hours. What is held has parts: live Python objects, live native memory, memory that
malloc holds back, mapped files. Upon them come tasks in flight, garbage that waits for the collector, allocators that
give memory back late, and the noise of a real machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from include.memory.verdict.cache_bound import Bound
from include.memory.verdict.series import Floats, Looks, Series

LOOK_EVERY_HOURS = 1 / 6
BYTES_A_BLOCK = 90.0
Part = Literal["python", "native", "free", "mapped", "shared"]
LOOKED_AT = ("hours", "blocks", "objects", "heap_bytes", "free_bytes")


class World:
    """One incarnation under construction: kinds of processes add to its parts."""

    def __init__(self, rng: np.random.Generator, hours: float = 72.0, step_minutes: float = 5.0) -> None:
        self.rng = rng
        self.step = step_minutes / 60
        self.hours: Floats = np.asarray(np.arange(1, round(hours / self.step) + 1) * self.step, np.float64)
        count = len(self.hours)
        self.base = self.uniform(120, 400)
        self.python, self.native, self.free, self.mapped, self.shared = np.zeros((5, count))
        self.python_share = self.uniform(0.4, 0.7)
        self.visible_share = 1.0  # of the Python growth, that the collector knows of
        self.tasks_an_hour = self.uniform(20, 200)
        self.pattern: Floats = np.ones(count)
        self.task_mb = self.base * self.uniform(0.001, 0.004)
        self.task_hours = self.uniform(0.02, 0.08)
        self.garbage_share = self.uniform(0.003, 0.015)
        self.garbage_hours = self.uniform(0.2, 1.0)
        self.noise_share = self.uniform(0.001, 0.003)
        self.keeping_hours = self.uniform(1, 12)  # how slowly the allocators give back
        self.limit: float | None = None
        self.pinned = False  # what is over the limit is taken from it again, so that it stays there
        self.load_known = True
        self.missing = np.zeros(count, dtype=bool)  # samples that were never taken
        self.bound: Bound | None = None
        self.onset = 0.0  # of the leak, if it is one
        self.warm_up(self.uniform(0.03, 0.12), self.uniform(0.1, 0.6))

    def uniform(self, low: float, high: float) -> float:
        """A number between these two."""
        return float(self.rng.uniform(low, high))

    def between(self, low: float, high: float) -> float:
        """A number whose logarithm is uniform."""
        return between(self.rng, low, high)

    def warm_up(self, share: float, tau: float) -> Self:
        """What is imported and filled first."""
        grown = self.base * share * self.saturating(0.0, tau)
        return self.add(grown * self.python_share).add(grown * (1 - self.python_share), "native")

    def add(self, amount: NDArray[np.floating[Any]], part: Part = "python") -> Self:
        """Hold so much more, in MB at each sample."""
        setattr(self, part, getattr(self, part) + amount)
        return self

    def share(self, low: float, high: float) -> float:
        """A share of the process between these two, in MB."""
        return self.base * self.uniform(low, high)

    def leak(self, low: float, high: float, part: Part = "python", *, by: Literal["clock", "work"] = "clock") -> Self:
        """Grow from the onset on, by a share of the process an hour, or by that for an hour's usual work."""
        rate = self.base * self.between(low, high)
        return self.add(rate * (self.ramp(self.onset) if by == "clock" else self.work()), part)

    def leak_to_limit(self, hours: float) -> Self:
        """Grow from the onset on, so that the limit is reached within these hours."""
        self.limit = self.share(1.8, 3.0)
        part: Part = "python" if self.uniform(0, 1) < 0.7 else "native"
        return self.add((self.limit - self.base * 1.1) / hours * self.ramp(self.onset), part)

    def cache(self, low: float, high: float, tau: tuple[float, float], part: Part = "python") -> Self:
        """Fill a cache of a share of the process, ever more slowly."""
        return self.add(self.share(low, high) * self.saturating(0.0, self.between(*tau)), part)

    def daily(self, low: float, high: float) -> Self:
        """Load that goes up and down once a day, by a share of itself."""
        depth, phase = self.uniform(low, high), self.uniform(0, 24)
        return self.load(1 + depth * np.sin((self.hours - phase) * np.pi / 12))

    def climb(self, low: float, high: float) -> Self:
        """Load that climbs all the time, by a share of itself in all."""
        return self.load(1 + self.uniform(low, high) * self.hours / self.hours[-1])

    def load(self, times: Floats) -> Self:
        """So many times the load, at each sample."""
        return self.set(pattern=self.pattern * times)

    def tasks_hold(self, low: float, high: float) -> Self:
        """Tasks that run hold a share of the process, together."""
        return self.set(task_mb=self.share(low, high) / (self.tasks_an_hour * self.task_hours))

    def steps(self, gaps: Floats) -> Floats:
        """How many times have passed that lie so far apart."""
        return np.asarray(np.searchsorted(np.cumsum(gaps), self.hours), np.float64)

    def set(self, **values: object) -> Self:
        """Change what the process is like."""
        assert vars(self).keys() >= values.keys()
        vars(self).update(values)
        return self

    def saturating(self, onset: float, tau: float) -> Floats:
        """From 0 to 1, with that time constant, from the onset on."""
        return np.asarray(-np.expm1(-np.maximum(self.hours - onset, 0.0) / tau))

    def ramp(self, onset: float = 0.0) -> Floats:
        """Hours since the onset."""
        return np.maximum(self.hours - onset, 0.0)

    @cached_property
    def counts(self) -> Floats:
        """Tasks that were begun in each step."""
        return self.rng.poisson(np.maximum(self.tasks_an_hour * self.pattern * self.step, 0.0)).astype(float)

    def work(self) -> Floats:
        """Tasks done so far, in hours of usual load."""
        return np.asarray(np.cumsum(self.counts) / self.tasks_an_hour)

    def lose(self) -> Self:
        """Some hours of samples were never taken, three times over."""
        for begin in self.rng.uniform(3, self.hours[-1] - 6, 3):
            self.missing |= (self.hours > begin) & (self.hours < begin + self.rng.uniform(0.5, 6))
        return self

    def freeze(self) -> Trace:
        """The finished incarnation, with everything that can be seen of it."""
        rng, base, count = self.rng, self.base, len(self.hours)
        flying = rng.poisson(np.maximum(self.counts * self.task_hours / self.step, 0.0)) * self.task_mb
        phase = self.hours / self.garbage_hours + rng.uniform()
        garbage = base * self.garbage_share * (phase % 1.0) * rng.uniform(0.5, 1.0, count)
        python = self.python + flying * 0.7
        native = self.native + flying * 0.3
        # Allocators follow what is needed at once upwards, and slowly downwards.
        needed, scale = python + garbage + native + self.free, self.hours / self.keeping_hours
        peaks = np.maximum.accumulate(np.log(np.maximum(needed, 1e-3)) + scale) - scale
        held = np.maximum(needed, 0.35 * needed + 0.65 * np.exp(peaks))
        shocks = rng.normal(0, self.noise_share * np.sqrt(1 - 0.8**2), count)
        noise = lfilter([1.0], [1.0, -0.8], shocks)  # it remembers (AR 1)
        used = base + held + self.mapped + base * noise
        blocks = (base * self.python_share + python) * 1e6 / BYTES_A_BLOCK
        blocks *= 1 + rng.normal(0, 3e-4, count)
        heap = (base * (1 - self.python_share) + native) * (1 + rng.normal(0, 5e-4, count))
        if self.pinned and self.limit is not None:
            used = np.minimum(used, self.limit * (0.985 + 0.01 * rng.uniform(size=count)))
        objects = 0.4 * (base * self.python_share + python * self.visible_share) * 1e6 / BYTES_A_BLOCK
        free = held - python - native + base * 0.02
        seen = np.flatnonzero(~self.missing)

        def looks(blocks: Floats, objects: Floats, collected: bool) -> Looks:
            hours, blocks, objects, held, left = (
                one[seen] for one in (self.hours, blocks, objects, heap * 1e6, free * 1e6)
            )
            return Looks(hours, blocks, objects, held, left, np.full(len(seen), collected))

        dirt = garbage * 1e6 / BYTES_A_BLOCK
        clean, raw = looks(blocks, objects, True), looks(blocks + dirt, objects + 0.4 * dirt, False)
        load = (self.counts / self.step)[seen] if self.load_known else None
        limit = None if self.limit is None else self.limit * 1e6
        return Trace(
            self.hours[seen], used[seen] * 1e6, (used + self.shared)[seen] * 1e6, load, clean, raw, limit, self.bound,
            self.onset, self.step,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Trace:
    """What can be seen of one incarnation: looks at each sample, both after a collection and without one."""

    hours: Floats
    used: Floats
    resident: Floats
    load: Floats | None
    clean: Looks
    raw: Looks
    limit: float | None
    bound: Bound | None
    onset: float
    step: float

    def until(self, now: float, collected: NDArray[np.bool_], profiled: bool) -> Series:
        """What the audit knows at that age.

        `collected` says at which samples a look was taken after a collection, as it is while the process is suspected.
        Otherwise there is one without, every ten minutes.
        """
        samples = int(np.searchsorted(self.hours, now + 1e-9))
        looks = int(np.searchsorted(self.raw.hours, now + 1e-9))
        every = max(1, round(LOOK_EVERY_HOURS / self.step))
        number = np.round(self.hours[:looks] / self.step).astype(int)
        taken = np.flatnonzero(collected[:looks] | (number % every == 0))
        mask = collected[taken]
        mixed = {
            name: np.where(mask, getattr(self.clean, name)[taken], getattr(self.raw, name)[taken]) for name in LOOKED_AT
        }
        return Series(
            self.hours[:samples], self.used[:samples], self.resident[:samples],
            None if self.load is None else self.load[:samples], Looks(**mixed, collected=mask), self.limit,
            self.bound if profiled else None,
        )  # fmt: skip


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
