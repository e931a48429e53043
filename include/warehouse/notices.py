"""Who was told what, so that retries, parallel tasks and a task that dies tell nobody twice. Takes a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection

from include.warehouse.batches import days_ago, delete


@contextmanager
def once(connection: Connection[Any], subject: str, destination: str, event: str, run: str) -> Iterator[bool]:
    """Whether it is still to be told; what the caller then raises leaves it to be told by the next try."""
    # The row of the first keeps a second one waiting until that has told, or failed to: told by one of them, and not by
    # both. One that dies after it has told and before the commit tells again: rather twice than never.
    with connection.transaction():
        yield bool(
            connection.execute(
                "INSERT INTO millrace.notice (subject, destination, event, run) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                [subject, destination, event, run],
            ).rowcount
        )


@contextmanager
def recovering(connection: Connection[Any], subject: str, destination: str) -> Iterator[list[str]]:
    """The failed and late runs of which the destination was told, and which are no more of interest."""
    # As above: two runs that succeed at once tell of one recovery.
    with connection.transaction():
        found = connection.execute(
            "DELETE FROM millrace.notice WHERE subject = %s AND destination = %s AND event IN ('failure', 'late')"
            " RETURNING run",
            [subject, destination],
        ).fetchall()
        yield sorted({run for (run,) in found})


def forget(connection: Connection[Any], days: int) -> int:
    """Delete what was told so many days ago; 0 days keep for ever."""
    return delete(connection, "millrace.notice", "t.told_at < %(before)s", {"before": days_ago(days)}) if days else 0
