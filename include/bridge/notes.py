"""The reason of a failed run as its note and its tasks' notes, which Airflow's pages show. Runs in the scheduler.

`reasons.py` has put the reason into an XCom, as a task has no other way to Airflow's database. Nothing else is asked
here, above all not the warehouse: the scheduler would wait for it.
"""

from __future__ import annotations

from typing import Any

from airflow.models.xcom import XComModel
from sqlalchemy.orm import object_session

from include.bridge.reasons import KEY

MARK = "**Failed.** "  # how a note of ours begins: a person's own is left alone
MOST_LETTERS = 1_000  # Airflow's column takes no more
MOST_TASKS = 100  # of a run, that get a note: a thousand chunks may fail for one reason


def write(dag_run: Any) -> None:
    """Note the reasons of a run that has failed. The last task that has one speaks for the run."""
    session = object_session(dag_run)
    if session is None:
        return
    asked = XComModel.get_many(run_id=dag_run.run_id, key=KEY, dag_ids=dag_run.dag_id, limit=MOST_TASKS)
    reasons = {
        (found.task_id, found.map_index): _cut(MARK + str(XComModel.deserialize_value(found)))
        for found in session.scalars(asked)
    }
    latest = None
    for task in dag_run.get_task_instances(session=session):
        reason = reasons.get((task.task_id, task.map_index))
        if reason is None:
            continue
        if _ours(task.note):
            task.note = reason
        if latest is None or (task.end_date and latest[0] and task.end_date > latest[0]):
            latest = task.end_date, reason
    if latest is not None and _ours(dag_run.note):
        dag_run.note = latest[1]


def remove(dag_run: Any) -> None:
    """Take away what was noted of a run that failed before and has succeeded now, and of its tasks."""
    session = object_session(dag_run)
    if session is None or not str(dag_run.note or "").startswith(MARK):
        return
    dag_run.note = ""
    for task in dag_run.get_task_instances(session=session):
        if str(task.note or "").startswith(MARK):
            task.note = ""


def _ours(note: str | None) -> bool:
    return not note or note.startswith(MARK)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 20] + "… (see the log)"
