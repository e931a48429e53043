"""Why a run failed, or what it found, as its note, which Airflow's pages show. Runs in the scheduler.

The task has put it into an XCom (see `reasons.py`), as it has no other way to Airflow's database. Nothing else is asked
here, above all not the warehouse: the scheduler would wait for it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from airflow.models.xcom import XComModel
from sqlalchemy.orm import object_session

from include.bridge.reasons import KEY, TOLD

MARK, FOUND = "**Failed.** ", "**Found.** "  # how a note of ours begins: a person's own is left alone
TELLS = ("ingest_file",)  # the DAGs of which a run tells something when it goes well
MOST_LETTERS = 1_000  # Airflow's column takes no more
MOST_TASKS = 100  # of a run, that get a note: a thousand chunks may fail for one reason


def write(dag_run: Any) -> None:
    """Note the reasons of a run that has failed. The last task that has one speaks for the run."""
    session = object_session(dag_run)
    if session is None:
        return
    asked = XComModel.get_many(run_id=dag_run.run_id, key=KEY, dag_ids=dag_run.dag_id, limit=MOST_TASKS)
    reasons = {(found.task_id, found.map_index): _cut(MARK + _text(found)) for found in session.scalars(asked)}
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


def tell(dag_run: Any) -> None:
    """Note what a run that went well has told, its tasks in the order of their ends."""
    session = object_session(dag_run)
    if session is None or dag_run.dag_id not in TELLS or not _ours(dag_run.note):
        return
    asked = XComModel.get_many(run_id=dag_run.run_id, key=TOLD, dag_ids=dag_run.dag_id, limit=MOST_TASKS)
    told = sorted(session.scalars(asked), key=lambda found: found.timestamp)
    if told:
        dag_run.note = _cut(FOUND + "\n\n".join(_text(found) for found in told))


def remove(dag_run: Any) -> None:
    """Take away what was noted of a run that failed before and has succeeded now, and of its tasks."""
    session = object_session(dag_run)
    if session is None or not str(dag_run.note or "").startswith(MARK):
        return
    dag_run.note = ""
    for task in dag_run.get_task_instances(session=session):
        if str(task.note or "").startswith(MARK):
            task.note = ""


def _text(found: Any) -> str:
    """The text that an XCom holds, as JSON or plain; empty for anything else.

    Not by Airflow's decoder: that makes objects of whatever class a task has named, and this is the scheduler.
    """
    value = found.value
    with suppress(ValueError, TypeError, RecursionError):
        value = json.loads(value)
    return value if isinstance(value, str) else ""


def _ours(note: str | None) -> bool:
    return not note or note.startswith((MARK, FOUND))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 20] + "… (see the log)"
