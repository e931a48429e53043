"""Whole DAG runs of `ingest_orders`, from the call that triggers them to their end, and where their time went.

Airflow's share of a run is its wall time less the longest path through the work itself:

    plan work + the busiest lane of the loads + merge work

* The loads run side by side in as many lanes as the dataset says (`parallel`). Each chunk's seconds are the ledger's
  own (`millrace.ingest_chunk`: from the first look at the file to the last byte copied); a chunk belongs to the lane
  that was free first when it began. The busiest lane is the one with the largest sum.
* Plan and merge are timed by the ledger as well (`plan_seconds`, `merge_seconds` in `millrace.ingest_run`). What
  `account` does is counted as Airflow's, so the share is rather too large than too small.

All the rest is Airflow's: scheduling, starting processes, imports, passing values, closing the run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.rows import dict_row

from bench.measure import Sampler, Trace
from bench.place import WAREHOUSE, Place
from stack.api import AirflowApi
from stack.errors import StackError

DAG = "ingest_orders"
DAG_SECONDS = 180.0
POLL_SECONDS = 0.5
ENDED = ("success", "failed")
COUNTS = ("read", "inserted", "updated", "unchanged", "superseded", "rejected")


@dataclass(frozen=True)
class Step:
    """One try of a task, in seconds since 1970."""

    task: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.end - self.begin


@dataclass(frozen=True)
class ChunkLoad:
    """One chunk as the ledger has it."""

    end: float
    seconds: float

    @property
    def begin(self) -> float:
        """When its work began."""
        return self.end - self.seconds


@dataclass(frozen=True)
class DagRun:
    """A finished run. `seconds` from the trigger call to the run's end."""

    seconds: float
    begin: float
    end: float
    account: dict[str, Any]
    steps: tuple[Step, ...]
    chunks: tuple[ChunkLoad, ...]
    lanes: int
    trace: Trace = field(repr=False, default=Trace())

    def step(self, task: str) -> Step | None:
        """The last try of a task that is not mapped."""
        return next((step for step in reversed(self.steps) if step.task == task), None)

    @property
    def work_seconds(self) -> float:
        """The longest path through the work itself, see above."""
        loads = max(lanes_of(self.chunks, self.lanes), default=0.0)
        return float((self.account["plan_seconds"] or 0) + loads + (self.account["merge_seconds"] or 0))

    @property
    def airflow_seconds(self) -> float:
        """Airflow's share of the run."""
        return self.seconds - self.work_seconds


def lanes_of(chunks: Sequence[ChunkLoad], lanes: int) -> list[float]:
    """Seconds of work in each lane."""
    free, work = [0.0] * lanes, [0.0] * lanes
    for chunk in sorted(chunks, key=lambda chunk: chunk.begin):
        lane = free.index(min(free))
        free[lane] = chunk.end
        work[lane] += chunk.seconds
    return work


