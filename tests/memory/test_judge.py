"""The verdicts on series that are made by hand: each says what a rule is for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from include.memory.verdict.cache_bound import Bound
from include.memory.verdict.judge import Counter, judge
from include.memory.verdict.saturation import Explained
from include.memory.verdict.series import Floats, Judgement, Looks, Series

BASE = 200e6
BYTES_A_BLOCK = 90.0


def hours(until: float, minutes: float = 5.0) -> Floats:
    return np.arange(1, round(until * 60 / minutes) + 1) * minutes / 60


def series(
    at: Floats, python: Floats | float = 0.0, native: Floats | float = 0.0, free: Floats | float = 0.0,
    extra: Floats | float = 0.0, *, load: Floats | None = None, limit: float | None = None, seed: int = 1,
    visible: float = 0.4,
) -> Series:  # fmt: skip
    """A process of 200 MB with these bytes upon it, a little noise, and a look after a collection every ten minutes."""
    rng = np.random.default_rng(seed)
    zero = np.zeros_like(at)
    parts = [zero + part for part in (python, native, free, extra)]
    used = BASE + sum(parts) + rng.normal(0, 3e5, len(at))
    blocks = (0.5 * BASE + parts[0]) / BYTES_A_BLOCK * (1 + rng.normal(0, 3e-4, len(at)))
    objects = 0.4 * 0.5 * BASE / BYTES_A_BLOCK + visible * parts[0] / BYTES_A_BLOCK
    heap = 0.3 * BASE + parts[1] + rng.normal(0, 1e4, len(at))
    every = np.arange(1, len(at), 2)
    seen = [part[every] for part in (at, blocks, objects, heap, parts[2])]
    looks = Looks(seen[0], seen[1], seen[2], seen[3], seen[4], np.ones(len(every), dtype=bool))
    return Series(at, used, used.copy(), load, looks, limit)


def without_looks(one: Series) -> Series:
    return replace(one, looks=Looks())


def test_python_objects_that_leak() -> None:
    at = hours(16)
    said = judge(series(at, python=2e6 * at, limit=400e6))
    assert (said.verdict, said.kind) == ("leaking", "Python objects")
    assert said.growth is not None
    assert said.growth.low < 2.0 < said.growth.high
    assert said.growth.high - said.growth.low < 0.5
    assert said.hours_left == pytest.approx((400 - 232) / 2, rel=0.1)
    assert "no curve that levels off" in said.why
    assert "also after collections" in said.why


def test_what_the_collector_does_not_know_is_said() -> None:
    at = hours(16)
    assert "strings, bytes or numbers" in judge(series(at, python=2e6 * at, visible=0.0)).why
    assert "strings, bytes or numbers" not in judge(series(at, python=2e6 * at)).why


def test_objects_that_were_not_counted_say_nothing() -> None:
    at = hours(16)
    blind = series(at, python=2e6 * at, visible=0.0)
    seldom = np.where(np.arange(len(blind.looks)) % 10 == 0, blind.looks.objects, np.nan)
    assert "strings, bytes or numbers" in judge(replace(blind, looks=replace(blind.looks, objects=seldom))).why
    never = replace(blind.looks, objects=np.full(len(blind.looks), np.nan))
    said = judge(replace(blind, looks=never))
    assert said.verdict == "leaking"
    assert "strings, bytes or numbers" not in said.why
    assert judge(replace(series(at, free=2e6 * at), looks=replace(never, blocks=never.blocks[:1].repeat(len(never)))))


def test_native_memory_that_leaks() -> None:
    at = hours(16)
    said = judge(series(at, native=2e6 * at))
    assert (said.verdict, said.kind) == ("leaking", "native memory")


def test_a_leak_that_began_late_says_when() -> None:
    at = hours(40)
    said = judge(series(at, python=3e6 * np.maximum(at - 25, 0)))
    assert said.verdict == "leaking"
    assert said.since_hours == pytest.approx(25, abs=2.5)


def test_a_process_that_does_not_grow_is_steady() -> None:
    said = judge(series(hours(30)))
    assert (said.verdict, said.kind, said.suspect) == ("steady", "none", False)


def test_a_cache_that_fills_is_watched_and_then_steady() -> None:
    at = hours(60)
    filling = series(at, python=40e6 * -np.expm1(-at / 6))
    early = 96
    looks = filling.looks
    cut = Looks(*(getattr(looks, name)[: early // 2] for name in
                  ("hours", "blocks", "objects", "heap_bytes", "free_bytes", "collected")))  # fmt: skip
    young = Series(filling.hours[:early], filling.used_bytes[:early], None, None, cut)
    assert (judge(young).verdict, judge(young).kind) == ("growing (watch)", "cache")
    assert judge(filling).verdict == "steady"


def test_memory_in_step_with_the_load_is_no_leak() -> None:
    at = hours(50)
    load = 100 * (1 + 0.8 * np.sin(at * np.pi / 12))
    said = [judge(_until(series(at, python=0.3e6 * load, load=load), end)).verdict for end in range(60, 600, 20)]
    assert "leaking" not in said


def test_fragmentation_is_watched_and_named() -> None:
    at = hours(20)
    said = judge(series(at, free=2e6 * at))
    assert (said.verdict, said.kind) == ("growing (watch)", "fragmentation")


def test_copied_pages_are_no_leak() -> None:
    at = hours(20)
    forked = series(at, extra=2e6 * at)
    said = judge(replace(forked, resident_bytes=np.full(len(at), 300e6)))
    assert (said.verdict, said.kind) == ("growing (watch)", "imports or copy-on-write")


def test_one_step_is_no_leak() -> None:
    at = hours(40)
    stepped = series(at, python=np.where(at > 20, 40e6, 0.0))
    assert {judge(_until(stepped, end)).verdict for end in range(100, 480, 10)} <= {"steady", "growing (watch)"}


def test_a_cache_with_a_bound_is_watched_though_it_fills_in_a_straight_line() -> None:
    at = hours(16)
    filling = series(at, python=2e6 * at)
    said = judge(replace(filling, bound=Bound("lru_cache of price", 1_600, 10_000)))
    assert (said.verdict, said.kind) == ("growing (watch)", "cache")
    assert "1,600 of 10,000 entries" in said.why


def test_a_fast_leak_is_flagged_within_minutes() -> None:
    at = hours(3.25, minutes=1)
    grown = 120e6 * np.maximum(at - 3.0, 0)
    said = judge(series(at, python=grown, limit=400e6))
    assert (said.verdict, said.kind) == ("leaking", "Python objects")
    assert said.hours_left is not None
    assert said.hours_left == pytest.approx(1.4, abs=0.3)
    only_memory = judge(series(at, extra=grown, limit=400e6))
    assert only_memory.verdict == "growing (watch)"
    assert only_memory.suspect


def test_a_cache_with_a_bound_is_no_fast_leak() -> None:
    at = hours(3.25, minutes=1)
    filling = series(at, python=120e6 * np.maximum(at - 3.0, 0), limit=400e6)
    assert judge(filling).verdict == "leaking"
    assert judge(replace(filling, bound=Bound("lru_cache of price", 1_600, 10_000))).verdict == "growing (watch)"


def test_what_rises_fast_and_slows_down_is_no_fast_leak() -> None:
    at = hours(0.6, minutes=1)
    assert judge(series(at, python=300e6 * at, limit=530e6)).verdict == "leaking"
    assert judge(series(at, python=-300e6 * np.expm1(-at / 0.15), limit=530e6)).verdict == "warming up"


def test_what_has_grown_for_less_than_two_and_a_half_hours_is_no_leak_yet() -> None:
    grown = Explained(odds=99.0, since_hours=10.0, rate=2e5, rise=1e6, lasting=0.9, load_share=0.0)
    counter = Counter("allocated blocks", "Python objects", level=1e6, bytes_each=90.0, explained=grown)
    assert [counter.leaks(now) for now in (12.4, 12.5)] == [False, True]


def test_without_counters_only_a_day_of_growth_condemns() -> None:
    at = hours(60)
    blind = without_looks(series(at, extra=2e6 * at))
    assert judge(_until(blind, 12 * 12)).verdict == "growing (watch)"
    said = judge(blind)
    assert (said.verdict, said.kind) == ("leaking", "unknown")
    assert "no counters from inside" in said.why
    cache = without_looks(series(at, extra=60e6 * -np.expm1(-at / 15)))
    assert judge(cache).verdict != "leaking"


def test_the_first_hour_and_the_first_samples_judge_nothing() -> None:
    at = hours(0.9)
    assert judge(series(at, python=30e6 * at)).verdict == "warming up"
    assert judge(series(hours(0.25))).verdict == "not enough data"


def test_near_its_limit_even_a_steady_process_is_watched() -> None:
    said = judge(series(hours(20), limit=210e6))
    assert said.verdict == "growing (watch)"
    assert "95% of its limit" in said.why or "96% of its limit" in said.why


def test_a_gap_changes_nothing() -> None:
    at = hours(30)
    whole = series(at, python=2e6 * at)
    kept = (at < 10) | (at > 15)
    looks = whole.looks
    left = (looks.hours < 10) | (looks.hours > 15)
    cut = Looks(*(getattr(looks, name)[left] for name in
                  ("hours", "blocks", "objects", "heap_bytes", "free_bytes", "collected")))  # fmt: skip
    said = judge(Series(at[kept], whole.used_bytes[kept], None, None, cut))
    assert said.verdict == "leaking"
    assert said.growth is not None
    assert said.growth.rate == pytest.approx(2.0, rel=0.1)


def test_a_judgement_is_plain_values() -> None:
    said: Judgement = judge(series(hours(16)))
    assert said.as_dict()["verdict"] == "steady"
    assert isinstance(said.as_dict()["growth"], dict)


def _until(one: Series, samples: int) -> Series:
    looks = one.looks
    end = int(np.searchsorted(looks.hours, one.hours[samples - 1] + 1e-9))
    cut = Looks(*(getattr(looks, name)[:end] for name in
                  ("hours", "blocks", "objects", "heap_bytes", "free_bytes", "collected")))  # fmt: skip
    load = None if one.load is None else one.load[:samples]
    return Series(one.hours[:samples], one.used_bytes[:samples], None, load, cut, one.limit_bytes)
