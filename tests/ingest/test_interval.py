"""Data intervals of a schedule: Airflow's own timetable says what is right."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pendulum
import pytest
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

from include.ingest.dataset import interval
from include.ingest.dataset.interval import Interval

SCHEDULES = [
    *interval.PRESETS, "*/5 * * * *", "30 2 * * *", "0 */7 * * *", "15,45 8-18 * * 1-5", "0 0 29 2 *", "59 23 31 * *",
    "0 12 * * sun", "0 6 1,15 * 3", "7 */2 */3 */4 *", "0 0 * * 5#2", "0 0 l * *", "1-59/7 5 * 2-11/3 *",
    "0 0 * jan,jul *", "0 22 * * 1-5 30",
]  # fmt: skip
NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


def instants(schedule: str) -> list[datetime]:
    """Moments anywhere, and on, just before and just after boundaries of the schedule."""
    chance = random.Random(schedule)
    found = [datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
    timetable = CronDataIntervalTimetable(schedule, timezone="UTC")
    for _ in range(8):
        anywhere = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(chance.uniform(0, 365 * 40))
        edge = timetable._get_next(pendulum.instance(anywhere))
        found += [anywhere, anywhere.replace(microsecond=0), edge, edge - timedelta(microseconds=1)]
        found += [edge + timedelta(microseconds=1), edge - timedelta(seconds=1), edge + timedelta(seconds=1)]
    return found


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_intervals_are_those_of_airflows_timetable(schedule: str) -> None:
    timetable = CronDataIntervalTimetable(schedule, timezone="UTC")
    for instant in instants(schedule):
        moment = pendulum.instance(instant)
        start = timetable._align_to_prev(moment)
        found = interval.holding(schedule, instant)
        assert (found.start, found.end) == (start, timetable._get_next(start)), instant
        assert found.start <= instant < found.end
        last = timetable.infer_manual_data_interval(run_after=moment)
        assert interval.last_complete(schedule, instant) == Interval(last.start, last.end), instant


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_scheduled_run_keeps_its_logical_date_as_its_version(schedule: str) -> None:
    timetable = CronDataIntervalTimetable(schedule, timezone="UTC")
    restriction = TimeRestriction(earliest=pendulum.datetime(2023, 2, 27, 1, 2, 3), latest=None, catchup=True)
    last = None
    for _ in range(12):
        run = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        assert run is not None
        last = run.data_interval
        assert last is not None
        assert run.logical_date is not None
        scheduled = Interval(last.start, last.end)
        assert interval.holding(schedule, run.logical_date) == scheduled
        assert interval.last_complete(schedule, run.run_after) == scheduled, "what the scheduler starts at that moment"
        assert interval.holding(schedule, last.end - timedelta(seconds=1)) == scheduled


def test_a_zone_is_no_matter_and_without_a_schedule_an_instant_is_its_own_interval() -> None:
    there = NOON.astimezone(pendulum.timezone("Asia/Kathmandu"))
    assert interval.holding("@daily", there) == interval.holding("@daily", NOON)
    assert interval.holding("@daily", there).start == datetime(2026, 3, 5, tzinfo=UTC)
    assert interval.holding(None, there) == interval.last_complete(None, NOON) == Interval(NOON, NOON)
