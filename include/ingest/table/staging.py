"""The tables of a run under way, in schema `millrace_staging`: its rows, and a row for each chunk loaded.

A run has one table of rows, filled by all chunks side by side. It takes one of two forms:

* `promote`: an ordinary table built like the target, which takes the target's place at the end. Used when the target is
  missing or empty and nothing hangs on it: rows are written once instead of twice. Columns of Millrace's own that come
  last are added at the end, as defaults in the catalogue: they take no room in the rows.
* `merge`: an unlogged table of the dataset's columns, whose rows are merged into the target.

The chunk table has the same persistence as the rows, so a crash that empties one empties both. In form `merge`,
a third table holds which records need no load (see `known_records`); when a crash empties it, all are loaded. In mode
`replace`, a table holds the keys of rejected records, whose rows stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from uuid import UUID

from psycopg import Cursor, sql

from include.ingest.dataset.definition import Dataset
from include.ingest.table import target as targets
from include.ingest.table.name import TableName

Form = Literal["promote", "merge"]
LARGE = 0.5  # of max_wal_size, in bytes of a file: about as much WAL as brings a checkpoint
SPARE_PAGES = 64  # that a table is extended by at a time, so that the next load finds room in them
ALL_PAGES = (1 << 32) - 2  # of a table
SCHEMA = "millrace_staging"


def rows_table(run_id: UUID) -> TableName:
    """The run's rows."""
    return TableName(SCHEMA, f"rows_{run_id.hex}")


def chunk_table(run_id: UUID) -> TableName:
    """What is loaded: chunk number and, in form `merge`, what the ledger may keep of its rows' keys."""
    return TableName(SCHEMA, f"chunks_{run_id.hex}")


def known_table(run_id: UUID) -> TableName:
    """The records that need no load, by chunk: a bit a record, and what the ledger may keep of their keys."""
    return TableName(SCHEMA, f"known_{run_id.hex}")


def rejected_table(run_id: UUID) -> TableName:
    """Keys of rejected records, as far as they can be read. In mode `replace` only."""
    return TableName(SCHEMA, f"rejected_{run_id.hex}")


def asis_table(run_id: UUID) -> TableName:
    """Keys of records that are replayed as they were, without a correction. In a replay only."""
    return TableName(SCHEMA, f"asis_{run_id.hex}")


def change_table(run_id: UUID) -> TableName:
    """The rows that differ from the target. Lives inside the merge's transaction only."""
    return TableName(SCHEMA, f"changes_{run_id.hex}")


def form_for(target: targets.Target | None, dataset: Dataset, *, empty: bool, published: bool) -> Form:
    """How a run should stage its rows.

    What is written into a published schema must be written there by name. A table that lacks columns of the run is no
    model of what is to take its place.
    """
    if target is None:
        return "merge" if published else "promote"
    return "promote" if empty and target.plain and target.columns.keys() >= dataset.columns.keys() else "merge"


def create(cursor: Cursor, run_id: UUID, dataset: Dataset, form: Form, version: str) -> None:
    """Make the run's tables anew; what an earlier try left goes."""
    drop(cursor, run_id)
    rows = rows_table(run_id)
    if form == "promote":
        _create_like_target(cursor, rows, dataset, version)
    else:
        _create_bare(cursor, rows, dataset, dataset.columns)
    if dataset.mode == "replace":
        _create_bare(cursor, rejected_table(run_id), dataset, dataset.key, lasting=form == "promote")
    chunks = chunk_table(run_id)
    cursor.execute(
        sql.SQL("CREATE {} TABLE {} (chunk integer PRIMARY KEY, hashes bytea)").format(
            sql.SQL("" if form == "promote" else "UNLOGGED"), chunks
        )
    )
    # Hashes don't compress. PostgreSQL 15 takes this in ALTER TABLE only.
    cursor.execute(sql.SQL("ALTER TABLE {} ALTER COLUMN hashes SET STORAGE EXTERNAL").format(chunks))
    known = known_table(run_id)
    cursor.execute(
        sql.SQL("CREATE UNLOGGED TABLE {} (chunk integer PRIMARY KEY, bits bytea, hashes bytea)").format(known)
    )
    cursor.execute(sql.SQL("ALTER TABLE {} ALTER COLUMN hashes SET STORAGE EXTERNAL").format(known))


def note_as_is(cursor: Cursor, run_id: UUID, dataset: Dataset) -> None:
    """The rows that are staged so far are replayed as they were, and what is staged from now on was corrected."""
    names = sql.SQL(", ").join(map(sql.Identifier, dataset.key))
    cursor.execute(
        sql.SQL("CREATE UNLOGGED TABLE {} WITH (autovacuum_enabled = off) AS SELECT {} FROM {}").format(
            asis_table(run_id), names, rows_table(run_id)
        )
    )
    cursor.execute(sql.SQL("ANALYZE {}").format(asis_table(run_id)))


