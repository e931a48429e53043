"""Whether a table is as fresh as its dataset's `fresh_by` says: a deadline of Airflow on each scheduled run.

Airflow's scheduler looks; where a run is not done by then, the triggerer calls `say_late`. A run that failed before
stays late, too.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference  # type: ignore[attr-defined]  # loaded late

from include.ingest.dataset import interval, places
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset_file import load_dataset

LONG_AGO = timedelta(days=2)  # what Airflow catches up on is late for a day that nobody waits for any more


def deadline(dataset: Dataset) -> DeadlineAlert | None:
    """The deadline of each run, counted from its logical date; None where the dataset has none."""
    if dataset.fresh_by is None or dataset.schedule is None:
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        interval=interval.fresh_after(dataset.schedule, dataset.fresh_by),
        callback=AsyncCallback(say_late, {"dataset": dataset.name}),
        name="fresh_by",
    )


async def say_late(dataset: str, context: dict[str, Any]) -> str:
    """Tell whoever the dataset's `notify` names. Runs in the triggerer; what blocks does so in a thread."""
    return await asyncio.to_thread(_say, dataset, context)


def _say(name: str, context: dict[str, Any]) -> str:
    from include.bridge import notify

    dataset, dag_run = load_dataset(places.find(name)), context["dag_run"]
    due = context["deadline"]["deadline_time"]
    if dag_run["run_type"] != "scheduled" or _instant(dag_run["queued_at"]) - _instant(due) > LONG_AGO:
        return "nobody waits for this run"
    text = f"the file of {dag_run['logical_date']} is not in {dataset.target} by {due} (fresh_by)"
    notify.late(dataset, context, text)
    return text


def _instant(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
