"""From a real process to a verdict: sampled, asked, profiled and judged, with seconds for hours."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.memory import probe
from include.memory.assemble import bound_in, series_of
from include.memory.errors import MemoryAuditError
from include.memory.judge import judge
from include.memory.sample import Sample, sample
from include.memory.series import Floats, Judgement, Series
from tests.memory.programs import INNOCENT, LEAKS, NATIVE, Program, running

SECONDS = 20.0
PAUSE_SECONDS = 0.05
HOURS = 5.0  # that the test stands for


@dataclass(frozen=True)
class Watched:
    """Samples and answers, and how many steps the program had done at each."""

    samples: list[Sample]
    answers: list[dict[str, Any]]
    at_samples: list[int]
    at_answers: list[int]

    def series(self) -> Series:
        """As if it had taken hours. The program's steps are the clock: a busy machine slows it down."""
        plain = series_of(self.samples, self.answers)
        first, last = self.at_samples[0], self.at_samples[-1]

        def hours(steps: list[int]) -> Floats:
            return 1.0 + (np.array(steps, dtype=float) - first) * HOURS / (last - first)

        return replace(plain, hours=hours(self.at_samples), looks=replace(plain.looks, hours=hours(self.at_answers)))


def watch(program: Program) -> Watched:
    """Look at a program for some seconds, from outside and inside."""
    found = Watched([], [], [], [])
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if found.at_samples and program.done == found.at_samples[-1]:
            time.sleep(0.005)
            continue
        found.at_samples.append(program.done)
        found.samples.append(sample(program.incarnation.pid))
        found.answers.append(probe.count(program.incarnation, folder=program.folder))
        found.at_answers.append(program.done)
        time.sleep(PAUSE_SECONDS)
    return found


def audited(body: str, folder: Path, *, profile: bool = False) -> Judgement:
    """The verdict on a program."""
    with running(body, folder, STEPS="25") as program:
        time.sleep(1.0)
        series = watch(program).series()
        if profile:
            found = probe.profile(program.incarnation, folder=program.folder, seconds=1.0)
            series = replace(series, bound=bound_in([found]))
    return judge(series)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judgement]:
    """The verdicts on all programs, which run side by side."""
    bodies = {**LEAKS, "native": NATIVE, **INNOCENT}

    def one(name: str) -> Judgement:
        return audited(bodies[name], tmp_path_factory.mktemp(name), profile=name == "bounded_cache")

    with ThreadPoolExecutor(len(bodies)) as pool:
        return dict(zip(bodies, pool.map(one, bodies), strict=True))


@pytest.mark.parametrize("name", LEAKS)
def test_programs_that_leak_are_flagged(name: str, said: dict[str, Judgement]) -> None:
    assert (said[name].verdict, said[name].kind) == ("leaking", "Python objects"), said[name]


def test_a_native_leak_is_flagged_as_such(said: dict[str, Judgement]) -> None:
    assert (said["native"].verdict, said["native"].kind) == ("leaking", "native memory"), said["native"]


@pytest.mark.parametrize("name", ["full_cache", "ring", "garbage"])
def test_innocent_programs_are_not(name: str, said: dict[str, Judgement]) -> None:
    assert said[name].verdict == "steady", said[name]


def test_a_cache_that_will_be_full_one_day_is_watched(said: dict[str, Judgement]) -> None:
    found = said["bounded_cache"]
    assert (found.verdict, found.kind) == ("growing (watch)", "cache"), found
    assert "lru_cache of price" in found.why


def test_a_series_is_of_one_incarnation() -> None:
    one = sample(1)
    other = replace(one, incarnation=replace(one.incarnation, start_ticks=7))
    with pytest.raises(MemoryAuditError, match="exactly one incarnation"):
        series_of([one, other])
    with pytest.raises(MemoryAuditError):
        series_of([])
    assert bound_in([{"holders": []}]) is None
