"""Keeps what a look in fast motion found, as hours that end now, so that the page Memory shows it.

The programs have ended by then: nothing judges them again, and no alert goes out.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from psycopg import Connection

from include.memory import history
from include.memory.shipping import entries
from include.memory.verdict.time_lapse import Audit

TABLES = ("memory_sample", "memory_evidence", "memory_ended", "memory_finding")


def keep(connection: Connection[Any], role: str, audit: Audit, seconds: float) -> None:
    """Enter samples, verdict and profile of a program that has ended; `seconds` are those that it was watched for."""
    hours = [float(hour) for hour in audit.watched.series().hours]
    first, last = audit.watched.samples[0], audit.watched.samples[-1]
    samples = [
        {
            **asdict(replace(one, taken_at=last.taken_at - 3600 * (hours[-1] - hour), age_seconds=3600 * hour)),
            "role": role, "limit_bytes": None, "counters": answer["counters"],
        }
        for one, answer, hour in zip(audit.watched.samples, audit.watched.answers, hours, strict=True)
    ]  # fmt: skip
    stands = f"In fast motion: {seconds:.0f} seconds stand for {hours[-1] - hours[0]:.0f} hours. "
    with connection.transaction():  # at once, as an audit may run meanwhile
        entries.add_samples(connection, {"release": None, "samples": samples})
        history.note(connection, first.incarnation, replace(audit.said, why=stands + audit.said.why, suspect=False))
        connection.execute(
            "UPDATE millrace.memory_finding SET flagged_at = clock_timestamp(), flagged_by = %s"
            " WHERE (host, pid, start_ticks) = (%s, %s, %s) AND verdict = 'leaking'",
            [history.FAST_MOTION, *entries.key_of(first.incarnation)],
        )
        if audit.profile:
            entries.add_evidence(connection, first.incarnation, audit.profile)
        entries.end(connection, first.incarnation)


def forget(connection: Connection[Any], role: str) -> None:
    """Remove what was kept of a role before."""
    with connection.transaction():
        for table in TABLES:  # the verdicts, which tell the processes, last
            connection.execute(
                f"DELETE FROM millrace.{table} WHERE (host, pid, start_ticks) IN"
                " (SELECT host, pid, start_ticks FROM millrace.memory_finding WHERE role = %s)",
                [role],
            )
