"""Files of newer data intervals that were ingested before this one, and what they say of its rows.

A row that was equal in a newer file is not rewritten, so the target still carries the older version of it. When a file
from in between is ingested afterwards, that row must not be overwritten: the newer file confirmed it. So a run that
leaves rows unchanged keeps the hashes of its keys, and a run that comes out of order asks them. Together with the
row's own version this makes the order of ingestion irrelevant: the target ends as if the files had come in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
from psycopg import Cursor, sql

from include.ingest import staging
from include.ingest.dataset import Dataset
from include.ingest.keys import hash_keys

FETCH_ROWS = 50_000


def newer_runs(cursor: Cursor, run_id: UUID) -> list[UUID]:
    """The runs whose content was found in a newer file for the same target."""
    found = cursor.execute(
        "SELECT DISTINCT coalesce(newer.confirms, newer.run_id)"
        " FROM millrace.ingest_run newer, millrace.ingest_run mine"
        " WHERE mine.run_id = %s AND newer.target = mine.target AND newer.version > mine.version"
        " AND newer.status IN ('done', 'skipped')",
        [run_id],
    )
    return [run for (run,) in found]


def confirmed_rows(newer: list[UUID]) -> sql.Composable:
    """SQL condition on target row `t`: one of these runs wrote it, whatever version it carries."""
    if not newer:
        return sql.SQL("false")
    return sql.SQL(
        "t.xmin = ANY (ARRAY(SELECT written::xid FROM millrace.ingest_run, unnest(written_by) AS written"
        " WHERE run_id = ANY ({})))"
    ).format(sql.Literal(newer))


def withdraw_confirmed(cursor: Cursor, run_id: UUID, dataset: Dataset, newer: list[UUID]) -> int:
    """Mark as stale the changes to rows that a newer file held; returns how many."""
    known = _known_hashes(cursor, newer)
    if not len(known):
        return 0
    changes = staging.change_table(run_id)
    cursor.execute("CREATE TEMPORARY TABLE confirmed_row (at tid, part oid) ON COMMIT DROP")
    for places, hashes in _changed_keys(cursor, dataset, changes):
        hit = known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
        with cursor.copy("COPY confirmed_row FROM STDIN") as copy:
            for row in np.flatnonzero(hit).tolist():
                copy.write_row(places[row])
    cursor.execute(
        sql.SQL(
            "UPDATE {} s SET millrace_kind = 'stale' FROM confirmed_row c"
            " WHERE s.millrace_row = c.at AND s.millrace_table = c.part"
        ).format(changes)
    )
    withdrawn = cursor.rowcount
    cursor.execute("DROP TABLE confirmed_row")
    return withdrawn


def _known_hashes(cursor: Cursor, newer: list[UUID]) -> np.ndarray:
    found = cursor.connection.execute(
        "SELECT hashes FROM millrace.ingest_key WHERE run_id = ANY (%s)", [newer], binary=True
    )
    parts = [np.frombuffer(hashes, np.uint64) for (hashes,) in found]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)


def _changed_keys(
    cursor: Cursor, dataset: Dataset, changes: sql.Identifier
) -> Iterator[tuple[list[tuple[Any, ...]], np.ndarray]]:
    """The changes' places in the target and the hashes of their keys, a batch at a time."""
    names = sql.SQL(", ").join(map(sql.Identifier, dataset.key))
    query = sql.SQL("SELECT millrace_row::text, millrace_table, {} FROM {} WHERE millrace_kind = 'changed'")
    schema = [(name, dataset.columns[name].sql_type.arrow) for name in dataset.key]
    with cursor.connection.cursor("changed_key") as found:
        found.execute(query.format(names, changes))
        while batch := found.fetchmany(FETCH_ROWS):
            columns = zip(*(row[2:] for row in batch), strict=True)
            arrays = [_array(column, kind) for column, (_, kind) in zip(columns, schema, strict=True)]
            yield [row[:2] for row in batch], hash_keys(pa.table(arrays, names=dataset.key), dataset.key)


def _array(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_binary(kind):
        return pa.array([value.bytes for value in values], kind)
    return pa.array(values, kind)
