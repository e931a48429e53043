"""From a real process to a verdict: sampled, asked, profiled and judged, with seconds for hours."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from bench.memory.programs import INNOCENT, LEAKS, NATIVE, running
from include.memory import fast_motion, history
from include.memory.audit import judge_all
from include.memory.errors import MemoryAuditError
from include.memory.verdict.assemble import bound_in, series_of
from include.memory.verdict.series import Judgement
from include.memory.verdict.time_lapse import Watched, audit
from include.memory.watcher import exchange
from include.memory.watcher.sample import sample
from stack.demo.memory import ROLE, started
from tests.memory.test_api import answers, path

pytestmark = pytest.mark.slow  # all share one fixture, which takes as long as the slowest program


def audited(body: str, folder: Path, *, profile: bool = False) -> Judgement:
    """The verdict on a program."""
    with running(body, folder, STEPS="25") as program:
        time.sleep(1.0)
        return audit(program.in_lapse, profile_seconds=1.0 if profile else None).said


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judgement]:
    """The verdicts on all programs, which run side by side."""
    bodies = {**LEAKS, "native": NATIVE, **INNOCENT}
    folders = {name: tmp_path_factory.mktemp(name) for name in bodies}  # pytest's factory is not for threads

    def one(name: str) -> Judgement:
        return audited(bodies[name], folders[name], profile=name == "bounded_cache")

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


def test_an_answer_that_is_read_late_is_of_the_time_when_it_was_counted() -> None:
    """On a busy machine: 1,000 steps a second, each keeps a block, and answers are read up to a second late."""
    found, base, draw = Watched(), sample(1), random.Random(7)
    began = now = base.taken_at
    for _ in range(60):
        found.samples.append(replace(base, taken_at=now, age_seconds=base.age_seconds + now - began))
        found.clock.append((now, round(1000 * (now - began))))
        counters = {"taken_at": now + 0.001, "blocks": round(1e6 + 1000 * (now + 0.001 - began)), "collected": True}
        found.answers.append({"counters": {**dict.fromkeys(("objects", "heap_bytes", "free_bytes")), **counters}})
        now += draw.random()
        found.clock.append((now, round(1000 * (now - began))))
        now += 0.05
    looks = found.series().looks
    blocks_an_hour = (looks.blocks - looks.blocks[0])[1:] / (looks.hours - looks.hours[0])[1:]
    assert blocks_an_hour == pytest.approx([(looks.blocks[-1] - looks.blocks[0]) / 5.0] * 59, rel=0.05)


def test_a_series_is_of_one_incarnation() -> None:
    one = sample(1)
    other = replace(one, incarnation=replace(one.incarnation, start_ticks=7))
    with pytest.raises(MemoryAuditError, match="exactly one incarnation"):
        series_of([one, other])
    with pytest.raises(MemoryAuditError):
        series_of([])
    assert bound_in([{"holders": []}]) is None


def test_the_leak_of_the_demo_is_on_the_page_and_raises_no_alert(
    dsn: str, warehouse: Connection[Any], tmp_path: Path
) -> None:
    exchange.make_private(tmp_path / "agents")
    with started("leaky", tmp_path / "agents") as leaky:
        found = audit(leaky, 8.0, 2.0)
    assert found.said.verdict == "leaking"
    for _ in range(2):  # a later demo takes the place of an earlier one
        fast_motion.forget(warehouse, ROLE)
        fast_motion.keep(warehouse, ROLE, found, 8.0)
    assert history.flag(warehouse, "scheduled__1") == [], "an alert that nobody can help"
    assert judge_all(warehouse, 48) == [], "it is not judged as if these had been hours"
    listing, one = answers(dsn, ["/processes", path(leaky.incarnation)])
    (shown,) = listing.json()["processes"]
    assert (shown["role"], shown["verdict"], shown["ended"]) == ("demo", "leaking", True)
    assert shown["why"].startswith("In fast motion: 8 seconds stand for 5 hours. ")
    story = one.json()
    assert story["process"]["flagged_by"] == history.FAST_MOTION  # by which the page says that no alert went out
    assert len(story["points"]["at"]) > 30
    (profile,) = story["profiles"]
    evidence = answers(dsn, [path(leaky.incarnation, f"/evidence/{profile['evidence_id']}")])[0].json()["evidence"]
    assert "samples/workers.py" in evidence["traced"]["lines"][0]["frames"][0]
    assert history.verdicts(warehouse) == {}
