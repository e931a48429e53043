"""What the watcher's child enters into the warehouse, and asks of it. Takes an open connection.

It starts every few minutes, so this imports nothing that `history.py` needs to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from include.memory.report.used import GONE
from include.memory.watcher.sample import ENDED_MINUTES, Incarnation

_COLUMNS = (
    "role", "limit_bytes", "age_seconds", "resident_bytes", "anonymous_bytes", "swap_bytes", "unique_bytes",
    "proportional_bytes", "threads", "open_files",
)  # fmt: skip


def add_samples(connection: Connection[Any], record: Mapping[str, Any]) -> None:
    """Keep a watcher's round: `samples`, each a Sample as a dict with role, limit and counters, and the `release`."""
    rows = [
        [*key_of(Incarnation(**one["incarnation"])), datetime.fromtimestamp(one["taken_at"], UTC), record["release"],
         one["counters"] and Jsonb(one["counters"]), list(one["unreadable"]), *(one[name] for name in _COLUMNS)]
        for one in record["samples"]
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO millrace.memory_sample (host, pid, start_ticks, taken_at, release, counters, unreadable,"
            f" {', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * (7 + len(_COLUMNS)))}) ON CONFLICT DO NOTHING",
            rows,
        )


def add_evidence(connection: Connection[Any], process: Incarnation, evidence: Mapping[str, Any]) -> None:
    """Keep a deep profile."""
    connection.execute(
        "INSERT INTO millrace.memory_evidence (host, pid, start_ticks, evidence) VALUES (%s, %s, %s, %s)",
        [*key_of(process), Jsonb(dict(evidence))],
    )


def note_ended(connection: Connection[Any], host: str, lives: Callable[[Incarnation], bool]) -> int:
    """Enter which processes of this host, of those that were seen of late, live no more. Returns how many.

    It is asked and not told: whoever was killed together with the watcher is found by the next one.
    """
    seen = connection.execute(
        "SELECT DISTINCT host, pid, start_ticks FROM millrace.memory_sample s WHERE host = %s"
        f" AND taken_at > now() - %s * interval '1 minute' AND NOT {GONE}",
        [host, ENDED_MINUTES],
    ).fetchall()
    gone = [process for process in (Incarnation(*row) for row in seen) if not lives(process)]
    for process in gone:
        end(connection, process)
    return len(gone)


def end(connection: Connection[Any], process: Incarnation) -> None:
    """Enter that a process has ended."""
    connection.execute(
        "INSERT INTO millrace.memory_ended (host, pid, start_ticks) VALUES (%s, %s, %s)"
        " ON CONFLICT (host, pid, start_ticks) DO UPDATE SET ended_at = clock_timestamp()",
        key_of(process),
    )


def suspects(connection: Connection[Any]) -> set[Incarnation]:
    """Processes whose next look is to be taken after a collection."""
    found = connection.execute("SELECT host, pid, start_ticks FROM millrace.memory_finding WHERE suspect").fetchall()
    return {Incarnation(*row) for row in found}


def key_of(process: Incarnation) -> tuple[str, int, int]:
    """Its columns host, pid and start_ticks."""
    return process.host, process.pid, process.start_ticks
