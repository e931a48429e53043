"""What the tries of tasks took, and which made their worker grow."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from include.memory.watcher.sample import Incarnation

Order = Literal["grown", "peak", "retained", "newest"]
ORDERS: dict[Order, sql.SQL] = {
    "grown": sql.SQL("t.worker_grown_bytes DESC NULLS LAST, t.retained_bytes DESC"),
    "peak": sql.SQL("t.peak_bytes DESC"),
    "retained": sql.SQL("t.retained_bytes DESC"),
    "newest": sql.SQL("t.started_at DESC"),
}
TASKS = """
WITH try AS (
    SELECT t.*, t.worker_after_bytes - t.worker_before_bytes AS worker_grown_bytes FROM millrace.memory_task t
    WHERE t.ended_at > %(since)s AND t.started_at <= %(until)s{worker}
), greedy AS (
    SELECT t.*, row_number() OVER (ORDER BY {order}) AS place, count(*) OVER () AS of_all FROM try t
    ORDER BY place LIMIT %(limit)s
)
SELECT greedy.*, worker.role FROM greedy LEFT JOIN LATERAL (
    SELECT s.role FROM millrace.memory_sample s
    WHERE (s.host, s.pid, s.start_ticks) = (greedy.host, greedy.pid, greedy.start_ticks)
    ORDER BY s.taken_at DESC LIMIT 1
) worker ON true
ORDER BY greedy.place"""
WORKER = " AND (t.host, t.pid, t.start_ticks) = (%(host)s, %(pid)s, %(start_ticks)s)"


async def tasks(
    connection: AsyncConnection[Any], since: datetime, until: datetime, *, order: Order = "grown",
    worker: Incarnation | None = None, limit: int = 50,
) -> dict[str, Any]:  # fmt: skip
    """Tries of tasks that ran then, the greediest first, and how many there were in all.

    `worker_grown_bytes` is what the worker process gained while the try ran; with several tasks at a time in one
    worker, each is given what all of them added.
    """
    query = sql.SQL(TASKS).format(worker=sql.SQL(WORKER if worker else ""), order=ORDERS[order])
    values = {"since": since, "until": until, "limit": limit, **(asdict(worker) if worker else {})}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        found = await cursor.fetchall()
    total = found[0]["of_all"] if found else 0
    shown = [{name: row[name] for name in row if name not in ("of_all", "place")} for row in found]
    return {"total": total, "tasks": shown}
