"""The file that a dataset's schedule asks for next, and whether a run has asked for the last one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from include.ingest.dataset import interval
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset.interval import Interval
from include.ingest.dataset.rendering import rendered
from include.ingest.errors import SourceUnnamed

GRACE = timedelta(minutes=15)  # until Airflow has begun a run that is due


@dataclass(frozen=True)
class Expected:
    """The next interval: its run starts when it ends. `file` is None where only Airflow can tell the name."""

    file: str | None
    version: datetime
    due: datetime


def expected(dataset: Dataset, now: datetime) -> Expected | None:
    """What comes next; None without a schedule, or after the last date."""
    if dataset.schedule is None:
        return None
    found = interval.holding(dataset.schedule, now)
    if _is_over(dataset, found):
        return None
    return Expected(_rendered(dataset, found), found.start, found.end)


def missed(dataset: Dataset, newest: datetime | None, now: datetime) -> Interval | None:
    """The last complete interval, where its run should have begun and has not; `newest` is the newest run's version."""
    if dataset.schedule is None or newest is None:
        return None
    last = interval.last_complete(dataset.schedule, now)
    late = now - last.end > GRACE and newest < last.start
    return last if late and not _is_over(dataset, last) else None


def _is_over(dataset: Dataset, found: Interval) -> bool:
    return found.start.date() < dataset.start_date or (
        dataset.end_date is not None and found.start.date() > dataset.end_date
    )


def _rendered(dataset: Dataset, found: Interval) -> str | None:
    try:
        return rendered(dataset, found)
    except SourceUnnamed:
        return None
