"""Replays that were asked for: how far each is, what it came to, and all of a dataset in pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from include.ingest.replay.requests import sums

STATE = """
CASE WHEN finished_at IS NOT NULL THEN CASE WHEN reason IS NULL THEN 'done' ELSE 'failed' END
    WHEN began_at IS NOT NULL THEN 'running' ELSE 'waiting' END"""
LIST = f"""
SELECT id, dataset, run_id, cardinality(ids) AS chosen, rule, column_name AS "column", corrected, who, asked_at,
    began_at, finished_at, reason, {STATE} AS state, (
        SELECT i.run_id FROM millrace.ingest_run i WHERE i.replay_request = q.id AND i.rejected > 0 LIMIT 1
    ) AS again_run
FROM millrace.replay_request q
WHERE dataset = ANY(%(names)s) AND (%(run_id)s::uuid IS NULL OR run_id = %(run_id)s)
    AND (%(id)s::uuid IS NULL OR id = %(id)s)
    AND (%(after)s::uuid IS NULL OR (asked_at, id) < (
        SELECT l.asked_at, l.id FROM millrace.replay_request l WHERE l.id = %(after)s))
ORDER BY asked_at DESC, id DESC LIMIT %(limit)s"""
RUNS = """
SELECT run_id, replay_of, version, status, reason, read, inserted, updated, unchanged, superseded, stale, rejected
FROM millrace.ingest_run WHERE replay_request = %s ORDER BY started_at LIMIT %s"""
SHOWN_RUNS = 100


def page_of(
    connection: Connection[Any], names: Sequence[str], run_id: UUID | None, after: UUID | None, limit: int
) -> dict[str, Any]:
    """Replays of these datasets, the newest first, and where the next page begins (None: nowhere)."""
    values = {"names": list(names), "run_id": run_id, "id": None, "after": after, "limit": limit + 1}
    found = connection.cursor(row_factory=dict_row).execute(LIST, values).fetchall()
    page = [{**one, "sums": sums(connection, one["id"])} for one in found[:limit]]
    return {"replays": page, "next": page[-1]["id"] if len(found) > limit else None}


def dataset_of(connection: Connection[Any], request_id: UUID) -> str | None:
    """The dataset of a request; None: there is none."""
    row = connection.execute("SELECT dataset FROM millrace.replay_request WHERE id = %s", [request_id]).fetchone()
    return str(row[0]) if row else None


def one(connection: Connection[Any], request_id: UUID) -> dict[str, Any]:
    """A request, what its runs came to together, and its runs, as far as a hundred."""
    names = [dataset_of(connection, request_id)]
    values = {"names": names, "run_id": None, "id": request_id, "after": None, "limit": 1}
    cursor = connection.cursor(row_factory=dict_row)
    [found] = cursor.execute(LIST, values).fetchall()
    runs = cursor.execute(RUNS, [request_id, SHOWN_RUNS]).fetchall()
    return {**found, "sums": sums(connection, request_id), "runs": runs}


def names(connection: Connection[Any]) -> list[str]:
    """The datasets of which replays were asked for."""
    return [name for (name,) in connection.execute("SELECT DISTINCT dataset FROM millrace.replay_request").fetchall()]
