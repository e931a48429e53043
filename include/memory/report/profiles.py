"""The deep profiles of a process, and what it took when each was made."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from include.memory.report.processes import SAME
from include.memory.report.used import ANONYMOUS
from include.memory.watcher.sample import Incarnation

LISTED = 200
LIST = f"""
SELECT s.evidence_id, s.taken_at, jsonb_array_length(COALESCE(s.evidence #> '{{traced,lines}}', '[]')) AS lines,
    jsonb_array_length(COALESCE(s.evidence -> 'types', '[]')) AS types,
    jsonb_array_length(COALESCE(s.evidence -> 'holders', '[]')) AS holders
FROM millrace.memory_evidence s WHERE {SAME} ORDER BY s.taken_at DESC LIMIT {LISTED}"""
FULL = f"""
SELECT e.evidence_id, e.taken_at, e.evidence, look.anonymous_bytes FROM millrace.memory_evidence e LEFT JOIN LATERAL (
    SELECT {ANONYMOUS} AS anonymous_bytes FROM millrace.memory_sample s
    WHERE (s.host, s.pid, s.start_ticks) = (e.host, e.pid, e.start_ticks)
        AND s.taken_at <= e.taken_at + interval '1 minute'
    ORDER BY s.taken_at DESC LIMIT 1
) look ON true
WHERE (e.host, e.pid, e.start_ticks) = (%(host)s, %(pid)s, %(start_ticks)s) AND e.evidence_id = %(evidence_id)s"""

ORDERED = f"""
SELECT s.ordered_at, s.taken_at, s.done_at, s.fault FROM millrace.memory_order s
WHERE {SAME} ORDER BY s.ordered_at DESC LIMIT 1"""


async def profiles(connection: AsyncConnection[Any], key: Incarnation) -> list[dict[str, Any]]:
    """The profiles of a process, the newest first: when, and how many lines, types and holders each names."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(LIST, asdict(key))
        return await cursor.fetchall()


async def order(connection: AsyncConnection[Any], key: Incarnation) -> dict[str, Any] | None:
    """The last order for a profile: whether it was taken, when it was done, and why it brought none, if so."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(ORDERED, asdict(key))
        return await cursor.fetchone()


async def profile(connection: AsyncConnection[Any], key: Incarnation, evidence_id: int) -> dict[str, Any] | None:
    """One profile as the agent gave it, and the memory of the process at that time; None when it has no such one."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(FULL, {**asdict(key), "evidence_id": evidence_id})
        return await cursor.fetchone()
