"""Who wrote a row version, and so whether anybody but Millrace has touched a table since a run ended.

Every row version in PostgreSQL carries the transaction that wrote it (`xmin`). A run keeps the transactions that wrote
its rows, and the snapshot under which it ended, while its lock kept all writers out. So a version is *settled* if

* its transaction is older than every one that was open in that snapshot. The list of open transactions is of no use: it
  leaves out subtransactions (savepoints, plpgsql's EXCEPTION), and one that was open then may write now. A
  subtransaction has a greater number than its parent, so none that was open is older than the oldest open one;
* or its transaction is one in which a run wrote to this table, up to that run.

Where all versions are settled and the table has as many rows as then, nobody has inserted, updated or deleted. What is
not proved so is loaded.

A transaction is 64 bits, of which a row keeps 32. As no row is younger than the next transaction, the greatest number
with these 32 bits that is not younger is assumed. The row may be older than that by whole rounds, and so is settled all
the more.

A ledger that was restored from a dump speaks of another server's transactions. A row that each merge leaves in
`ingest_stamp` tells: there it was written by the restore.
"""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID

from psycopg import Cursor, sql

from include.ingest.dataset.definition import Dataset
from include.ingest.table import target as targets

# The next transaction at most: a snapshot's end may be before the transaction that asks.
_NOW: LiteralString = (
    "greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
    " coalesce(pg_current_xact_id_if_assigned()::text::bigint, 0))"
)

# As 64 bits: the transaction that wrote a group of rows. It is turned into a number once for a group, as for each row
# this would take longer than reading the row.
_WRITTEN: LiteralString = """
written AS (
    SELECT now.xid - ((now.xid - rows.raw::text::bigint) & 4294967295) AS writer, rows.number
    FROM (SELECT xmin AS raw, count(*) AS number FROM {target} GROUP BY xmin) AS rows, now
)
"""

# Runs on the table that merged on this very server, with what wrote to the table.
_RUNS: LiteralString = """
run AS (
    SELECT r.*, written_by[cardinality(written_by)] AS merged_by, pg_snapshot_xmin(seen)::text::bigint AS settled
    FROM millrace.ingest_run AS r JOIN millrace.ingest_stamp AS s USING (run_id)
    WHERE target_oid = {target}::text::regclass AND status = 'done'
        AND s.xmin = written_by[cardinality(written_by)]::xid
)
"""

_IS_UNTOUCHED: LiteralString = (
    "WITH now AS (SELECT {now} AS xid), {runs}, base AS (SELECT * FROM run WHERE run_id = {run_id}), ours AS ("
    " SELECT writer::text::bigint AS writer FROM run, base, unnest(run.written_by) AS writer"
    " WHERE run.merged_by <= base.merged_by), {written}"
    " SELECT base.target_rows = (SELECT coalesce(sum(number), 0) FROM written) AND base.target_shape = {shape}"
    " AND NOT EXISTS (SELECT FROM written WHERE writer >= base.settled AND writer NOT IN (SELECT writer FROM ours))"
    " FROM base"
)

_INTACT: LiteralString = (
    "WITH now AS (SELECT {now} AS xid), {runs}, {written}"
    " SELECT coalesce(sum(number) FILTER (WHERE writer IN (SELECT o::text::bigint FROM run, unnest(written_by) AS o"
    "  WHERE run_id = {run_id})), 0)::bigint, coalesce(sum(number), 0)::bigint FROM written"
)


_APPENDED: LiteralString = (
    "WITH now AS (SELECT {now} AS xid), {written} SELECT run_id FROM millrace.appended_file a"
    " WHERE target_oid = %(target_oid)s AND file = %(file)s AND fingerprint = %(fingerprint)s"
    " AND dataset_fingerprint = %(dataset_fingerprint)s AND starts_with({shape} || ',', target_shape || ',')"
    " AND xmin = written_by[cardinality(written_by)]::xid AND inserted = (SELECT coalesce(sum(number), 0) FROM written"
    "  WHERE writer IN (SELECT w::text::bigint FROM unnest(a.written_by) AS w)) LIMIT 1"
)


def is_untouched(cursor: Cursor, dataset: Dataset, run_id: UUID) -> bool:
    """Whether the target is as the run left it. Certain for good only under a lock that keeps writers out.

    Not so where the run's table is another one than the target is now, or its rows may be more than they seem.
    """
    target = targets.describe(cursor, dataset)
    if target is None or not target.keeps_rows:
        return False
    row = cursor.execute(_statement(cursor, _IS_UNTOUCHED, dataset, run_id)).fetchone()
    return bool(row and row[0])


def intact_rows(cursor: Cursor, dataset: Dataset, run_id: UUID) -> tuple[int, int]:
    """How many row versions of the target that run wrote, and how many there are in all."""
    row = cursor.execute(_statement(cursor, _INTACT, dataset, run_id)).fetchone()
    assert row is not None
    return row[0], row[1]


def appended_by(cursor: Cursor, dataset: Dataset, values: dict[str, Any]) -> UUID | None:
    """A run that appended the same file, all of whose rows are there as it wrote them. `values` are the new run's."""
    statement = sql.SQL(_APPENDED).format(
        now=sql.SQL(_NOW),
        written=sql.SQL(_WRITTEN).format(target=targets.identifier(dataset)),
        shape=sql.Literal(targets.shape(cursor, dataset)),
    )
    row = cursor.execute(statement, values).fetchone()
    return row[0] if row else None


def _statement(cursor: Cursor, pattern: LiteralString, dataset: Dataset, run_id: UUID) -> sql.Composed:
    name = targets.identifier(dataset)
    return sql.SQL(pattern).format(
        now=sql.SQL(_NOW),
        runs=sql.SQL(_RUNS).format(target=sql.Literal(name.as_string(cursor))),
        written=sql.SQL(_WRITTEN).format(target=name),
        run_id=sql.Literal(run_id),
        shape=sql.Literal(targets.shape(cursor, dataset)),
    )
