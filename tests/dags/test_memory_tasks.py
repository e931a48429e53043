"""What each task took, on a real Airflow: a DAG with a task of every way to take and to end."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.memory.watcher import exchange, spool
from include.memory.watcher.processes import AIRFLOW
from tests.dags.conftest import PLANTED, Airflow
from tests.waiting import appeared, until

DAG = "takes_memory"
SOURCE = PLANTED / "takes_memory.py"
WORKER = next(pattern for pattern in AIRFLOW if pattern.role == "executor-worker")


@pytest.fixture(scope="module")
def records(airflow: Airflow) -> dict[tuple[str, int, int], dict[str, Any]]:
    """What one run left, by task, map index and try."""
    shutil.copy(SOURCE, airflow.folder / "dags")
    appeared(airflow.api, DAG)
    airflow.api.patch(f"dags/{DAG}", {"is_paused": False})
    run_id = airflow.trigger(DAG)
    assert airflow.outcome(DAG, run_id) == "failed", "by its task `fail`"
    found: dict[tuple[str, int, int], dict[str, Any]] = {}
    expected = {(task["task_id"], task["map_index"], task["try_number"]) for task in airflow.tasks(DAG, run_id)}

    def complete() -> bool:
        for record in [*in_the_spool(airflow), *in_the_warehouse(airflow)]:
            key = record["task_id"], record["map_index"], record["try_number"]
            if record["run_id"] == run_id:
                pieces = [record, found.get(key, record)]  # the later one of a try may still be in the spool, alone
                last = max(pieces, key=lambda one: one["ended_at"])
                found[key] = {**last, "peak_bytes": max(one["peak_bytes"] for one in pieces)}
        return found.keys() >= expected and found["defer", -1, 1]["state"] == found["wait", -1, 1]["state"] == "success"

    until(complete, "the records of all tasks", every=0.2)
    return found


def in_the_spool(airflow: Airflow) -> list[dict[str, Any]]:
    own = airflow.settings.state / "memory"
    folder = own if own.exists() else exchange.default_folder()
    texts = []
    for file in spool.waiting(folder):
        try:
            texts += [file.read_text()] if file.suffix == ".task" else []
        except FileNotFoundError:  # the watcher has just brought it to the warehouse
            continue
    return [json.loads(text) for text in texts]


def in_the_warehouse(airflow: Airflow) -> list[dict[str, Any]]:
    with airflow.warehouse() as warehouse:
        rows = warehouse.execute(
            "SELECT to_jsonb(t) || jsonb_build_object('started_at', extract(epoch FROM started_at),"
            " 'ended_at', extract(epoch FROM ended_at)) FROM millrace.memory_task t"
        )
        return [row for (row,) in rows]


def test_every_way_to_end_is_recorded(records: dict[tuple[str, int, int], dict[str, Any]]) -> None:
    assert {key: record["state"] for key, record in records.items()} == {
        ("peak", -1, 1): "success",
        ("keep", -1, 1): "success",
        ("small", 0, 1): "success",
        ("small", 1, 1): "success",
        ("skip", -1, 1): "skipped",
        ("fail", -1, 1): "failed",
        ("again", -1, 1): "up_for_retry",
        ("again", -1, 2): "success",
        ("wait", -1, 1): "success",
        ("defer", -1, 1): "success",
    }


def test_peak_and_kept_memory_are_the_tasks_own(records: dict[tuple[str, int, int], dict[str, Any]]) -> None:
    def above(name: str, index: int = -1) -> int:
        """The peak above what the task's worker had; a worker that has brought a log to a bucket has 15 MB more."""
        record = records[name, index, 1]
        return int(record["peak_bytes"] - record["worker_before_bytes"])

    small = above("small", 0)
    assert above("peak") - small == pytest.approx(150e6, abs=15e6)
    # The worker in a record is that of the last piece; the peak is of the first one, whose worker is one of these.
    workers = {record["worker_before_bytes"] for record in records.values()}
    peaks = [records["defer", -1, 1]["peak_bytes"] - worker - small for worker in workers]
    assert pytest.approx(120e6, abs=5e6) in peaks, "of its first piece"
    assert records["keep", -1, 1]["retained_bytes"] == pytest.approx(60e6, abs=5e6)
    for name in ("peak", "small", "skip", "fail"):
        index = 0 if name == "small" else -1
        assert abs(records[name, index, 1]["retained_bytes"]) < 15e6


def test_the_worker_is_the_executors(airflow: Airflow, records: dict[tuple[str, int, int], dict[str, Any]]) -> None:
    for record in records.values():
        command = Path(f"/proc/{record['pid']}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        assert WORKER.fits(command)
        assert record["worker_before_bytes"] > 50e6, "all its memory, although the task shares it"
        assert abs(record["worker_after_bytes"] - record["worker_before_bytes"]) < 20e6
        assert record["started_at"] <= record["ended_at"] <= time.time() + 1


def test_a_watcher_that_was_killed_is_started_by_the_next_task(airflow: Airflow) -> None:
    folder = airflow.settings.state / "memory"

    def watchers() -> list[psutil.Process]:
        found = psutil.process_iter(["cmdline", "status"])
        return [one for one in found if one.info["status"] != "zombie" and str(folder) in (one.info["cmdline"] or [])]

    until(watchers, "a watcher")
    for one in watchers():
        one.kill()
    until(lambda: not watchers(), "its end")
    airflow.outcome(DAG, airflow.trigger(DAG))
    until(lambda: len(watchers()) == 1, "one watcher: of those that tasks start at once, all others end")
