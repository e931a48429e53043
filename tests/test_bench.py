"""What all benchmarks share, and that the profile of the ingest names parts that there are."""

from __future__ import annotations

import importlib

import pytest

from bench import profile
from bench.figures import Row, Runs
from bench.memory import cost


def test_contenders_take_turns_and_warm_up_rounds_do_not_count() -> None:
    order, runs = [], Runs()

    def run(name: str, seconds: float) -> Row:
        order.append(name)
        return {"s": seconds + len(order), "in": name}

    runs.take_turns({"ours": lambda: run("ours", 0), "theirs": lambda: run("theirs", 100)}, 2, warm_up=1)
    assert order == ["ours", "theirs"] * 3
    assert runs.values("ours", "s") == [3, 5]
    assert runs.medians() == {"ours": {"s": 4, "in": "ours"}, "theirs": {"s": 105, "in": "theirs"}}
    assert (runs.ratio("ours", "theirs", "s"), runs.ratio("ours", "nobody", "s")) == (0.038, None)


def test_a_quick_run_tells_what_it_is_too_small_for_and_does_not_fail_for_it() -> None:
    (cpu, memory) = (figure.sized(quick=True) for figure in cost.figures_of_watch(None))
    assert (cpu.verdict, cpu.reached) == ("needs full size", True)
    assert (memory.verdict, memory.reached) == ("not measured", False)
    assert not any(figure.sized(quick=False).reached for figure in cost.figures_of_watch(None))


@pytest.mark.parametrize(("module", "name"), profile.PARTS.values(), ids=profile.PARTS)
def test_the_profile_names_parts_that_there_are(module: str, name: str) -> None:
    assert callable(getattr(importlib.import_module(f"include.ingest.{module}"), name))


def test_time_in_an_inner_part_belongs_to_the_inner_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr("bench.profile.time.monotonic", lambda: float(next(now)))
    watch = profile.Stopwatch()

    def steps() -> list[int]:
        return list(watch.around("inner", lambda: iter([1, 2]))())

    assert watch.around("outer", steps)() == [1, 2]
    watch.switch()
    wall = {part: seconds for part, (seconds, _) in watch.spent.items()}
    assert wall == {"rest": 2, "outer": 5, "inner": 4}
