"""What each task took: measured in real child processes, whose worker is this one; and how pieces become a row."""

from __future__ import annotations

import json
import mmap
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from include.memory.shipping.task_rows import COLUMNS, add_task
from include.memory.tasks import task
from include.memory.tasks.task import Task
from include.memory.watcher import exchange, spool
from include.memory.watcher.exchange import SWITCH
from include.memory.watcher.sample import incarnation_of, status_of
from tests.memory.programs import as_nobody

ONE = Task("dag", "run", "one", -1, 1)
KEPT: list[mmap.mmap] = []


def touched(megabytes: int) -> bytearray:
    taken = bytearray(megabytes * 1_000_000)
    taken[::4096] = b"x" * len(taken[::4096])
    return taken


def record_of(work: Callable[[], Any], folder: Path) -> dict[str, Any]:
    """What a task, run in a child of this process, leaves in the spool."""
    child = os.fork()
    if child == 0:
        try:
            task.begin(ONE)
            work()
            task.end("success", folder)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    (file,) = spool.waiting(folder)
    assert file.suffix == ".task"
    return dict(json.loads(file.read_bytes()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


def test_the_peak_is_the_tasks_own_and_what_it_lets_go_of_is_not_kept(folder: Path) -> None:
    large = touched(300)  # this process's mark is higher than the task's will be
    del large
    began = time.time()
    record = record_of(lambda: touched(150), folder)
    assert set(record) == set(COLUMNS)
    here = status_of("self")["VmRSS"] * 1024
    assert 150e6 < record["peak_bytes"] < here + 200e6
    assert abs(record["retained_bytes"]) < 5e6
    assert began - 0.1 < record["started_at"] < record["ended_at"] < time.time() + 0.1


def mapped(megabytes: int) -> mmap.mmap:
    """New memory, where a bytearray may lie in a part of the heap that other tests have let go of."""
    taken = mmap.mmap(-1, megabytes * 1_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    taken.write(b"x" * len(taken))
    return taken


def test_what_a_task_keeps_is_told(folder: Path) -> None:
    record = record_of(lambda: KEPT.append(mapped(60)), folder)
    assert 60e6 < record["retained_bytes"] < 70e6


def test_the_worker_is_the_parent_with_all_its_memory(folder: Path) -> None:
    large = touched(120)  # shared with the child, so none of it is unique while the child lives
    record = record_of(lambda: None, folder)
    own = incarnation_of(os.getpid())
    assert (record["host"], record["pid"], record["start_ticks"]) == (own.host, own.pid, own.start_ticks)
    assert record["worker_before_bytes"] > 120e6
    assert abs(record["worker_after_bytes"] - record["worker_before_bytes"]) < 5e6
    del large


def test_a_task_that_may_not_reset_its_peak_has_the_one_since_the_fork(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as shared:
        Path(shared).chmod(0o777)
        large = touched(300)
        del large

        def work() -> str:
            task.begin(ONE)
            touched(100)
            task.end("success", Path(shared) / "memory")
            (file,) = spool.waiting(Path(shared) / "memory")
            return file.read_text()

        record = json.loads(as_nobody(work))
        assert 100e6 < record["peak_bytes"] < status_of("self")["VmRSS"] * 1024 + 150e6
        assert record["worker_before_bytes"] > 0


def test_looking_costs_a_millisecond(folder: Path) -> None:
    costs = []
    for _ in range(20):
        began = time.thread_time()
        task.begin(ONE)
        between = time.thread_time()
        task.end("success", folder)
        costs.append((between - began, time.thread_time() - between))
    assert min(start for start, _ in costs) < 0.002
    assert min(end for _, end in costs) < 0.002


def test_nothing_is_written_when_it_is_switched_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "off")
    monkeypatch.setattr(task, "incarnation_of", lambda pid: pytest.fail("nothing is read either"))
    task.begin(ONE)
    task.end("success", folder)
    assert not folder.exists()


@pytest.mark.parametrize("broken", ["incarnation_of", "status_of"])
def test_a_task_never_fails_for_what_may_not_be_read(
    broken: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(pid: int | str) -> Any:
        raise PermissionError(13, "no")

    monkeypatch.setattr(task, broken, refused)
    task.begin(ONE)
    task.end("success", folder)
    assert not spool.waiting(folder)


def test_a_task_never_fails_for_a_full_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: Path, content: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exchange, "write", full)
    task.begin(ONE)
    with caplog.at_level("INFO"):
        task.end("success", folder)
    assert "not recorded: [Errno 28]" in caplog.text


def test_an_end_without_a_begin_in_this_process_says_nothing(folder: Path) -> None:
    task.end("failed", folder)  # somebody set the state by hand, in the API server
    task.begin(ONE)
    child = os.fork()  # a task may fork, and its child may run the same hooks
    if child == 0:
        try:
            task.end("success", folder)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert not spool.waiting(folder)
    task.end("success", folder)
    task.end("success", folder)
    assert len(spool.waiting(folder)) == 1


def piece(**values: Any) -> dict[str, Any]:
    """A record of the same try, with these values."""
    same = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": 3, "try_number": 1, "host": "here"}
    return {**same, "state": "deferred", **values}


# Deferred, deferred again on another worker of the machine, and ended on another machine.
PIECES = [
    piece(pid=10, start_ticks=100, started_at=1000.0, ended_at=1010.0, peak_bytes=900, retained_bytes=7,
          worker_before_bytes=50, worker_after_bytes=None),
    piece(pid=11, start_ticks=101, started_at=1020.0, ended_at=1030.0, peak_bytes=500, retained_bytes=8,
          worker_before_bytes=51, worker_after_bytes=61),
    piece(pid=12, start_ticks=102, started_at=1040.0, ended_at=1050.0, peak_bytes=700, retained_bytes=-9,
          worker_before_bytes=52, worker_after_bytes=62, host="there", state="success"),
]  # fmt: skip


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0, 2, 1, 0]])
def test_the_pieces_of_a_try_are_one_row_in_whatever_order_they_come(
    order: list[int], warehouse: Connection[Any]
) -> None:
    for number in order:
        add_task(warehouse, PIECES[number])
    (row,) = warehouse.execute(
        "SELECT host, pid, start_ticks, state, retained_bytes, worker_before_bytes, worker_after_bytes, peak_bytes,"
        " extract(epoch FROM started_at)::float, extract(epoch FROM ended_at)::float, map_index"
        " FROM millrace.memory_task"
    ).fetchall()
    assert row == ("there", 12, 102, "success", -9, 52, 62, 900, 1000.0, 1050.0, 3)


def test_tries_are_rows_of_their_own_and_a_damaged_record_is_refused(warehouse: Connection[Any]) -> None:
    for number in (1, 2):
        add_task(warehouse, {**PIECES[0], "try_number": number})
    assert warehouse.execute("SELECT count(*) FROM millrace.memory_task").fetchone() == (2,)
    with pytest.raises(KeyError, match="peak_bytes"):
        add_task(warehouse, {key: value for key, value in PIECES[0].items() if key != "peak_bytes"})
