"""Data intervals of a dataset's schedule, as Airflow's `CronDataIntervalTimetable` in UTC has them.

A run's version is the start of the interval that holds its logical date. So a run by hand at any time of a day, that
day's scheduled run and a backfill of it have one version and one file. A schedule of null has no intervals: each
instant is its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from croniter import croniter

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}


@dataclass(frozen=True)
class Interval:
    """A data interval in UTC: it holds its start, and not its end."""

    start: datetime
    end: datetime


def holding(schedule: str | None, instant: datetime) -> Interval:
    """The interval in which `instant` (with a zone) lies: that of the scheduled run, for its logical date."""
    instant = instant.astimezone(UTC)
    if schedule is None:
        return Interval(instant, instant)
    start = _aligned(schedule, instant)
    return Interval(start, _next(schedule, start))


def last_complete(schedule: str | None, now: datetime) -> Interval:
    """The newest interval that has ended by `now` (with a zone): that of the scheduler's latest run."""
    now = now.astimezone(UTC)
    if schedule is None:
        return Interval(now, now)
    end = _aligned(schedule, now)
    return Interval(_previous(schedule, end), end)


def is_daily(schedule: str | None) -> bool:
    """Whether each interval of the schedule is 24 hours: one minute and hour, of any day."""
    fields = PRESETS.get(schedule or "", schedule or "").split()
    return len(fields) == 5 and all(field.isdigit() for field in fields[:2]) and fields[2:] == ["*", "*", "*"]


def fresh_after(schedule: str, fresh_by: str) -> timedelta:
    """From the start of a daily interval to the first such time of day that is not before its end."""
    begin = holding(schedule, datetime(2026, 1, 1, tzinfo=UTC))
    hour, minute = map(int, fresh_by.split(":"))
    due = begin.end.replace(hour=hour, minute=minute)
    return (due if due >= begin.end else due + timedelta(days=1)) - begin.start


def check(schedule: str) -> None:
    """Raise ValueError unless the text is a cron expression and names an instant, which `0 0 30 2 *` does not."""
    from croniter import CroniterBadDateError

    try:
        holding(schedule, datetime(2026, 1, 1, tzinfo=UTC))
    except CroniterBadDateError:
        raise ValueError(f"{schedule} names no date that there is") from None


def _aligned(schedule: str, instant: datetime) -> datetime:
    """The boundary at or before the instant."""
    before = _previous(schedule, instant)
    return instant if _next(schedule, before) == instant else before


def _next(schedule: str, instant: datetime) -> datetime:
    found: datetime = _at(schedule, instant).get_next(datetime)
    return found.replace(tzinfo=UTC)


def _previous(schedule: str, instant: datetime) -> datetime:
    found: datetime = _at(schedule, instant).get_prev(datetime)
    return found.replace(tzinfo=UTC)


def _at(schedule: str, instant: datetime) -> croniter:
    from croniter import croniter  # here, as only runs need it

    return croniter(PRESETS.get(schedule, schedule), start_time=instant.replace(tzinfo=None))
