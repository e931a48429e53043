"""When a young process can have its verdict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

AUDIT_MINUTES = 10  # between two runs of the audit, as the DAG is scheduled
WARM_UP_MINUTES = 60  # nothing younger is judged, unless it grows very fast; as the judge has it
YOUNG = (None, "not enough data", "warming up")


def due_at(verdict: str | None, started_at: datetime, ended: bool) -> datetime | None:
    """The first run of the audit after the warm-up; None for a process that has its verdict, or has ended."""
    if ended or verdict not in YOUNG:
        return None
    grown = started_at.astimezone(UTC) + timedelta(minutes=WARM_UP_MINUTES)
    hour = grown.replace(minute=0, second=0, microsecond=0)
    runs = -(-(grown - hour).total_seconds() // (60 * AUDIT_MINUTES))
    return hour + runs * timedelta(minutes=AUDIT_MINUTES)
