"""What files of newer versions, which were ingested before this one, say of its rows.

A row that was equal in a newer file is not rewritten, so the target still carries the older version of it. When a file
from in between is ingested afterwards, that row must not be overwritten: the newer file confirmed it. So a run that
leaves rows unchanged keeps its keys (`confirmed_keys`), and a run that comes out of order asks them. Together with the
row's own version this makes the order of ingestion irrelevant: the target ends as if the files had come in order.
"""

from __future__ import annotations

from uuid import UUID

import numpy as np
from psycopg import Cursor, sql

from include.ingest import ledger
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import OrderUnknown
from include.ingest.keys.ascending import is_among
from include.ingest.keys.confirmed_keys import held_at, newer_hashes, read_table_keys
from include.ingest.keys.key_hashes import key_shape
from include.ingest.table import staging
from include.ingest.table.name import TableName


def withdraw_confirmed(cursor: Cursor, dataset: Dataset, run_id: UUID, path: str, oid: int, version: object) -> int:
    """Mark as stale the changes to rows that a newer file held; returns how many.

    Raises OrderUnknown where what newer files held can't be told, as their key had other columns or types.
    """
    if not _any_changed(cursor, run_id):
        return 0
    known, others = newer_hashes(cursor, dataset, oid, version)
    if others:
        raise OrderUnknown(
            f"{path}: a file of a newer date was ingested into {dataset.target} when its key was"
            f" ({'; '.join(others)}) and not ({key_shape(dataset)}), so it can't be told which rows it confirmed."
            " Nothing was changed. Ingest a newer file that holds every row first, or give this one a newer date"
        )
    return _withdraw(cursor, dataset, run_id, known) if len(known) else 0


def withdraw_ties(cursor: Cursor, dataset: Dataset, run_id: UUID, oid: int, version: object) -> int:
    """Mark as stale, in a replay, the changes by records as they were to rows that a file of the same version held.

    Where the key had another shape when that came, nothing is known of it, and the records count as the later ones.
    """
    if not _any_changed(cursor, run_id):
        return 0
    known = held_at(cursor, dataset, oid, version)
    return _withdraw(cursor, dataset, run_id, known, staging.asis_table(run_id)) if len(known) else 0


def _any_changed(cursor: Cursor, run_id: UUID) -> bool:
    query = sql.SQL("SELECT 1 FROM {} WHERE millrace_kind = 'changed' LIMIT 1")
    return cursor.execute(query.format(staging.change_table(run_id))).fetchone() is not None


def _withdraw(cursor: Cursor, dataset: Dataset, run_id: UUID, known: np.ndarray, among: TableName | None = None) -> int:
    """Mark as stale the changes whose key is known (ascending); with `among`, only where that table has it, too."""
    changes = staging.change_table(run_id)
    names = sql.SQL(", ").join(sql.Identifier(name) for name in dataset.key)
    query = sql.SQL("SELECT millrace_row::text, millrace_table, {} FROM {} s WHERE millrace_kind = 'changed' AND {}")
    held: sql.Composable = sql.SQL("true")
    if among is not None:
        same = sql.SQL(" AND ").join(sql.SQL("a.{0} = s.{0}").format(sql.Identifier(name)) for name in dataset.key)
        held = sql.SQL("EXISTS (SELECT FROM {} a WHERE {})").format(among, same)
    cursor.execute("CREATE TEMPORARY TABLE confirmed_row (at tid, part oid) ON COMMIT DROP")
    secret = ledger.secret_of(cursor, dataset)
    for places, hashes in read_table_keys(cursor, dataset, query.format(names, changes, held), secret):
        hit = is_among(hashes, known)
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
