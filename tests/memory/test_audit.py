"""The audit on a real PostgreSQL: what is kept, what is said, and what is flagged once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.memory import audit, history, probe
from include.memory.limit import cgroup_limit
from include.memory.processes import Pattern
from include.memory.sample import Incarnation, sample
from tests.memory.past import leaks, past
from tests.memory.programs import INNOCENT, LEAKS, Program, running


def test_a_leak_is_flagged_once_and_cleared_when_it_ends(warehouse: psycopg.Connection) -> None:
    leaking, steady = Incarnation("here", 11, 5), Incarnation("here", 12, 5)
    past(warehouse, leaking, leaks)
    past(warehouse, steady, lambda hour: 0.0)
    wanted = audit.judge_all(warehouse, 48)
    assert wanted == [{"host": "here", "pid": 11, "start_ticks": 5}]
    rows = warehouse.execute("SELECT pid, verdict, kind FROM millrace.memory_finding ORDER BY pid").fetchall()
    assert rows == [(11, "leaking", "Python objects"), (12, "steady", "none")]
    assert history.suspects(warehouse) == {leaking}
    (found,) = history.flag(warehouse)
    text = audit.sentence(found)
    assert text.startswith("worker 11 on here leaks 6.")
    assert "also after collections" in text
    audit.judge_all(warehouse, 48)
    assert history.flag(warehouse) == [], "once"
    history.note(warehouse, leaking, replace(audit.judge(history.series(warehouse, 48)[leaking]), verdict="steady"))
    assert warehouse.execute("SELECT count(flagged_at) FROM millrace.memory_finding").fetchone() == (0,)
    audit.judge_all(warehouse, 48)
    assert len(history.flag(warehouse)) == 1, "it began anew"


def test_a_restart_is_another_process(warehouse: psycopg.Connection) -> None:
    before, after = Incarnation("here", 11, 5), Incarnation("here", 11, 6)
    past(warehouse, before, leaks, until_minutes=20)
    past(warehouse, after, lambda hour: 0.0)
    assert audit.judge_all(warehouse, 48) == [], "the one that leaked has gone"
    assert set(history.series(warehouse, 48)) == {after}


def test_samples_come_back_as_they_were(warehouse: psycopg.Connection) -> None:
    one = replace(sample(1), unique_bytes=None, unreadable=("smaps_rollup",))
    history.add_sample(warehouse, "init", one, None)
    history.add_sample(warehouse, "init", one, None)
    (found,) = history.series(warehouse, 1).values()
    assert len(found.hours) == 1
    assert found.used_bytes[0] == one.used_bytes
    assert len(found.looks) == 0


def test_what_is_old_is_forgotten(warehouse: psycopg.Connection) -> None:
    process = Incarnation("here", 11, 5)
    past(warehouse, process, leaks)
    audit.judge_all(warehouse, 48)
    history.add_evidence(warehouse, process, {"holders": []})
    history.forget(warehouse, days=2)
    counts = "SELECT (SELECT count(*) FROM millrace.memory_sample), (SELECT count(*) FROM millrace.memory_evidence)"
    assert warehouse.execute(counts).fetchone() == (180, 1)
    history.forget(warehouse, days=0)
    assert warehouse.execute(counts).fetchone() == (0, 0)


@pytest.fixture
def program_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Starts a program whose agent looks into this test's folder."""
    monkeypatch.setenv("MILLRACE_MEMORY_FOLDER", str(tmp_path / "agent"))
    return lambda body: running(body, tmp_path)


def test_a_real_leak_is_seen_profiled_and_named(
    warehouse: psycopg.Connection, program_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "find", lambda patterns: find(patterns, older_than_seconds=0))
    from include.memory.processes import find

    program: Program
    with program_of(LEAKS["global_list"]) as program:
        only = [Pattern("leaker", rf"{program.source}")]
        monkeypatch.setattr(audit, "AIRFLOW", ())
        assert audit.look(warehouse, only) == {"processes": 1, "counted_inside": 1, "ended": 0}
        past(warehouse, program.incarnation, leaks)
        (wanted,) = audit.judge_all(warehouse, 48)
        assert Incarnation(**wanted) == program.incarnation
        found = audit.prove(warehouse, program.incarnation, 2.0)
        assert found is not None
        assert audit.judge_all(warehouse, 48) == [], "it is proved"
        (flagged,) = history.flag(warehouse)
        text = audit.sentence(flagged)
        assert "Held by module __main__ > .ORDERS list" in text
        assert f"Allocated at {program.source}:" in text
        other = replace(program.incarnation, start_ticks=1)
        assert audit.prove(warehouse, other, 1.0) is None
    assert audit.prove(warehouse, program.incarnation, 1.0) is None


def test_a_growing_cache_with_a_bound_is_not_flagged(
    warehouse: psycopg.Connection, program_of: Callable[[str], Any]
) -> None:
    program: Program
    with program_of(INNOCENT["bounded_cache"]) as program:
        past(warehouse, program.incarnation, leaks)
        audit.judge_all(warehouse, 48)
        history.add_evidence(warehouse, program.incarnation, probe.profile(program.incarnation, seconds=1.0))
        audit.judge_all(warehouse, 48)
    assert history.flag(warehouse) == []
    (why,) = warehouse.execute("SELECT why FROM millrace.memory_finding").fetchone() or ("",)
    assert "lru_cache of price holds the growth" in why


def test_the_limit_of_the_control_group(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert cgroup_limit(tmp_path, own) is None
    (tmp_path / "a" / "memory.max").write_text("8000000\n")
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    assert cgroup_limit(tmp_path, own) == 8e6
    assert cgroup_limit(tmp_path, tmp_path / "none") is None