def _create_bare(
    cursor: Cursor, table: TableName, dataset: Dataset, names: Iterable[str], *, lasting: bool = False
) -> None:
    """Create a table of some of the dataset's columns; one that is not lasting is emptied by a crash."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(dataset.columns[name].sql_type.name)) for name in names
    )
    statement = sql.SQL("CREATE {} TABLE {} ({}) WITH (autovacuum_enabled = off)")
    cursor.execute(statement.format(sql.SQL("" if lasting else "UNLOGGED"), table, columns))


def first_to_mark(cursor: Cursor, run_id: UUID, file_bytes: int) -> int | None:
    """The page from which on what is loaded next will have to be marked; None where that spares nothing.

    It does where a checkpoint is likely to come before the index has read the rows. Whoever reads a page first marks
    its rows as committed. With checksums, a page that is marked after a checkpoint goes to the WAL whole; one that was
    written since does not (decision 6). Others see the page, as a lock, until the transaction ends.
    """
    found = cursor.execute(
        "SELECT pg_relation_size(%s) / current_setting('block_size')::integer"
        " WHERE 'on' IN (current_setting('data_checksums'), current_setting('wal_log_hints'))"
        " AND %s > pg_size_bytes(current_setting('max_wal_size')) * %s",
        [rows_table(run_id).as_string(cursor), file_bytes, LARGE],
    ).fetchone()
    if found is None:
        return None
    page = max(0, int(found[0]) - SPARE_PAGES)
    cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtext(%s), %s)", [f"{run_id} page", page])
    return page


def mark_committed(cursor: Cursor, run_id: UUID, first_page: int) -> None:
    """Read the rows from that page on, which marks them; but not where loads under way will when they end."""
    # objsubid 2: locks on two numbers, as `first_to_mark` takes them.
    found = cursor.execute(
        "SELECT min(objid::bigint) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid::bigint = hashtext(%s)::bigint & 4294967295",
        [f"{run_id} page"],
    ).fetchone()
    end = found[0] if found and found[0] is not None else ALL_PAGES
    statement = sql.SQL("SELECT count(*) FROM {} WHERE ctid >= {}::tid AND ctid < {}::tid")
    pages = (sql.Literal(f"({page},0)") for page in (first_page, end))
    cursor.execute(statement.format(rows_table(run_id), *pages))


def start_over(cursor: Cursor, run_id: UUID) -> None:
    """Forget what was loaded, and that any record needs no load."""
    tables = (rows_table(run_id), chunk_table(run_id), known_table(run_id))
    cursor.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(tables)))


def _create_like_target(cursor: Cursor, rows: TableName, dataset: Dataset, version: str) -> None:
    existing, last = targets.describe(cursor, dataset), []
    if existing is None:
        targets.create(cursor, dataset, rows, bare=True)
    else:
        last = targets.trailing(cursor, dataset, existing)
        half = TableName(SCHEMA, f"half_{rows.table}")
        for table, model in ((half, targets.identifier(dataset)), (rows, half)):  # LIKE leaves dropped columns out
            cursor.execute(
                sql.SQL(
                    "CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE"
                    " INCLUDING COMPRESSION INCLUDING COMMENTS)"
                ).format(table, model)
            )
            for name in last if table is half else ():
                cursor.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(half, sql.Identifier(name)))
        cursor.execute(sql.SQL("DROP TABLE {}").format(half))
    cursor.execute(sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(rows))
    values = {targets.PROCESSED_AT: "now", targets.SOURCE_VERSION: version}
    for name in targets.system_columns(dataset):
        if existing is not None and name in existing.columns and name not in last:
            cursor.execute(
                sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}::timestamptz").format(
                    rows, sql.Identifier(name), sql.Literal(values[name])
                )
            )


def drop(cursor: Cursor, run_id: UUID) -> None:
    """Drop whatever there is of a run's tables."""
    for name in (rows_table, chunk_table, known_table, rejected_table, asis_table, change_table):
        table = name(run_id)
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))


def loaded_chunks(cursor: Cursor, run_id: UUID) -> set[int]:
    """The chunks that are staged now; empty also when the tables are gone."""
    return _chunks_in(cursor, chunk_table(run_id)) or set()


def _chunks_in(cursor: Cursor, table: TableName) -> set[int] | None:
    """The chunks that a table holds; None: there is no such table."""
    found = cursor.execute("SELECT to_regclass(%s)", [table.as_string(cursor)]).fetchone()
    if found is None or found[0] is None:
        return None
    return {chunk for (chunk,) in cursor.execute(sql.SQL("SELECT DISTINCT chunk FROM {}").format(table))}
