"""The hashes of keys that runs keep, so that an older file that comes later knows which rows they confirmed.

A run that leaves rows unchanged keeps them for 90 days. What a run of a newer version keeps too is taken from the run
before it, which so keeps little but the keys that have left the export since. Together they hold about 8 bytes for each
row of the target, not for each row of each day. A file that holds every row of the target makes all before it needless;
finding out what two files share takes some seconds for 36 million rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import numpy as np
from numba import types
from psycopg import Connection, Cursor, sql

from include.compiled import INT, compiled
from include.ingest import staging
from include.ingest.plan import Plan
from include.ingest.rows import Reader
from include.ingest.spool import read_keyed

KEPT = "90 days"
HASHES = types.uint64[::1]


def keep_keys(cursor: Cursor, plan: Plan, reader: Reader) -> None:
    """Keep the hashes of this run's keys, and forget those of runs that ended long ago."""
    cursor.execute(
        sql.SQL(
            "INSERT INTO millrace.ingest_key"
            " SELECT {}, chunk, coalesce(c.hashes, '') || coalesce(k.hashes, '') FROM {} c LEFT JOIN {} k USING (chunk)"
            " WHERE c.hashes IS NOT NULL OR k.hashes IS NOT NULL"
        ).format(sql.Literal(plan.run_id), staging.chunk_table(plan.run_id), staging.known_table(plan.run_id))
    )
    if plan.form == "promote":  # the target was to be new, and somebody else has filled it
        for chunk in plan.chunks:
            hashes = b"".join(part.hashes.tobytes() for part in read_keyed(plan.text, reader, chunk))
            cursor.execute("INSERT INTO millrace.ingest_key VALUES (%s, %s, %b)", [plan.run_id, chunk.number, hashes])
    cursor.execute(
        "DELETE FROM millrace.ingest_key k USING millrace.ingest_run r"
        " WHERE r.run_id = k.run_id AND r.finished_at < now() - %s::interval",
        [KEPT],
    )


def thin_out(connection: Connection, run_id: UUID) -> None:
    """Take from the run of the version before what this run keeps too; it only saves room."""
    with connection.transaction(), connection.cursor() as cursor:
        before = _runs_before(cursor, run_id)
        if not before:
            return
        if _holds_all(cursor, run_id):
            cursor.execute("DELETE FROM millrace.ingest_key WHERE run_id = ANY (%s)", [before])
            return
        ours = _all_sorted(cursor, run_id)
        for chunk, theirs in _hashes(cursor, before[0]):
            count = _keep_others(theirs, ours)
            cursor.execute(
                "UPDATE millrace.ingest_key SET hashes = %b WHERE run_id = %s AND chunk = %s",
                [theirs[:count].tobytes(), before[0], chunk],
            )


def _runs_before(cursor: Cursor, run_id: UUID) -> list[UUID]:
    """Runs that keep keys for a version up to ours, the newest first; a version that only confirmed a file counts."""
    found = cursor.execute(
        "WITH keeper AS (SELECT coalesce(r.confirms, r.run_id) AS run_id, r.target, max(r.version) AS version"
        "  FROM millrace.ingest_run r WHERE r.status IN ('done', 'skipped') GROUP BY 1, 2)"
        " SELECT k.run_id FROM keeper k, keeper mine WHERE mine.run_id = %s AND k.run_id <> mine.run_id"
        " AND k.target = mine.target AND k.version <= mine.version"
        " AND EXISTS (SELECT FROM millrace.ingest_key h WHERE h.run_id = k.run_id)"
        " AND EXISTS (SELECT FROM millrace.ingest_key h WHERE h.run_id = mine.run_id)"
        " ORDER BY k.version DESC",
        [run_id],
    )
    return [run for (run,) in found.fetchall()]


def _holds_all(cursor: Cursor, run_id: UUID) -> bool:
    """Whether the run's file held every row that the target has now."""
    found = cursor.execute(
        "SELECT target_rows = inserted + updated + unchanged + stale FROM millrace.ingest_run WHERE run_id = %s",
        [run_id],
    ).fetchone()
    return bool(found and found[0])


def _hashes(cursor: Cursor, run_id: UUID) -> Iterator[tuple[int, np.ndarray]]:
    """The hashes (uint64, ascending) of each chunk."""
    found = cursor.execute("SELECT chunk FROM millrace.ingest_key WHERE run_id = %s ORDER BY chunk", [run_id])
    for (chunk,) in found.fetchall():
        row = cursor.connection.execute(
            "SELECT hashes FROM millrace.ingest_key WHERE run_id = %s AND chunk = %s", [run_id, chunk], binary=True
        ).fetchone()
        yield chunk, np.sort(np.frombuffer(row[0] if row else b"", np.uint64))


def _all_sorted(cursor: Cursor, run_id: UUID) -> np.ndarray:
    """All hashes (uint64, ascending) of a run; one array of them is in memory, and one chunk."""
    query = "SELECT coalesce(sum(length(hashes)), 0)::bigint / 8 FROM millrace.ingest_key WHERE run_id = %s"
    (count,) = cursor.execute(query, [run_id]).fetchone() or (0,)
    found, at = np.empty(count, np.uint64), 0
    for _, hashes in _hashes(cursor, run_id):
        found[at : at + len(hashes)] = hashes
        at += len(hashes)
    found.sort()
    return found


@compiled(INT(HASHES, HASHES))
def _keep_others(theirs, ours):  # type: ignore[no-untyped-def]
    """Move to the front of `theirs` what is not in `ours`, both ascending; returns how many."""
    count, at = 0, 0
    for number in range(len(theirs)):
        while at < len(ours) and ours[at] < theirs[number]:
            at += 1
        if at == len(ours) or ours[at] != theirs[number]:
            theirs[count] = theirs[number]
            count += 1
    return count
