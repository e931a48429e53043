"""The audit on a real PostgreSQL: what is kept, what is said, and what is flagged once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from include.memory import audit, history
from include.memory.errors import MemoryAuditError
from include.memory.shipping import entries
from include.memory.verdict.assemble import series_of
from include.memory.verdict.judge import judge
from include.memory.watcher import probe
from include.memory.watcher.limit import CHOSEN, limit_of
from include.memory.watcher.sample import Incarnation, sample
from tests.memory.past import leaks, past
from tests.memory.programs import INNOCENT, Program, running


def test_a_leak_is_flagged_once_and_cleared_when_it_ends(warehouse: psycopg.Connection) -> None:
    leaking, steady = Incarnation("here", 11, 5), Incarnation("here", 12, 5)
    past(warehouse, leaking, leaks)
    past(warehouse, steady, lambda hour: 0.0)
    wanted = audit.judge_all(warehouse, 48)
    assert wanted == [{"host": "here", "pid": 11, "start_ticks": 5}]
    rows = warehouse.execute("SELECT pid, verdict, kind FROM millrace.memory_finding ORDER BY pid").fetchall()
    assert rows == [(11, "leaking", "Python objects"), (12, "steady", "none")]
    assert entries.suspects(warehouse) == {leaking}
    (found,) = history.flag(warehouse, "one")
    text = audit.sentence(found)
    assert text.startswith("worker 11 on here leaks 6.")
    assert "also after collections" in text
    audit.judge_all(warehouse, 48)
    assert history.flag(warehouse, "two") == [], "once"
    assert len(history.flag(warehouse, "one")) == 1, "the run whose task died says it again"
    series = next(series for process, _, series in history.series(warehouse, 48) if process == leaking)
    history.note(warehouse, leaking, replace(judge(series), verdict="steady"))
    assert warehouse.execute("SELECT count(flagged_at) FROM millrace.memory_finding").fetchone() == (0,)
    audit.judge_all(warehouse, 48)
    assert len(history.flag(warehouse, "three")) == 1, "it began anew"


def test_leaks_are_profiled_before_suspects(warehouse: psycopg.Connection) -> None:
    for pid in range(11, 11 + audit.PROOFS):
        past(warehouse, Incarnation("here", pid, 5), lambda hour: -60 * np.expm1(-hour / 12))
    past(warehouse, Incarnation("here", 99, 5), leaks)
    wanted = audit.judge_all(warehouse, 48)
    assert history.verdicts(warehouse) == {"growing": audit.PROOFS, "leaking": 1}
    assert [one["pid"] for one in wanted] == [99, 11, 12]


def test_a_verdict_of_long_ago_is_not_flagged(warehouse: psycopg.Connection) -> None:
    past(warehouse, Incarnation("here", 11, 5), leaks)
    audit.judge_all(warehouse, 48)
    warehouse.execute("UPDATE millrace.memory_finding SET judged_at = now() - interval '61 minutes'")
    assert history.flag(warehouse, "one") == []
    warehouse.execute("UPDATE millrace.memory_finding SET judged_at = now() - interval '59 minutes'")
    assert len(history.flag(warehouse, "one")) == 1


def test_a_restart_is_another_process(warehouse: psycopg.Connection) -> None:
    before, after = Incarnation("here", 11, 5), Incarnation("here", 11, 6)
    past(warehouse, before, leaks, until_minutes=20)
    past(warehouse, after, lambda hour: 0.0)
    assert audit.judge_all(warehouse, 48) == [], "the one that leaked has gone"
    assert [process for process, _, _ in history.series(warehouse, 48)] == [after]


def test_samples_come_back_as_they_were(warehouse: psycopg.Connection) -> None:
    one = replace(sample(1), unique_bytes=None, unreadable=("smaps_rollup",))
    record = {"release": None, "samples": [{"role": "init", "limit_bytes": 7, "counters": None, **asdict(one)}]}
    for _ in range(2):
        entries.add_samples(warehouse, json.loads(json.dumps(record)))
    ((_, role, found),) = history.series(warehouse, 1)
    assert role == "init"
    assert len(found.hours) == 1
    assert found.used_bytes[0] == one.used_bytes
    assert found.limit_bytes == 7
    assert len(found.looks) == 0


def test_tasks_are_the_load_of_their_worker() -> None:
    assert history.tasks_per_hour([1000.0, 1060.0, 1180.0], [990.0, 1001.0, 1002.0, 1100.0, 5000.0]) == [60, 120, 30]


def test_what_is_old_is_forgotten(warehouse: psycopg.Connection) -> None:
    process = Incarnation("here", 11, 5)
    past(warehouse, process, leaks)
    audit.judge_all(warehouse, 48)
    entries.add_evidence(warehouse, process, {"holders": []})
    history.forget(warehouse, days=2)
    counts = "SELECT (SELECT count(*) FROM millrace.memory_sample), (SELECT count(*) FROM millrace.memory_evidence)"
    assert warehouse.execute(counts).fetchone() == (180, 1)
    assert not any(history.forget(warehouse, days=0).values()), "for ever"
    warehouse.execute("UPDATE millrace.memory_sample SET taken_at = taken_at - interval '3 days'")
    warehouse.execute("UPDATE millrace.memory_evidence SET taken_at = taken_at - interval '3 days'")
    gone = history.forget(warehouse, days=2)
    assert (gone["samples"], gone["evidence"]) == (180, 1)
    assert warehouse.execute(counts).fetchone() == (0, 0)


@pytest.fixture
def program_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Starts a program whose agent looks into this test's folder."""
    monkeypatch.setenv("MILLRACE_MEMORY_FOLDER", str(tmp_path / "agent"))
    return lambda body: running(body, tmp_path)


