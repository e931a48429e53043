"""The hashes of keys that runs keep, so that an older file that comes later knows which rows they confirmed.

A run that leaves rows unchanged keeps them for 90 days. What a run of a newer version keeps too is taken from the run
before it, which so keeps little but the keys that have left the export since. Together they hold about 8 bytes for each
row of the target, not for each row of each day.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
from numba import types
from psycopg import Connection, Cursor, sql

from include.ingest import staging
from include.ingest.compiled import INT, compiled
from include.ingest.plan import Plan
from include.ingest.rows import Reader
from include.ingest.spool import read_keyed

KEPT = "90 days"
LOOK = 64  # keys ahead that are looked at for one that is not where it was in the last file
TOO_MANY = 0.1  # share of keys in another order from which they are sorted
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
            hashes = b"".join(part.hashes.tobytes() for part in read_keyed(Path(plan.path), reader, chunk))
            cursor.execute("INSERT INTO millrace.ingest_key VALUES (%s, %s, %b)", [plan.run_id, chunk.number, hashes])
    cursor.execute(
        "DELETE FROM millrace.ingest_key k USING millrace.ingest_run r"
        " WHERE r.run_id = k.run_id AND r.finished_at < now() - %s::interval",
        [KEPT],
    )


def thin_out(connection: Connection, run_id: UUID) -> None:
    """Take from the run of the version before what this run keeps too; it only saves room."""
    with connection.transaction(), connection.cursor() as cursor:
        before = _run_before(cursor, run_id)
        if before is None:
            return
        ours = _all_hashes(cursor, run_id)
        at = 0
        for chunk, theirs in _hashes(cursor, before):
            left, at = _without(theirs, ours, at)
            cursor.execute(
                "UPDATE millrace.ingest_key SET hashes = %b WHERE run_id = %s AND chunk = %s",
                [left.tobytes(), before, chunk],
            )


def _run_before(cursor: Cursor, run_id: UUID) -> UUID | None:
    """The run that keeps keys for the newest version up to ours, counting those that only confirmed its file."""
    found = cursor.execute(
        "WITH keeper AS (SELECT coalesce(r.confirms, r.run_id) AS run_id, r.target, max(r.version) AS version"
        "  FROM millrace.ingest_run r WHERE r.status IN ('done', 'skipped') GROUP BY 1, 2)"
        " SELECT k.run_id FROM keeper k, keeper mine WHERE mine.run_id = %s AND k.run_id <> mine.run_id"
        " AND k.target = mine.target AND k.version <= mine.version"
        " AND EXISTS (SELECT FROM millrace.ingest_key h WHERE h.run_id = k.run_id)"
        " AND EXISTS (SELECT FROM millrace.ingest_key h WHERE h.run_id = mine.run_id)"
        " ORDER BY k.version DESC LIMIT 1",
        [run_id],
    ).fetchone()
    return found and found[0]


def _hashes(cursor: Cursor, run_id: UUID) -> Iterator[tuple[int, np.ndarray]]:
    chunks = cursor.execute(
        "SELECT chunk FROM millrace.ingest_key WHERE run_id = %s ORDER BY chunk", [run_id]
    ).fetchall()
    for (chunk,) in chunks:
        row = cursor.connection.execute(
            "SELECT hashes FROM millrace.ingest_key WHERE run_id = %s AND chunk = %s", [run_id, chunk], binary=True
        ).fetchone()
        yield chunk, np.frombuffer(row[0] if row else b"", np.uint64).copy()


def _all_hashes(cursor: Cursor, run_id: UUID) -> np.ndarray:
    return np.concatenate([hashes for _, hashes in _hashes(cursor, run_id)])


def _without(theirs: np.ndarray, ours: np.ndarray, at: int) -> tuple[np.ndarray, int]:
    """`theirs` without what is in `ours`, and where in `ours` it ended. Files are mostly in the same order."""
    left, end = np.empty_like(theirs), np.empty(1, np.int64)
    count = _walk(theirs, ours, at, left, end)
    left = left[:count]
    if count > TOO_MANY * len(theirs):
        left = left[~np.isin(left, ours)]
    return left, int(end[0])


@compiled(INT(HASHES, HASHES, INT, HASHES, types.int64[::1]))
def _walk(theirs, ours, at, left, end):  # type: ignore[no-untyped-def]
    count = 0
    for number in range(len(theirs)):
        found, stop = at, min(at + LOOK, len(ours))
        while found < stop and ours[found] != theirs[number]:
            found += 1
        if found < stop:
            at = found + 1
        else:
            left[count] = theirs[number]
            count += 1
    end[0] = at
    return count
