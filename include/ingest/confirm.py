"""A forced run of a file that is in the table already: prove that nothing would change, instead of loading it.

Every row version in PostgreSQL carries the transaction that wrote it (`xmin`). When the same content was
ingested before, and every row version that the earlier run wrote is still there, then no row was changed or deleted
since, by anybody. Loading the file again would find each row unchanged. One scan of the target proves it.
"""

from __future__ import annotations

from typing import Any

from psycopg import Cursor, sql

from include.ingest import ledger
from include.ingest import target as targets
from include.ingest.dataset import Dataset
from include.ingest.source import files_of


def confirm(
    cursor: Cursor, dataset: Dataset, target: targets.Target, earlier: dict[str, Any], values: dict[str, Any]
) -> bool:
    """Finish the run of `values` as unchanged, if `earlier` proves it; False, with nothing done, when it doesn't."""
    if dataset.mode == "append":
        return False
    if earlier["unchanged"] or earlier["stale"] or earlier["deleted"] or values["version"] < earlier["version"]:
        return False
    targets.queue_up(cursor, dataset)
    if targets.shape(cursor, dataset) != earlier["target_shape"]:
        return False
    written = earlier["inserted"] + earlier["updated"]
    intact, total = _count(cursor, dataset, earlier["run_id"])
    if intact != written or (dataset.mode == "replace" and total != written):
        return False
    if earlier["run_id"] == values["run_id"]:
        return True  # the run itself, cleared: its account stands
    reason = f"nothing to load: run {earlier['run_id']} ingested the same file, and its rows are untouched"
    if not _keep_rejects(cursor, earlier, {**values, "reason": reason}):
        return False
    counts = {
        "read": earlier["read"],
        "inserted": 0,
        "updated": 0,
        "unchanged": written,
        "superseded": earlier["superseded"],
        "stale": 0,
        "rejected": earlier["rejected"],
        "deleted": 0,
    }
    after = {"oid": target.oid, "rows": None, "shape": earlier["target_shape"]}
    ledger.finish_run(cursor, values["run_id"], counts, after, reason=reason)
    return True


def _count(cursor: Cursor, dataset: Dataset, run_id: object) -> tuple[int, int]:
    """Rows of the target that the run wrote and nobody touched since, and all rows.

    Transaction ids are 32 bits in a row and come round again: a run further back than 2 billion proves nothing.
    """
    row = cursor.execute(
        sql.SQL(
            "SELECT count(*) FILTER (WHERE xmin = ANY (ARRAY("
            " SELECT written::xid FROM millrace.ingest_run, unnest(written_by) AS written WHERE run_id = %s"
            " AND pg_snapshot_xmin(pg_current_snapshot())::text::bigint - written::text::bigint < 2000000000"
            "))), count(*) FROM {}"
        ).format(targets.identifier(dataset)),
        [run_id],
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _keep_rejects(cursor: Cursor, earlier: dict[str, Any], values: dict[str, Any]) -> bool:
    """Start the run in the ledger with the earlier run's rejected rows; False when these are not all there."""
    kept = cursor.execute(
        "SELECT count(*) FROM millrace.rejected_row WHERE run_id = %s", [earlier["run_id"]]
    ).fetchone()
    if kept is None or kept[0] != earlier["rejected"]:
        return False
    names = [[file.path for file in files_of(plan)] for plan in (earlier["plan"], values["plan"].obj)]
    confirmed = {"status": "planned", "chunks": 0, "confirms": earlier["run_id"]}
    ledger.start_run(cursor, {**values, **confirmed})
    cursor.execute(
        "INSERT INTO millrace.rejected_row"
        " SELECT %s, later, line_number, byte_offset, column_name, value, rule, reason, raw, chunk"
        " FROM millrace.rejected_row JOIN unnest(%s::text[], %s::text[]) AS f (before, later) ON file = before"
        " WHERE run_id = %s",
        [values["run_id"], *names, earlier["run_id"]],
    )
    return True
