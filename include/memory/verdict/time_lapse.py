"""A process looked at for some seconds that stand for hours: for small programs that leak in fast motion."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from include.memory.verdict.assemble import bound_in, series_of
from include.memory.verdict.judge import judge
from include.memory.verdict.series import Floats, Judgement, Series
from include.memory.watcher import probe
from include.memory.watcher.sample import Incarnation, Sample, sample

SECONDS = 20.0
LEAST_LOOKS = 60  # on a busy machine 25 fit into these seconds, which prove nothing
MOST_SECONDS = 120.0
HOURS = 5.0  # that these seconds stand for
PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Program:
    """A process with an agent in the folder, and how many steps of its work it has done: the clock of the lapse."""

    incarnation: Incarnation
    folder: Path
    done: Callable[[], int]


@dataclass(frozen=True)
class Watched:
    """Samples and answers, and readings of the program's clock: when, in seconds since 1970, and its steps by then."""

    samples: list[Sample] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    clock: list[tuple[float, int]] = field(default_factory=list)

    def series(self) -> Series:
        """As if it had taken hours. The program's steps are the clock: a busy machine slows it down."""
        plain = series_of(self.samples, self.answers)
        read_at, steps = np.array(self.clock, dtype=float).T
        born = self.samples[0].taken_at - self.samples[0].age_seconds
        scale = HOURS / (steps[-1] - steps[0])

        def lapsed(hours: Floats) -> Floats:
            # Between two readings, as an answer is read some milliseconds after it was counted, on a busy machine
            # many: enough to make a straight line of growth look like noise.
            return np.asarray(1.0 + (np.interp(born + hours * 3600, read_at, steps) - steps[0]) * scale)

        return replace(plain, hours=lapsed(plain.hours), looks=replace(plain.looks, hours=lapsed(plain.looks.hours)))


@dataclass(frozen=True)
class Audit:
    """The verdict on a program, its deep profile if one was taken, and what it was judged by."""

    said: Judgement
    profile: dict[str, Any] | None
    watched: Watched


def watch(program: Program, seconds: float = SECONDS) -> Watched:
    """Look at a program for some seconds, from outside and inside; longer where a busy machine leaves few looks."""
    found = Watched()
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds or (
        len(found.answers) < LEAST_LOOKS and passed < MOST_SECONDS
    ):
        done = program.done()
        if found.clock and done == found.clock[-1][1]:
            time.sleep(0.005)
            continue
        found.clock.append((time.time(), done))
        found.samples.append(sample(program.incarnation.pid))
        found.clock.append((time.time(), program.done()))
        found.answers.append(probe.count(program.incarnation, folder=program.folder))
        found.clock.append((time.time(), program.done()))
        time.sleep(PAUSE_SECONDS)
    return found


def audit(program: Program, seconds: float = SECONDS, profile_seconds: float | None = None) -> Audit:
    """Watch a program and judge it. With `profile_seconds`, a suspect is profiled, and judged anew with its bound."""
    watched = watch(program, seconds)
    series = watched.series()
    said = judge(series)
    if profile_seconds is None or not said.suspect:
        return Audit(said, None, watched)
    profile = probe.profile(program.incarnation, folder=program.folder, seconds=profile_seconds)
    return Audit(judge(replace(series, bound=bound_in([profile]))), profile, watched)
