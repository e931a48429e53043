"""Figures for Prometheus out of Airflow's metadata: tasks and runs by state, pools, signs of life.

Called in the API server, which may read the metadata; tasks may not.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow._shared.timezones import timezone
from airflow.jobs.dag_processor_job_runner import DagProcessorJobRunner
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.jobs.triggerer_job_runner import TriggererJobRunner
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, State, TaskInstanceState
from prometheus_client.core import Metric
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from include.warehouse.figures import families

TASKS = {"task_instances": "Task instances that have not ended, and those that failed"}
RUNS = {"dag_runs": "DAG runs that have not ended, and those of the last 24 hours that failed"}
SLOTS = {"pool_slots": "Slots of a pool"}
BEATS = {"heartbeat_age_seconds": "Time since the last heartbeat of a component"}
QUEUED = {"oldest_queued_seconds": "How long the task has waited that waits longest for a worker; 0 where none does"}
COMPONENTS: dict[str, Any] = {
    "scheduler": SchedulerJobRunner,
    "dag-processor": DagProcessorJobRunner,
    "triggerer": TriggererJobRunner,
}
OPEN_STATES = [*(state for state in State.unfinished if state), TaskInstanceState.FAILED]


def read() -> list[Metric]:
    """All of them, as of now, named `airflow_…`."""
    with create_session() as session:
        return [
            *families("airflow", TASKS, _tasks(session)),
            *families("airflow", RUNS, _runs(session)),
            *families("airflow", SLOTS, [*_slots(session)]),
            *families("airflow", BEATS, [*_beats(session)]),
            *families("airflow", QUEUED, _queued(session)),
        ]


def _tasks(session: Session) -> list[dict[str, Any]]:
    """By state and queue; a state of which there is none stands at 0, so that it has a line."""
    counted = (
        select(TaskInstance.state, TaskInstance.queue, func.count())
        .where(TaskInstance.state.in_(OPEN_STATES))
        .group_by(TaskInstance.state, TaskInstance.queue)
    )
    found = {(str(state), queue): count for state, queue, count in session.execute(counted)}
    queues = {queue for _, queue in found} or {"default"}
    every = {(state.value, queue): 0 for state in OPEN_STATES for queue in queues}
    return [{"state": s, "queue": q, "task_instances": n} for (s, q), n in {**every, **found}.items()]


def _queued(session: Session) -> list[dict[str, Any]]:
    """By queue. A task is queued once its pool has a slot for it: from then on only a worker is missing."""
    asked = (
        select(TaskInstance.queue, func.min(TaskInstance.queued_dttm))
        .where(TaskInstance.state == TaskInstanceState.QUEUED)
        .group_by(TaskInstance.queue)
    )
    now = timezone.utcnow()
    found = {queue: max((now - since).total_seconds(), 0.0) for queue, since in session.execute(asked) if since}
    return [{"queue": queue, "oldest_queued_seconds": age} for queue, age in {"default": 0.0, **found}.items()]


def _runs(session: Session) -> list[dict[str, Any]]:
    since = timezone.utcnow() - timedelta(days=1)
    counted = (
        select(DagRun.dag_id, DagRun.state, func.count())
        .where(
            DagRun.state.in_([DagRunState.RUNNING, DagRunState.QUEUED])
            | ((DagRun.state == DagRunState.FAILED) & (DagRun.run_after > since))
        )
        .group_by(DagRun.dag_id, DagRun.state)
    )
    return [{"dag_id": dag, "state": str(state), "dag_runs": count} for dag, state, count in session.execute(counted)]


def _slots(session: Session) -> Iterator[dict[str, Any]]:
    for pool, slots in Pool.slots_stats(session=session).items():
        for state, count in slots.items():
            yield {"pool": pool, "state": state, "pool_slots": count}


def _beats(session: Session) -> Iterator[dict[str, Any]]:
    for component, runner in COMPONENTS.items():
        job = runner.most_recent_job(session=session)
        if job and job.latest_heartbeat:
            age = (timezone.utcnow() - job.latest_heartbeat).total_seconds()
            yield {"component": component, "heartbeat_age_seconds": max(age, 0.0)}
