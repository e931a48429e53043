"""Every process that the audit knows: the last verdict on it, and how it came there in sixty points."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from include.memory.report.due import due_at
from include.memory.report.used import ANONYMOUS, GONE, SHARE, UNIQUE, forks
from include.memory.watcher.sample import ENDED_MINUTES, Incarnation

SPARK_POINTS = 60
READ = 3  # looks of each stretch that are read, so that short forks are seen
URGENT = ("leaking", "growing (watch)")

SAME = "(s.host, s.pid, s.start_ticks) = (%(host)s, %(pid)s, %(start_ticks)s)"
# A look-up in the primary key for each incarnation, and one for each point: what it costs does not grow with the looks.
ALL = """
WITH RECURSIVE known AS (
    (SELECT host, pid, start_ticks FROM millrace.memory_sample ORDER BY host, pid, start_ticks LIMIT 1)
    UNION ALL
    SELECT following.* FROM known, LATERAL (
        SELECT s.host, s.pid, s.start_ticks FROM millrace.memory_sample s
        WHERE (s.host, s.pid, s.start_ticks) > (known.host, known.pid, known.start_ticks)
        ORDER BY s.host, s.pid, s.start_ticks LIMIT 1
    ) following
)"""
ONE = """
WITH known AS (SELECT %(host)s::text AS host, %(pid)s::integer AS pid, %(start_ticks)s::bigint AS start_ticks)"""
JUDGED = """
SELECT p.*, f.judged_at, f.verdict, f.kind, f.why, f.rate, f.rate_low, f.rate_high, f.hours_left, f.flagged_at,
    f.flagged_by
FROM process p LEFT JOIN millrace.memory_finding f USING (host, pid, start_ticks)"""
SEEN = """
WHERE p.seen_at > now() - %(hours)s * interval '1 hour' AND (%(ended)s OR NOT p.ended OR f.verdict = 'leaking')"""
SPARKS = f"""
SELECT p.host, p.pid, p.start_ticks, array_agg(part.unique_bytes ORDER BY step.n) AS unique_bytes,
    array_agg(part.anonymous_bytes ORDER BY step.n) AS anonymous_bytes,
    array_agg(part.low_share) AS low_shares, array_agg(part.high_share) AS high_shares
FROM unnest(%(hosts)s::text [], %(pids)s::integer [], %(starts)s::bigint []) AS p (host, pid, start_ticks)
CROSS JOIN generate_series(1, {SPARK_POINTS}) AS step (n)
LEFT JOIN LATERAL (
    SELECT (array_agg(look.unique_bytes ORDER BY look.taken_at DESC))[1] AS unique_bytes,
        (array_agg(look.anonymous_bytes ORDER BY look.taken_at DESC))[1] AS anonymous_bytes,
        min(look.share) AS low_share, max(look.share) AS high_share
    FROM (
        SELECT s.taken_at, {UNIQUE} AS unique_bytes, {ANONYMOUS} AS anonymous_bytes, {SHARE} AS share
        FROM millrace.memory_sample s
        WHERE (s.host, s.pid, s.start_ticks) = (p.host, p.pid, p.start_ticks)
            AND s.taken_at > now() - ({SPARK_POINTS} - step.n + 1) * %(stretch)s
            AND s.taken_at <= now() - ({SPARK_POINTS} - step.n) * %(stretch)s
        ORDER BY s.taken_at DESC LIMIT {READ}
    ) look
) part ON true
GROUP BY p.host, p.pid, p.start_ticks"""


def last(of: str = "known") -> str:
    """SQL that goes on after `ALL` or `ONE`: the last look at each of these processes, as `process`."""
    return f""", process AS (
    SELECT last.* FROM {of}, LATERAL (
        SELECT s.host, s.pid, s.start_ticks, s.role, s.release, s.limit_bytes, s.taken_at AS seen_at,
            s.resident_bytes, {UNIQUE} AS unique_bytes, {ANONYMOUS} AS anonymous_bytes,
            s.taken_at - s.age_seconds * interval '1 second' AS started_at,
            s.taken_at < now() - {ENDED_MINUTES} * interval '1 minute' OR {GONE} AS ended
        FROM millrace.memory_sample s
        WHERE (s.host, s.pid, s.start_ticks) = (known.host, known.pid, known.start_ticks)
        ORDER BY s.taken_at DESC LIMIT 1
    ) last
)"""


async def processes(connection: AsyncConnection[Any], hours: float, ended: bool = False) -> list[dict[str, Any]]:
    """The processes seen in the last hours: leaks first, then what is watched, then the others by growth.

    `spark` is the last look in each of sixty stretches of that time; None where there is none. With `ended`, those
    that live no more too; one that leaked is there in any case.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(ALL + last() + JUDGED + SEEN, {"hours": hours, "ended": ended})
        found = await cursor.fetchall()
        keys = {"hosts": "host", "pids": "pid", "starts": "start_ticks"}
        values = {name: [one[column] for one in found] for name, column in keys.items()}
        await cursor.execute(SPARKS, {**values, "stretch": timedelta(hours=hours / SPARK_POINTS)})
        sparks = {_key(one): one for one in await cursor.fetchall()}
    return sorted((_shown(one, sparks[_key(one)]) for one in found), key=_urgency)


async def process(connection: AsyncConnection[Any], key: Incarnation) -> dict[str, Any] | None:
    """One process and the last verdict on it; None when nobody ever saw it."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(ONE + last() + JUDGED, asdict(key))
        return await cursor.fetchone()


def measured(one: dict[str, Any], by_anonymous: bool) -> dict[str, Any]:
    """The process with the figure that is its memory, and which that is."""
    name = "anonymous_bytes" if by_anonymous else "unique_bytes"
    rest = {key: value for key, value in one.items() if key not in ("anonymous_bytes", "unique_bytes")}
    rest["due_at"] = due_at(one["verdict"], one["started_at"], one["ended"])
    return {**rest, "used_bytes": one[name], "measure": name.removesuffix("_bytes")}


def _shown(one: dict[str, Any], spark: dict[str, Any]) -> dict[str, Any]:
    shown = measured(one, forks(spark["low_shares"], spark["high_shares"]))
    return {**shown, "spark": spark[f"{shown['measure']}_bytes"]}


def _key(one: dict[str, Any]) -> tuple[str, int, int]:
    return one["host"], one["pid"], one["start_ticks"]


def _urgency(one: dict[str, Any]) -> tuple[bool, int, float, str, int]:
    urgent = URGENT.index(one["verdict"]) if one["verdict"] in URGENT else len(URGENT)
    return one["ended"], urgent, -(one["rate"] or 0.0), one["host"], one["pid"]
