"""The simulator and the arithmetic of its benchmark."""

from __future__ import annotations

import numpy as np
import pytest

from bench.memory import verdicts
from bench.memory.kinds import KINDS
from bench.memory.late_kinds import LATE_KINDS
from bench.memory.replay import replay
from bench.memory.verdicts import Line, Score, score
from bench.memory.world import World

EVERY = {kind.name: kind for kind in (*KINDS, *LATE_KINDS)}


def test_there_are_enough_kinds_of_both_sorts_and_names_are_unique() -> None:
    assert len(EVERY) == len(KINDS) + len(LATE_KINDS)
    assert len(KINDS) >= 24
    assert min(sum(kind.leaks for kind in KINDS), sum(not kind.leaks for kind in KINDS)) >= 10


@pytest.mark.parametrize("kind", EVERY.values(), ids=lambda kind: kind.name)
def test_a_kind_is_the_same_for_the_same_seed_only(kind: verdicts.Kind) -> None:
    first, again, other = (kind.traces(seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first.used, again.used)
    assert not np.array_equal(first.used[:50], other.used[:50])
    assert first.used.min() > 0
    assert len(first.hours) == len(first.used) == len(first.clean) == len(first.raw)
    assert (np.diff(first.hours) > 0).all()


def test_an_audit_knows_nothing_of_the_future_and_collects_only_what_it_was_told_to() -> None:
    trace = EVERY["sawtooth"].traces(1)[0]
    collected = np.zeros(len(trace.raw), dtype=bool)
    collected[100:110] = True
    series = trace.until(20.0, collected, False)
    assert series.hours[-1] == pytest.approx(20.0)
    assert series.looks.hours[-1] <= 20.0 + 1e-9
    assert series.looks.collected.sum() == 10
    plain = ~series.looks.collected
    assert np.diff(series.looks.hours[plain]).min() == pytest.approx(1 / 6)


@pytest.mark.parametrize("name", ["linear_python", "linear_native", "behind_a_cache", "killed_and_restarted", "fast"])
def test_leaks_are_flagged(name: str) -> None:
    kind = EVERY[name]
    for seed in (101, 102):
        done = replay(kind.traces(seed), kind.judged_every_hours)
        assert done.leaking_at is not None
        assert not done.too_early


@pytest.mark.parametrize("name", ["filling_cache", "sawtooth", "one_step", "fragmentation_plateau", "copy_on_write"])
def test_innocents_are_not(name: str) -> None:
    kind = EVERY[name]
    assert replay(kind.traces(101), 4.0).leaking_at is None


def test_precision_and_recall_are_counted_by_process_and_early_flags_are_false() -> None:
    lines = [
        Line("a", True, 50, 48, 2, 0, 1.0, ""),
        Line("b", False, 50, 4, 0, 0, 1.0, ""),
    ]
    assert score(lines) == Score(46 / 52, 46 / 50)


def test_a_leak_that_was_never_noticed_makes_the_median_endless() -> None:
    assert verdicts.delays(lambda seed: (1.0, None if seed else 2.0), 3) == (1.0, None)
    found = verdicts.figures(Score(1, 1), Score(1, 1), (1.0, None), 0.25)
    assert [figure.reached for figure in found] == [True, True, True, True, True, False, True]


def test_a_world_holds_what_is_put_into_it() -> None:
    world = World(np.random.default_rng(1), 10.0)
    world.python += 50.0
    world.native += 20.0
    plain = World(np.random.default_rng(1), 10.0).freeze()
    trace = world.freeze()
    assert (trace.used - plain.used).mean() == pytest.approx(70e6, rel=0.15)
    assert (trace.clean.blocks - plain.clean.blocks).mean() * 90 == pytest.approx(50e6, rel=0.1)
    assert (trace.clean.heap_bytes - plain.clean.heap_bytes).mean() == pytest.approx(20e6, rel=0.1)
