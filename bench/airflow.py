"""Airflow as benchmarks use it, through its REST API: DAGs, runs that are triggered and waited for, and their tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from stack.api import AirflowApi
from stack.errors import StackError
from stack.settings import Settings

Thing = TypeVar("Thing")
Json = dict[str, Any]
DAG_SECONDS = 180.0
POLL_SECONDS = 0.5
ENDED = ("success", "failed")
PAGE = 100


class Airflow:
    """Calls with the login of `admin`. Not for several threads: each wants its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.api = AirflowApi(settings)
        self.api.login()

    def await_dag(self, dag: str, *, paused: bool) -> None:
        """Wait until Airflow shows the DAG; pause it or not. Raises StackError with the import error if it doesn't."""
        if not wait_for(lambda: not (self.api.get(f"dags/{dag}") or {"is_stale": True})["is_stale"], DAG_SECONDS, 1.0):
            errors = self.api.get("importErrors", limit=1)["import_errors"]
            reason = errors[0]["stack_trace"].strip().splitlines()[-1] if errors else "no import error is known"
            raise StackError(f"Airflow does not show DAG {dag} after {DAG_SECONDS:.0f} s: {reason}")
        self.pause(dag, paused)

    def pause(self, dag: str, paused: bool) -> None:
        """Pause the DAG, or let it run."""
        self.api.patch(f"dags/{dag}", {"is_paused": paused})

    def await_idle(self, dag: str, *, once: bool = False, seconds: float = DAG_SECONDS) -> None:
        """Wait until no run of the DAG is under way, and, with `once`, one at least has been."""

        def idle() -> bool:
            runs = self.api.get(f"dags/{dag}/dagRuns", limit=20, order_by="-run_after")["dag_runs"]
            return all(run["state"] in ENDED for run in runs) and bool(runs or not once)

        if not wait_for(idle, seconds):
            raise StackError(f"runs of {dag} that the benchmark did not start do not end within {seconds:.0f} s")

    def trigger(self, dag: str, body: Json) -> str:
        """Start a run; its id."""
        return str(self.api.post(f"dags/{dag}/dagRuns", body)["dag_run_id"])

    def await_end(self, dag: str, run: str, seconds: float, *, fails: bool = False) -> Json:
        """A run that has ended. StackError for one that takes longer, which is given up, or fails unless it `fails`."""
        path, found = _path(dag, run), None

        def ended() -> Json | None:
            shown: Json = self.api.get(path)
            return shown if shown["state"] in ENDED else None

        try:
            found = wait_for(ended, seconds)
        finally:
            if not found:
                self.api.patch(path, {"state": "failed"})
        if not found or (found["state"] == "failed" and not fails):
            words = "failed" if found else f"took longer than {seconds:.0f} s and was given up"
            raise StackError(f"run {run} of {dag} {words}, see {self.settings.logs}")
        return found

    def runs(self, dag: str, **params: Any) -> list[Json]:
        """Runs of a DAG, by Airflow's own filters."""
        return self._all(f"dags/{dag}/dagRuns", "dag_runs", **params)

    def tasks(self, dag: str, run: str) -> list[Json]:
        """Task instances of a run."""
        return self._all(f"{_path(dag, run)}/taskInstances", "task_instances")

    def returned(self, dag: str, run: str, task: str, index: int) -> Any:
        """What a mapped task returned; None when it returned nothing."""
        entry = self.api.get(f"{_path(dag, run)}/taskInstances/{task}/xcomEntries/return_value", map_index=index)
        return None if entry is None else entry["value"]

    def _all(self, path: str, what: str, **params: Any) -> list[Json]:
        found: list[Json] = []
        while len(found) % PAGE == 0:
            page = self.api.get(path, limit=PAGE, offset=len(found), **params)[what]
            if not page:
                break
            found += page
        return found


def _path(dag: str, run: str) -> str:
    return f"dags/{dag}/dagRuns/{quote(run, safe='')}"


def wait_for(look: Callable[[], Thing | None], seconds: float, pause: float = POLL_SECONDS) -> Thing | None:
    """What `look` finds, asked again until it is something; None when the time is over."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(pause)
    return found or None


def seconds_of(stamp: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(stamp).timestamp()


def span(tasks: list[Json], name: str) -> tuple[float, float] | None:
    """From the first start to the last end of the tasks of that name; None when none has run."""
    ran = [task for task in tasks if task["task_id"] == name and task["start_date"] and task["end_date"]]
    borders = [[seconds_of(task[at]) for task in ran] for at in ("start_date", "end_date")]
    return (min(borders[0]), max(borders[1])) if ran else None
