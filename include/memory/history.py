"""What is kept in the warehouse: samples, the last verdict on each process, and evidence. Takes an open connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from include.memory.assemble import series_of
from include.memory.sample import Incarnation, Sample
from include.memory.series import Judgement, Series

KEPT_DAYS = 30
_ONE = "host = %s AND pid = %s AND start_ticks = %s"


def add_sample(connection: Connection[Any], role: str, sample: Sample, counters: Mapping[str, Any] | None) -> None:
    """Keep a look at a process, with what its agent counted."""
    connection.execute(
        "INSERT INTO millrace.memory_sample (host, pid, start_ticks, taken_at, role, age_seconds, resident_bytes,"
        " anonymous_bytes, swap_bytes, unique_bytes, proportional_bytes, threads, open_files, unreadable, counters)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [*_key(sample.incarnation), datetime.fromtimestamp(sample.taken_at, UTC), role, sample.age_seconds,
         sample.resident_bytes, sample.anonymous_bytes, sample.swap_bytes, sample.unique_bytes,
         sample.proportional_bytes, sample.threads, sample.open_files, list(sample.unreadable),
         None if counters is None else Jsonb(dict(counters))],
    )  # fmt: skip


def series(connection: Connection[Any], hours: float, limit_bytes: float | None = None) -> dict[Incarnation, Series]:
    """What is known of each process that was seen in the last quarter of an hour, so many hours back."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT * FROM millrace.memory_sample WHERE taken_at > clock_timestamp() - %s * interval '1 hour'"
            " AND (host, pid, start_ticks) IN (SELECT host, pid, start_ticks FROM millrace.memory_sample"
            "  WHERE taken_at > clock_timestamp() - interval '15 minutes') ORDER BY taken_at",
            [hours],
        ).fetchall()
        evidence = {
            Incarnation(row["host"], row["pid"], row["start_ticks"]): row["evidence"]
            for row in cursor.execute(
                "SELECT DISTINCT ON (host, pid, start_ticks) host, pid, start_ticks, evidence"
                " FROM millrace.memory_evidence ORDER BY host, pid, start_ticks, taken_at DESC"
            )
        }
    found: dict[Incarnation, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(Incarnation(row["host"], row["pid"], row["start_ticks"]), []).append(row)
    return {process: _series(process, looks, evidence.get(process), limit_bytes) for process, looks in found.items()}


def _series(
    process: Incarnation, rows: Sequence[dict[str, Any]], evidence: dict[str, Any] | None, limit_bytes: float | None
) -> Series:
    samples = [
        Sample(
            process, row["taken_at"].timestamp(), row["age_seconds"], row["resident_bytes"], row["anonymous_bytes"],
            row["swap_bytes"], row["threads"], row["unique_bytes"], row["proportional_bytes"], row["open_files"],
            tuple(row["unreadable"]),
        )
        for row in rows
    ]  # fmt: skip
    answers: list[dict[str, Any]] = [{"counters": row["counters"]} for row in rows if row["counters"]]
    if evidence and answers:
        answers[-1]["holders"] = evidence["holders"]
    return series_of(samples, answers, limit_bytes=limit_bytes)


def note(connection: Connection[Any], process: Incarnation, said: Judgement) -> None:
    """Keep the verdict on a process in place of the last one. A leak that has ended takes its flag away."""
    growth = said.growth
    connection.execute(
        "INSERT INTO millrace.memory_finding AS f (host, pid, start_ticks, role, verdict, kind, why, rate, rate_low,"
        " rate_high, hours_left, suspect)"
        " SELECT host, pid, start_ticks, role, %s, %s, %s, %s, %s, %s, %s, %s FROM millrace.memory_sample"
        f" WHERE {_ONE} ORDER BY taken_at DESC LIMIT 1"
        " ON CONFLICT (host, pid, start_ticks) DO UPDATE SET judged_at = excluded.judged_at,"
        " verdict = excluded.verdict, kind = excluded.kind, why = excluded.why, rate = excluded.rate,"
        " rate_low = excluded.rate_low, rate_high = excluded.rate_high, hours_left = excluded.hours_left,"
        " suspect = excluded.suspect,"
        " flagged_at = CASE WHEN excluded.verdict = 'leaking' THEN f.flagged_at END",
        [said.verdict, said.kind, said.why, *((growth.rate, growth.low, growth.high) if growth else (None,) * 3),
         said.hours_left, said.suspect, *_key(process)],
    )  # fmt: skip


def flag(connection: Connection[Any]) -> list[dict[str, Any]]:
    """Flag what is said to leak and is not flagged yet; each is returned once, with what holds the growth."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "UPDATE millrace.memory_finding f SET flagged_at = clock_timestamp()"
            " WHERE verdict = 'leaking' AND flagged_at IS NULL AND judged_at > clock_timestamp() - interval '1 hour'"
            " RETURNING host, pid, role, kind, why, rate, hours_left, (SELECT evidence FROM millrace.memory_evidence e"
            "  WHERE (e.host, e.pid, e.start_ticks) = (f.host, f.pid, f.start_ticks)"
            "  ORDER BY e.taken_at DESC LIMIT 1) AS evidence"
        ).fetchall()


def add_evidence(connection: Connection[Any], process: Incarnation, evidence: Mapping[str, Any]) -> None:
    """Keep a deep profile."""
    connection.execute(
        "INSERT INTO millrace.memory_evidence (host, pid, start_ticks, evidence) VALUES (%s, %s, %s, %s)",
        [*_key(process), Jsonb(dict(evidence))],
    )


def proved(connection: Connection[Any], process: Incarnation, hours: float) -> bool:
    """Whether there is evidence about a process that is not older than that."""
    return bool(
        connection.execute(
            f"SELECT FROM millrace.memory_evidence WHERE {_ONE}"
            " AND taken_at > clock_timestamp() - %s * interval '1 hour'",
            [*_key(process), hours],
        ).fetchall()
    )


def suspects(connection: Connection[Any]) -> set[Incarnation]:
    """Processes whose next look is to be taken after a collection."""
    found = connection.execute("SELECT host, pid, start_ticks FROM millrace.memory_finding WHERE suspect").fetchall()
    return {Incarnation(*row) for row in found}


def forget(connection: Connection[Any], days: int = KEPT_DAYS) -> None:
    """Delete what is older."""
    for table, column in (
        ("memory_sample", "taken_at"),
        ("memory_evidence", "taken_at"),
        ("memory_finding", "judged_at"),
    ):
        connection.execute(
            f"DELETE FROM millrace.{table} WHERE {column} < clock_timestamp() - %s * interval '1 day'", [days]
        )


def _key(process: Incarnation) -> tuple[str, int, int]:
    return process.host, process.pid, process.start_ticks
