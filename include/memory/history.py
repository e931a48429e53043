"""What is kept in the warehouse: samples, the last verdict on each process, and evidence. Takes an open connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, LiteralString

import numpy as np
from psycopg import Connection
from psycopg.rows import dict_row

from include.memory.shipping.entries import key_of
from include.memory.shipping.orders import WANTED_MINUTES
from include.memory.verdict.assemble import series_of
from include.memory.verdict.series import Judgement, Series
from include.memory.watcher.sample import ENDED_MINUTES, Incarnation, Sample
from include.warehouse.batches import days_ago, delete

FAST_MOTION = "fast motion"  # stands as `flagged_by` where no run of the audit flagged: what a demo kept
_ONE = "host = %s AND pid = %s AND start_ticks = %s"
_OLD: tuple[tuple[str, LiteralString, LiteralString], ...] = (
    ("samples", "millrace.memory_sample", "t.taken_at < %(before)s"),
    ("evidence", "millrace.memory_evidence", "t.taken_at < %(before)s"),
    ("findings", "millrace.memory_finding", "t.judged_at < %(before)s"),
    ("ended", "millrace.memory_ended", "t.ended_at < %(before)s"),
    ("orders", "millrace.memory_order", "t.ordered_at < %(before)s"),
    ("tasks", "millrace.memory_task", "t.ended_at < %(before)s"),
)


def series(connection: Connection[Any], hours: float) -> Iterator[tuple[Incarnation, str, Series]]:
    """Each process that lives, or did minutes ago, its role, and what is known of it, so many hours back.

    What was killed for its memory just now is the leak that matters most. What was kept in fast motion is left out:
    there, seconds stand for hours.

    One after the other, as the samples of two days take about 5 MB a process.
    """
    seen = connection.execute(
        "SELECT DISTINCT host, pid, start_ticks FROM millrace.memory_sample s"
        " WHERE taken_at > now() - %s * interval '1 minute' AND NOT EXISTS ("
        "  SELECT FROM millrace.memory_finding f"
        "  WHERE (f.host, f.pid, f.start_ticks) = (s.host, s.pid, s.start_ticks) AND f.flagged_by = %s)"
        " ORDER BY host, pid, start_ticks",
        [ENDED_MINUTES, FAST_MOTION],
    ).fetchall()
    for key in seen:
        process = Incarnation(*key)
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                f"SELECT * FROM millrace.memory_sample WHERE {_ONE}"
                " AND taken_at > now() - %s * interval '1 hour' ORDER BY taken_at",
                [*key, hours],
            ).fetchall()
        ended = connection.execute(
            f"SELECT extract(epoch FROM ended_at)::double precision FROM millrace.memory_task WHERE {_ONE}"
            " AND ended_at > now() - %s * interval '1 hour'",
            [*key, hours],
        ).fetchall()
        yield process, rows[-1]["role"], _series(process, rows, _evidence(connection, process), [at for (at,) in ended])


def _evidence(connection: Connection[Any], process: Incarnation) -> dict[str, Any] | None:
    row = connection.execute(
        f"SELECT evidence FROM millrace.memory_evidence WHERE {_ONE} ORDER BY taken_at DESC LIMIT 1", key_of(process)
    ).fetchone()
    return row[0] if row else None


def _series(
    process: Incarnation,
    rows: Sequence[dict[str, Any]],
    evidence: dict[str, Any] | None,
    tasks_ended: Sequence[float],
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
    load = tasks_per_hour([sample.taken_at for sample in samples], tasks_ended) if tasks_ended else None
    return series_of(samples, answers, load=load, limit_bytes=rows[-1]["limit_bytes"])


def tasks_per_hour(at: Sequence[float], ended: Sequence[float]) -> list[float]:
    """For each moment, in seconds since 1970 and ascending: the tasks that ended since the one before, an hour."""
    edges = np.array([at[0] - 60.0, *at])
    return list(np.histogram(ended, edges)[0] * 3600.0 / np.diff(edges))


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
        " flagged_at = CASE WHEN excluded.verdict = 'leaking' THEN f.flagged_at END,"
        " flagged_by = CASE WHEN excluded.verdict = 'leaking' THEN f.flagged_by END",
        [said.verdict, said.kind, said.why, *((growth.rate, growth.low, growth.high) if growth else (None,) * 3),
         said.hours_left, said.suspect, *key_of(process)],
    )  # fmt: skip


def flag(connection: Connection[Any], run_id: str) -> list[dict[str, Any]]:
    """Flag what is said to leak and is not flagged yet; each is returned once, with what holds the growth.

    The same run gets the same again, so that a task that was killed before it could say so loses no alert.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "UPDATE millrace.memory_finding f"
            " SET flagged_at = coalesce(flagged_at, clock_timestamp()), flagged_by = %s"
            " WHERE verdict = 'leaking' AND (flagged_at IS NULL OR flagged_by = %s)"
            " AND judged_at > now() - interval '1 hour'"
            " RETURNING host, pid, role, kind, why, rate, hours_left, (SELECT evidence FROM millrace.memory_evidence e"
            "  WHERE (e.host, e.pid, e.start_ticks) = (f.host, f.pid, f.start_ticks)"
            "  ORDER BY e.taken_at DESC LIMIT 1) AS evidence",
            [run_id, run_id],
        ).fetchall()


def proved(connection: Connection[Any], hours: float) -> set[Incarnation]:
    """Processes of which there is evidence, or an order for it, that is not older than that."""
    rows = connection.execute(
        "SELECT host, pid, start_ticks FROM millrace.memory_evidence WHERE taken_at > now() - %(since)s"
        " UNION SELECT host, pid, start_ticks FROM millrace.memory_order"
        " WHERE ordered_at > now() - least(%(since)s, %(wanted)s) AND done_at IS NULL",
        {"since": timedelta(hours=hours), "wanted": timedelta(minutes=WANTED_MINUTES)},
    )
    return {Incarnation(*row) for row in rows}


def verdicts(connection: Connection[Any]) -> dict[str, int]:
    """How many processes that have not ended were last said to be what."""
    rows = connection.execute(
        "SELECT verdict, count(*) FROM millrace.memory_finding f"
        " WHERE judged_at > now() - %s * interval '1 minute' AND NOT EXISTS ("
        "  SELECT FROM millrace.memory_ended e WHERE (e.host, e.pid, e.start_ticks) = (f.host, f.pid, f.start_ticks)"
        "  AND e.ended_at >= f.judged_at) GROUP BY verdict",
        [ENDED_MINUTES],
    )
    return {verdict.partition(" (")[0].replace(" ", "_"): count for verdict, count in rows}


def forget(connection: Connection[Any], days: int) -> dict[str, int]:
    """Delete what is so many days old, and return how many rows of each table; 0 days keep for ever."""
    values = {"before": days_ago(days)}
    return {name: delete(connection, table, which, values) if days else 0 for name, table, which in _OLD}
