"""Whole DAG runs of `ingest_orders`, from the call that triggers them to their end, and where their time went.

Airflow's share of a run is its wall time less the longest path through the work itself: plan, the busiest lane of the
loads, merge, by the seconds that the ledger keeps of each. The loads run side by side in as many lanes as the dataset
says (`parallel`); a chunk belongs to the lane that was free first when it began. All the rest is Airflow's: scheduling,
starting processes, imports, passing values, closing the run; and `account`, so the share is rather too large.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row

from bench.airflow import Airflow, Json, seconds_of
from bench.files import File
from bench.measure import Cost, Sampler, Trace
from bench.place import WAREHOUSE, WARM_ROWS, Place
from stack.errors import StackError

DAG = "ingest_orders"


class Load(NamedTuple):
    """The work of one mapped task, as it tells it itself."""

    end: float
    seconds: float


@dataclass(frozen=True)
class DagRun:
    """A finished run. `seconds` from the trigger call to the run's end."""

    seconds: float
    account: dict[str, Any]
    tasks: list[Json]
    loads: tuple[Load, ...]
    lanes: int
    trace: Trace = field(repr=False, default=Trace())

    @property
    def parts(self) -> tuple[float, float, float]:
        """Seconds of plan, of the busiest lane of the loads, and of merge: the longest path through the work itself."""
        plan, merge = (float(self.account[name] or 0) for name in ("plan_seconds", "merge_seconds"))
        return plan, max(lanes_of(self.loads, self.lanes), default=0.0), merge

    @property
    def airflow_seconds(self) -> float:
        """Airflow's share of the run."""
        return self.seconds - sum(self.parts)

    @property
    def cost(self) -> Cost:
        """What all its tasks cost."""
        return self.trace.cost(self.seconds, "tasks")


def lanes_of(loads: Sequence[Load], lanes: int) -> list[float]:
    """Seconds of work in each lane."""
    free, work = [0.0] * lanes, [0.0] * lanes
    for load in sorted(loads, key=lambda load: load.end - load.seconds):
        lane = free.index(min(free))
        free[lane] = load.end
        work[lane] += load.seconds
    return work


class Ingests:
    """Triggers runs on the benchmark's stack, waits for them and checks what they did."""

    def __init__(self, place: Place) -> None:
        self.place, self.airflow = place, Airflow(place.settings)
        self._last = datetime.now(UTC).replace(microsecond=0)

    def warm_up(self) -> None:
        """Unpause the DAG and let its scheduled run, of a small file, pass; a stack just started runs it once more."""
        self.airflow.await_dag(DAG, paused=False)
        self.airflow.await_idle(DAG, once=True)
        if not self.place.was_up:
            path = self.place.warm_file
            self.run(File(path, path.stat().st_size, WARM_ROWS, 0), force=True)

    def run(
        self, file: File, source: Path | str | None = None, *, force: bool = False,
        expected: dict[str, int] | None = None,
    ) -> DagRun:  # fmt: skip
        """One run of that file, or of a source with the same rows.

        Raises StackError when it fails, is not done in time, or did not do its work: it is no measurement then.
        """
        self.airflow.await_idle(DAG, once=True)
        file.warm()
        server, rest, metadata = (self.place.backends(database) for database in (WAREHOUSE, "", "airflow"))
        groups = {"tasks": self.place.tasks(), "airflow": self.place.airflow(), "server": server, "server rest": rest,
                  "metadata": metadata}  # fmt: skip
        self._last = max(self._last + timedelta(seconds=1), datetime.now(UTC).replace(microsecond=0))
        begin, end = self._last.isoformat(), (self._last + timedelta(seconds=1)).isoformat()
        body = {"logical_date": begin, "data_interval_start": begin, "data_interval_end": end,
                "conf": {"path": str(source or file.path), "force": force}}  # fmt: skip
        with Sampler(groups, ["tasks"], self.place.wal) as sampler:
            began = time.time()
            run = self.airflow.trigger(DAG, body)
            ended = self.airflow.await_end(DAG, run, 600 + file.megabytes, fails=True)
        account, loads = self._ledger(run)
        if ended["state"] != "success":
            raise StackError(
                f"the run of {file.path.name} failed: {account.get('reason')}; see {self.place.settings.logs}"
            )
        tasks = self.airflow.tasks(DAG, run)
        if any(task["state"] in ("failed", "upstream_failed") or task["try_number"] > 1 for task in tasks):
            raise StackError(f"the run of {file.path.name} is no measurement, as tasks failed in it")
        wanted = {**(expected or {}), "read": file.rows, "rejected": file.bad}
        wrong = {name: (account[name], value) for name, value in wanted.items() if account[name] != value}
        if wrong or self.place.count(WAREHOUSE) < sum(account[name] for name in ("inserted", "updated", "unchanged")):
            raise StackError(f"{file.path.name}: the account is wrong (found, expected: {wrong}), or rows are missing")
        seconds, lanes = seconds_of(ended["end_date"]) - began, self.place.dataset.parallel
        return DagRun(seconds, account, tasks, loads, lanes, sampler.trace)

    def _ledger(self, run: str) -> tuple[dict[str, Any], tuple[Load, ...]]:
        with psycopg.connect(self.place.dsn(WAREHOUSE), row_factory=dict_row) as connection:
            account = connection.execute(
                "SELECT run_id, status, reason, chunks, read, inserted, updated, unchanged, superseded, rejected,"
                " plan_seconds, merge_seconds FROM millrace.ingest_run WHERE airflow_run = %s", [f"{DAG}/{run}"],
            ).fetchone()  # fmt: skip
            if account is None:
                return {}, ()
            chunks = connection.execute(
                "SELECT extract(epoch FROM loaded_at)::float AS end, seconds FROM millrace.ingest_chunk"
                " WHERE run_id = %s",
                [account["run_id"]],
            ).fetchall()
        return {**account, "run_id": str(account["run_id"])}, tuple(Load(**chunk) for chunk in chunks)
