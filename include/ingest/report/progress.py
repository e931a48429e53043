"""How far a run is: its chunks, those that load now, how fast, and how long it will take."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import dict_row

# The plan names all chunks, the ledger those that are loaded, and the sessions those that are being loaded.
CHUNKS = """
SELECT p.number AS chunk, coalesce(c.bytes, p.length) AS bytes, p."offset" AS byte_offset, p.first_line,
    c.read, c.rejected, c.superseded, c.known, c.seconds, c.loaded_at,
    CASE WHEN c.chunk IS NOT NULL THEN c.bytes ELSE l.loaded_bytes END AS loaded_bytes, l.began_at
FROM millrace.ingest_run r
CROSS JOIN LATERAL jsonb_to_recordset(r.plan -> 'chunks')
    AS p (number int, "offset" bigint, length bigint, first_line bigint)
LEFT JOIN millrace.ingest_chunk c ON c.run_id = r.run_id AND c.chunk = p.number
LEFT JOIN millrace.loading_chunk(r.run_id) l ON l.chunk = p.number AND r.status = 'planned' AND c.chunk IS NULL
WHERE r.run_id = %(run_id)s AND p.number > %(after)s
ORDER BY p.number LIMIT %(limit)s"""
# A chunk that is loaded began so many seconds before its end.
TOTAL = """
SELECT count(*) AS loaded, coalesce(sum(bytes), 0)::bigint AS bytes, coalesce(sum(read), 0)::bigint AS read,
    coalesce(sum(rejected), 0)::bigint AS rejected, coalesce(sum(seconds), 0) AS seconds,
    min(loaded_at - seconds * interval '1 second') AS began_at, max(loaded_at) AS ended_at
FROM millrace.ingest_chunk WHERE run_id = %(run_id)s"""
NOW = """
SELECT count(*) AS loading, coalesce(sum(loaded_bytes), 0)::bigint AS bytes, min(began_at) AS began_at, now() AS at
FROM millrace.loading_chunk(%(run_id)s)"""


async def chunks(connection: AsyncConnection[Any], run_id: UUID, after: int, limit: int) -> dict[str, Any]:
    """A page of the run's chunks. `loaded_bytes` is None for one that has not begun."""
    cursor = connection.cursor(row_factory=dict_row)
    found = await (await cursor.execute(CHUNKS, {"run_id": run_id, "after": after, "limit": limit + 1})).fetchall()
    page = found[:limit]
    return {"chunks": page, "next": page[-1]["chunk"] if len(found) > limit else None}


async def progress(connection: AsyncConnection[Any], run: dict[str, Any]) -> dict[str, Any]:
    """Where the run is and where its time went."""
    cursor = connection.cursor(row_factory=dict_row)
    total = await (await cursor.execute(TOTAL, run)).fetchone() or {}
    now = await (await cursor.execute(NOW, run)).fetchone() or {}
    loading = now if run["status"] == "planned" else {"loading": 0, "bytes": 0, "began_at": None, "at": now["at"]}
    return {
        "phase": phase(run["status"], total["loaded"], run["chunks"]),
        "chunks_loaded": total["loaded"], "chunks_loading": loading["loading"], "chunks": run["chunks"],
        "bytes_loaded": total["bytes"] + loading["bytes"], "bytes": run["bytes"],
        "rows_loaded": total["read"], "rows_rejected": total["rejected"],
        "load_began_at": min(filter(None, (total["began_at"], loading["began_at"])), default=None),
        "load_ended_at": total["ended_at"], "load_seconds": total["seconds"],
        **rate(run, total, loading),
    }  # fmt: skip


def phase(status: str, loaded: int, chunks: int | None) -> str:
    """waiting, loading, merging or ended."""
    if status == "waiting":
        return "waiting"
    if status != "planned":
        return "ended"
    return "merging" if chunks and loaded >= chunks else "loading"


def rate(run: dict[str, Any], total: dict[str, Any], loading: dict[str, Any]) -> dict[str, float | None]:
    """Bytes a second over the whole load, and the seconds that the rest of it takes at that; None where unknown."""
    begins: list[datetime] = [one for one in (total["began_at"], loading["began_at"]) if one]
    done = total["bytes"] + loading["bytes"]
    until = total["ended_at"] if run["status"] != "planned" or total["loaded"] == run["chunks"] else loading["at"]
    if not begins or not done or until is None:
        return {"bytes_per_second": None, "seconds_left": None}
    seconds = max((until - min(begins)).total_seconds(), 1e-3)
    left = (run["bytes"] - done) * seconds / done if run["status"] == "planned" else None
    return {"bytes_per_second": done / seconds, "seconds_left": None if left is None else max(left, 0.0)}
