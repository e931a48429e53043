"""The simulator and the arithmetic of its benchmark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.figures import Row, Runs
from bench.memory import cost, real, verdicts
from bench.memory.cases import Case, cases
from bench.memory.kinds import KINDS, LATE_KINDS, Kind
from bench.memory.real import Told
from bench.memory.verdicts import replay, score
from bench.memory.world import World
from bench.venvs import pins

EVERY = {kind.name: kind for kind in (*KINDS, *LATE_KINDS)}


def test_there_are_enough_kinds_of_both_sorts_and_names_are_unique() -> None:
    assert len(EVERY) == len(KINDS) + len(LATE_KINDS)
    assert len(KINDS) >= 24
    assert min(sum(kind.leaks for kind in KINDS), sum(not kind.leaks for kind in KINDS)) >= 10


@pytest.mark.parametrize("kind", EVERY.values(), ids=lambda kind: kind.name)
def test_a_kind_is_the_same_for_the_same_seed_only(kind: Kind) -> None:
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
    leak = {"is": "leak", "processes": 50, "leaking": 48, "too early": 2}
    innocent = {"is": "innocent", "processes": 50, "leaking": 4, "too early": 0}
    assert score([leak, innocent]) == (46 / 52, 46 / 50)


def test_a_leak_that_was_never_noticed_makes_the_median_endless() -> None:
    assert verdicts.delays(lambda seed: (1.0, None if seed else 2.0), 3) == (1.0, None)
    perfect: dict[str, Row] = {"one": {"is": "leak", "processes": 1, "leaking": 1, "too early": 0}}
    found = verdicts.figures(verdicts.Found(perfect, perfect, (1.0, None), 0.25))
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


def test_a_pause_is_the_longest_gap_between_two_steps() -> None:
    steps = [0.0, 0.1, 0.2, 0.7, 0.8, 2.0, 2.1]
    assert cost.longest_gap(steps, (0.15, 0.9)) == pytest.approx(0.5)
    assert cost.longest_gap(steps, (0.9, 3.0)) == pytest.approx(1.2)
    assert cost.longest_gap(steps, (5.0, 6.0)) == pytest.approx(1.0), "no step at all"


def test_work_is_lost_beside_what_is_done_alone() -> None:
    steps = [*np.arange(0, 10, 0.01), *np.arange(10, 46, 0.02)]  # half as fast while it is profiled
    runs = Runs()
    runs.by[""].append(cost.judge(steps, (0.0, 10.0), (10.0, 46.0)))
    assert runs.median("", "work lost, s") == pytest.approx(18, abs=0.1)
    assert [figure.value for figure in cost.figures_of_profiles(runs)] == [pytest.approx(20, abs=1), 0.5]
    assert [figure.reached for figure in cost.figures_of_profiles(None)] == [False, False]


def test_the_cost_of_watching_is_reckoned_as_one_round_a_minute() -> None:
    found: Any = cost.always_on(0.06, 0.1, 0.02, 8_000_000, 1_500_000)
    assert [figure.value for figure in cost.figures_of_watch(found)] == [0.3, 9.5]


def test_what_is_said_of_real_programs_is_checked() -> None:
    leak = Case("list", "", True, "Python objects", "", "KEPT.append")
    native = Case("malloc", "", True, "native memory")
    innocent = Case("ring", "")
    right = [
        Told(leak, "leaking", "Python objects", "KEPT.append(1)", True),
        Told(native, "leaking", "native memory"),
        Told(innocent, "growing (watch)", "cache"),
    ]
    assert all(row.right for row in right)
    assert [figure.value for figure in real.figures(right)] == [0, 0, 0, 0, 0]
    wrong = [
        Told(leak, "leaking", "Python objects", "step(number)"),
        Told(native, "leaking", "Python objects"),
        Told(innocent, "leaking", "Python objects"),
        Told(innocent, failed="not installed"),
    ]
    assert not any(row.right for row in wrong)
    assert [figure.value for figure in real.figures(wrong)] == [0, 0, 1, 1, 2]


def test_every_program_has_its_pins_and_its_twin() -> None:
    every = cases()
    assert len({case.name for case in every}) == len(every)
    for case in every:
        assert not case.venv or pins(case.venv, real.PINS)
    old = {case.venv for case in every if case.venv and case.leaks}
    assert len(old) >= real.LEAST_PUBLISHED
    assert len(old) == sum(bool(case.venv) and not case.leaks for case in every)


def test_an_audit_of_some_processes_answers_for_each() -> None:
    for one in cost.audits(processes=5, rounds=2).by[""]:
        assert one["processes"] == 5
        assert one["in all, ms"] == pytest.approx(sum(one[stage] for stage in cost.STAGES[:3]))