def test_a_growing_cache_with_a_bound_is_not_flagged(
    warehouse: psycopg.Connection, program_of: Callable[[str], Any]
) -> None:
    program: Program
    with program_of(INNOCENT["bounded_cache"]) as program:
        past(warehouse, program.incarnation, leaks)
        audit.judge_all(warehouse, 48)
        entries.add_evidence(warehouse, program.incarnation, probe.profile(program.incarnation, seconds=1.0))
        audit.judge_all(warehouse, 48)
    assert history.flag(warehouse, "one") == []
    (why,) = warehouse.execute("SELECT why FROM millrace.memory_finding").fetchone() or ("",)
    assert "lru_cache of price holds the growth" in why


def test_the_form_chooses_processes(warehouse: psycopg.Connection) -> None:
    for pid in (11, 12):
        past(warehouse, Incarnation("here", pid, 5), leaks)
    chosen = audit.judge_all(warehouse, 48, only="^worker 12 here$", forced=True)
    assert chosen == [{"host": "here", "pid": 12, "start_ticks": 5}]
    assert history.verdicts(warehouse) == {"leaking": 1}
    with pytest.raises(MemoryAuditError, match="is not a valid regular expression: missing"):
        audit.judge_all(warehouse, 48, only="(")


def test_the_limit_of_the_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CHOSEN, raising=False)
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text("0::/a/b\n")
    (tmp_path / "a" / "b").mkdir(parents=True)

    def limit(pid: int = 7) -> int | None:
        return limit_of(pid, 1_000_000, root=tmp_path, proc=tmp_path)

    assert limit() is None
    (tmp_path / "a" / "memory.max").write_text("8000000\n")
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    assert limit() == 8_000_000
    (tmp_path / "a" / "memory.stat").write_text("anon 3000000\nfile 99\n")
    assert limit() == 6_000_000, "its neighbours use two of the eight"
    assert limit(8) is None
    monkeypatch.setenv(CHOSEN, "5")
    assert limit() == 5_000_000


def test_a_process_that_forks_is_judged_by_anonymous_memory() -> None:
    one = replace(sample(1), swap_bytes=0)
    mb = 1_000_000
    alone = [
        replace(one, taken_at=one.taken_at + i, anonymous_bytes=90 * mb, unique_bytes=(80 + i) * mb) for i in range(3)
    ]
    assert series_of(alone).used_bytes.tolist() == [80 * mb, 81 * mb, 82 * mb]
    forks = [*alone, replace(alone[0], taken_at=one.taken_at + 9, unique_bytes=9 * mb)]
    assert series_of(forks).used_bytes.tolist() == [90 * mb] * 4


def test_a_native_leak_is_not_blamed_on_a_line_of_python() -> None:
    evidence = {
        "holders": [{"chain": ["module a", ".B list"]}], "traced": {"lines": [{"frames": ["a.py:1"], "bytes": 1000}]}
    }  # fmt: skip
    found = {"role": "worker", "pid": 1, "host": "here", "rate": 6.0, "hours_left": 2.0, "why": "It grows."}
    assert "Held by module a > .B list. Allocated at a.py:1: 1 kB" in audit.sentence(
        {**found, "kind": "Python objects", "evidence": evidence}
    )
    native = audit.sentence({**found, "kind": "native memory", "evidence": evidence})
    assert native == "worker 1 on here leaks 6.0 MB/h (native memory), 2.0 hours until its limit. It grows."
