"""What of a dataset needs a person: pure functions over what the ledger and its file say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from include.ingest.report.catalogue import Entry
from include.ingest.report.expected import missed

Level = Literal["bad", "warn", "note"]
RANK: dict[str, int] = {"bad": 0, "warn": 1, "note": 2}
LONG_PLANNED = timedelta(hours=12)  # a run whose chunks load for longer is rather dead than slow
HALF = 0.5  # of the time a run waits for its file: from then on it is worth a look


@dataclass(frozen=True)
class Notice:
    """A sentence for a person. bad: nothing goes on without one; warn: it may; note: good to know."""

    level: Level
    text: str
    run_id: UUID | None = None  # the run that it is about


def notices(entry: Entry | None, row: Mapping[str, Any] | None, now: datetime) -> list[Notice]:
    """Everything about a dataset that a person should know, the worst first. `row` is that of `datasets.LAST`."""
    found = [*_of_file(entry), *(_of_runs(entry, row, now) if row else ())]
    return sorted(found, key=lambda notice: RANK[notice.level])


def _of_file(entry: Entry | None) -> Iterator[Notice]:
    if entry is None:
        yield Notice("note", "there is no dataset file any more")
    elif entry.fault:
        yield Notice("bad", f"the dataset file is wrong, so there is no DAG: {entry.fault}")


def _of_runs(entry: Entry | None, row: Mapping[str, Any], now: datetime) -> Iterator[Notice]:
    dataset = entry.dataset if entry else None
    if row["status"] == "failed":
        yield Notice("bad", f"the last run failed: {row['reason'] or 'the reason is in the log'}", row["run_id"])
    elif row["status"] == "done" and row["reason"]:
        yield Notice("warn", str(row["reason"]), row["run_id"])
    if row["failed"] > (row["status"] == "failed"):
        yield Notice("warn", _other_failures(row["failed"] - (row["status"] == "failed")))
    if row["waiting_since"] is not None and dataset is not None:
        waited = (now - row["waiting_since"]).total_seconds()
        if waited > HALF * dataset.wait_timeout_seconds:
            yield Notice("warn", f"{row['waiting_file']} has not come yet")
    if row["planned_since"] is not None and now - row["planned_since"] > LONG_PLANNED:
        yield Notice("warn", "a run loads since long: its tasks may have been stopped")
    if dataset is not None and (late := missed(dataset, row["newest"], now)) is not None:
        yield Notice("warn", f"no run for {late.start:%Y-%m-%d %H:%M} UTC yet: the DAG is paused, or Airflow is behind")


def _other_failures(number: int) -> str:
    if number == 1:
        return "another run of the last 7 days failed and was not repeated"
    return f"{number} other runs of the last 7 days failed and were not repeated"
