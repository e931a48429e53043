"""Samples of real processes, their discovery by pattern, and what may not be read."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from include.memory.errors import MemoryAuditError, ProcessGone
from include.memory.watcher.processes import AIRFLOW, Found, Pattern, find, named, sample_all
from include.memory.watcher.sample import PROC, incarnation_of, sample
from tests.memory.programs import as_stranger
from tests.waiting import until


@contextmanager
def sleeper(*arguments: str, count: int = 1) -> Iterator[list[int]]:
    """Processes that wait."""
    code = "import sys; print(flush=True); sys.stdin.read()"
    started = [
        subprocess.Popen([sys.executable, "-S", "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.communicate()


def test_a_sample_agrees_with_psutil() -> None:
    with sleeper() as (pid,):
        other = psutil.Process(pid)
        for _ in range(50):  # pages are shared with any Python that starts or ends meanwhile
            taken, full, later = sample(pid), other.memory_full_info(), sample(pid)
            if replace(later, taken_at=taken.taken_at, age_seconds=taken.age_seconds) == taken:
                break
        assert taken.resident_bytes == full.rss
        assert taken.unique_bytes == full.uss
        assert taken.proportional_bytes == full.pss
        assert taken.swap_bytes == full.swap
        assert taken.threads == other.num_threads() == 1
        assert taken.open_files == other.num_fds()
        assert taken.unreadable == ()
        started = taken.taken_at - taken.age_seconds
        assert started == pytest.approx(other.create_time(), abs=1.5)


def test_memory_that_is_touched_is_unique_and_anonymous() -> None:
    before = sample(os.getpid())
    with mmap.mmap(-1, 20_000_000, flags=mmap.MAP_PRIVATE) as area:
        area.write(b"x" * 20_000_000)
        after = sample(os.getpid())
    for name in ("resident_bytes", "unique_bytes", "anonymous_bytes", "used_bytes"):
        assert getattr(after, name) - getattr(before, name) > 19_000_000
    assert after.incarnation == before.incarnation


def test_a_restart_is_another_incarnation() -> None:
    with sleeper() as (pid,):
        first = incarnation_of(pid)
    with sleeper() as (pid,):
        assert incarnation_of(pid) != first
    with pytest.raises(ProcessGone):
        sample(pid)


def test_a_name_with_brackets_and_spaces_is_read(tmp_path: Path) -> None:
    odd = tmp_path / "a) b (c"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([odd, "60"]) as process:
        until(lambda: psutil.Process(process.pid).name() == odd.name, "the program to begin")
        assert sample(process.pid).threads == 1
        process.kill()


def test_a_zombie_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "its end")
    with pytest.raises(ProcessGone):
        sample(process.pid)
    process.wait()


def test_what_may_not_be_read_is_said() -> None:
    with sleeper() as (pid,):

        def look(other: int) -> str:
            taken = sample(other)
            assert taken.unique_bytes is None
            assert taken.open_files is None
            assert taken.used_bytes == taken.anonymous_bytes + taken.swap_bytes > 0
            assert taken.resident_bytes > 0
            return str(taken.unreadable)

        assert as_stranger(look, pid) == "('smaps_rollup', 'fd')"


def test_processes_are_found_by_pattern_and_age() -> None:
    mark = f"mark-{time.time_ns()}"
    patterns = [Pattern("odd", mark), Pattern("never", mark)]
    with sleeper(mark, count=3) as pids:
        found = find(patterns, older_than_seconds=0)
        assert [(one.role, one.incarnation.pid) for one in found] == [("odd", pid) for pid in sorted(pids)]
        assert mark in found[0].command
        assert find(patterns, older_than_seconds=60) == []
        stale = Found("odd", replace(found[0].incarnation, start_ticks=1), mark)
        looked = sample_all([stale, *found])
        assert [one for one, _ in looked.samples] == found
        assert len(looked.unread) == 1
        assert "another process has its id" in looked.unread[0]
    assert len(sample_all(found).unread) == 3


CELERY_PARENT = "[celeryd: celery@host:MainProcess] -active- (celery worker)"


@pytest.mark.parametrize(
    ("command", "role", "parent"),
    [
        ("/venv/bin/python -m airflow scheduler --skip-serve-logs", "scheduler", "/sbin/init"),
        ("/venv/bin/python /venv/bin/airflow dag-processor", "dag-processor", "/sbin/init"),
        ("/venv/bin/python -m airflow triggerer", "triggerer", "/sbin/init"),
        ("airflow api_server -- host:127.0.0.1 port:8080", "api-server", "/sbin/init"),
        ("airflow worker -- LocalExecutor: <idle>", "executor-worker", "/sbin/init"),
        ("airflow worker -- LocalExecutor [team]: <idle>", "executor-worker", "/sbin/init"),
        (CELERY_PARENT, "celery-parent", "/sbin/init"),
        ("[celeryd: celery@host:ForkPoolWorker-3]", "celery-child", CELERY_PARENT),
        ("airflow supervisor: 01a2132a-5180-79c8-9fab-5359fb21e5ba", "celery-child", CELERY_PARENT),
        ("python -m airflow celery worker -c 2", "celery-child", "python -m airflow celery worker -c 2"),
        ("python -m airflow celery worker -c 2", "celery-parent", "/bin/sh /entrypoint celery worker"),
        ("airflow serve-logs", "serve-logs", "/sbin/init"),
        ("airflow worker -- 0199a1b2-aaaa", None, "/sbin/init"),
        ("airflow supervisor: orders.load", None, "/sbin/init"),
        ("/venv/bin/python -m airflow scheduler-health", None, "/sbin/init"),
    ],
)
def test_airflow_roles(command: str, role: str | None, parent: str) -> None:
    assert next((pattern.role for pattern in AIRFLOW if pattern.fits(command, lambda: parent)), None) == role


@pytest.mark.parametrize("text", ["{", "[]", '{"a": "("}', '{"a": 1}'])
def test_a_wrong_setting_says_which_and_how(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_MEMORY_PROCESSES", text)
    with pytest.raises(MemoryAuditError, match=r"^\$MILLRACE_MEMORY_PROCESSES is .* must be JSON of roles and regular"):
        named()


def test_two_hundred_processes_are_sampled_within_a_second_of_work() -> None:
    mark = f"mark-{time.time_ns()}"
    with sleeper(mark, count=200) as pids:
        began = time.process_time()  # a busy machine takes longer
        found = find([Pattern("many", mark)], older_than_seconds=0, proc=PROC)
        looked = sample_all(found)
        seconds = time.process_time() - began
    print(f"200 processes found and sampled in {seconds:.2f} CPU s; it took {looked.seconds:.2f} s sampled")
    assert {one.incarnation.pid for one, _ in looked.samples} == set(pids)
    assert seconds <= 1.0
