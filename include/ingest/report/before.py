"""What changed from the run before: the last one of the dataset that was done when this one began."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from include.ingest.report import profile
from include.ingest.report.runs import RUN

FIGURES = ("bytes", "read", "inserted", "updated", "unchanged", "superseded", "rejected", "deleted", "seconds")
BEFORE = f"""
SELECT {RUN}, r.dataset_fingerprint FROM millrace.ingest_run r
WHERE r.dataset = %(dataset)s AND r.status = 'done' AND r.confirms IS NULL AND r.replay_of IS NULL
    AND r.started_at < %(started_at)s
ORDER BY r.started_at DESC LIMIT 1"""
SAME_FILE = "SELECT dataset_fingerprint FROM millrace.ingest_run WHERE run_id = %s"


async def changes(connection: AsyncConnection[Any], run: dict[str, Any]) -> dict[str, Any] | None:
    """Each figure before and now, what columns came, went or hold otherwise, and whether the dataset file changed."""
    cursor = connection.cursor(row_factory=dict_row)
    before = await (await cursor.execute(BEFORE, run)).fetchone()
    if before is None:
        return None
    own = await (await cursor.execute(SAME_FILE, [run["run_id"]])).fetchone()
    return {
        "run_id": before["run_id"],
        "version": before["version"],
        "figures": [{"name": name, "before": before[name], "now": run[name]} for name in FIGURES],
        "columns_gained": run["columns_come"] or [],
        "columns_lost": run["columns_gone"] or [],
        "profile": await profile.compared(connection, before["run_id"], run["run_id"]),
        "dataset_changed": bool(own and own["dataset_fingerprint"] != before["dataset_fingerprint"]),
    }