class Airflow:
    """Triggers runs by the REST API and waits for them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.api = AirflowApi(place.settings)
        self.api.login()
        self._last = datetime.now(UTC).replace(microsecond=0)

    def warm_up(self) -> None:
        """Unpause the DAG and let its scheduled run, of a small file, pass; a stack just started runs it once more.

        Imports are then in the system's cache, and Airflow's processes are past their own start.
        """
        self._await_dag()
        self.api.patch(f"dags/{DAG}", {"is_paused": False})
        self._await_quiet()
        if not self.place.was_up:
            self.run(self.place.warm_file, force=True, timeout_seconds=DAG_SECONDS)

    def run(self, file: Path | str, *, force: bool = False, timeout_seconds: float) -> DagRun:
        """One run of that file or URL. Raises StackError when it fails, or when it is not done in time."""
        self._await_quiet()
        body = self._body(file, force)
        groups = {
            "tasks": self.place.tasks(),
            "airflow": self.place.airflow(),
            "server": self.place.backends(WAREHOUSE),
            "server rest": self.place.server_rest(),
            "metadata": self.place.backends("airflow"),
        }
        with Sampler(groups, ["tasks"], self.place.wal) as sampler:
            begin = time.time()
            run_id = str(self.api.post(f"dags/{DAG}/dagRuns", body)["dag_run_id"])
            try:
                ended = self._await_end(run_id, begin + timeout_seconds)
            except BaseException:
                self._give_up(run_id)
                raise
        end = _seconds(ended["end_date"])
        account, chunks = self._ledger(run_id)
        if ended["state"] != "success":
            logs = self.place.settings.logs / "tasks"
            raise StackError(f"the run of {file} failed: {account.get('reason')}; see {logs}")
        tries = self._tries(run_id)
        if tries:
            raise StackError(f"the run of {file} is no measurement, as tasks failed in it: {', '.join(tries)}")
        return DagRun(end - begin, begin, end, account, self._steps(run_id), chunks, self.place.dataset.parallel,
                      sampler.trace)  # fmt: skip

    def _body(self, file: Path | str, force: bool) -> dict[str, Any]:
        self._last = max(self._last + timedelta(seconds=1), datetime.now(UTC).replace(microsecond=0))
        begin, end = self._last.isoformat(), (self._last + timedelta(seconds=1)).isoformat()
        conf = {"path": str(file), "force": force}
        return {"logical_date": begin, "data_interval_start": begin, "data_interval_end": end, "conf": conf}

    def _await_dag(self) -> None:
        deadline = time.monotonic() + DAG_SECONDS
        while time.monotonic() < deadline:
            found = self.api.get(f"dags/{DAG}")
            if found and not found.get("is_stale"):
                return
            time.sleep(1)
        errors = self.api.get("importErrors", limit=1)["import_errors"]
        reason = errors[0]["stack_trace"].strip().splitlines()[-1] if errors else "no import error is known"
        raise StackError(f"Airflow does not show DAG {DAG} after {DAG_SECONDS:.0f} s: {reason}")

    def _await_quiet(self) -> None:
        """Wait until no run of the DAG is under way, and one at least has been."""
        deadline = time.monotonic() + DAG_SECONDS
        while time.monotonic() < deadline:
            runs = self.api.get(f"dags/{DAG}/dagRuns", limit=20, order_by="-run_after")["dag_runs"]
            if runs and all(run["state"] in ENDED for run in runs):
                return
            time.sleep(POLL_SECONDS)
        raise StackError(f"runs of {DAG} that the benchmark did not start do not end within {DAG_SECONDS:.0f} s")

    def _await_end(self, run_id: str, deadline: float) -> dict[str, Any]:
        while time.time() < deadline:
            found: dict[str, Any] = self.api.get(f"dags/{DAG}/dagRuns/{quote(run_id, safe='')}")
            if found["state"] in ENDED:
                return found
            time.sleep(POLL_SECONDS)
        raise StackError(f"run {run_id} took too long and was given up")

    def _give_up(self, run_id: str) -> None:
        self.api.patch(f"dags/{DAG}/dagRuns/{quote(run_id, safe='')}", {"state": "failed"})

    def _instances(self, run_id: str) -> list[dict[str, Any]]:
        path = f"dags/{DAG}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        found: list[dict[str, Any]] = self.api.get(path, limit=100)["task_instances"]
        return found

    def _tries(self, run_id: str) -> list[str]:
        """Tasks that failed or had to be tried again, although the run itself may have succeeded."""
        return [
            f"{item['task_id']} ({item['state']}, try {item['try_number']})"
            for item in self._instances(run_id)
            if item["state"] in ("failed", "upstream_failed") or item["try_number"] > 1
        ]

    def _steps(self, run_id: str) -> tuple[Step, ...]:
        return tuple(
            Step(item["task_id"], _seconds(item["start_date"]), _seconds(item["end_date"]))
            for item in self._instances(run_id)
            if item["start_date"] and item["end_date"]
        )

    def _ledger(self, run_id: str) -> tuple[dict[str, Any], tuple[ChunkLoad, ...]]:
        with psycopg.connect(self.place.dsn(WAREHOUSE), row_factory=dict_row) as connection:
            account = connection.execute(
                "SELECT run_id, status, reason, chunks, read, inserted, updated, unchanged, superseded, rejected,"
                " plan_seconds, merge_seconds"
                " FROM millrace.ingest_run WHERE airflow_run = %s", [f"{DAG}/{run_id}"],
            ).fetchone()  # fmt: skip
            if account is None:
                return {}, ()
            chunks = connection.execute(
                "SELECT extract(epoch FROM loaded_at)::float AS end, seconds FROM millrace.ingest_chunk"
                " WHERE run_id = %s",
                [account["run_id"]],
            ).fetchall()
        return {**account, "run_id": str(account["run_id"])}, tuple(ChunkLoad(**chunk) for chunk in chunks)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
