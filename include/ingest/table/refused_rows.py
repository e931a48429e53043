"""Rows that only the server can refuse: too wide for a page, a key too long for an index, and what nobody foresaw.

How large a row or an index entry becomes depends on how well PostgreSQL compresses it, so nothing here computes it.
When a load or a merge fails by one, the chunk is loaded again through a probe: a table built like the target, with its
indexes, into which rows are copied and rolled back. A part that fails is halved until the rows at fault are alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import psycopg
import pyarrow as pa
from psycopg import Cursor, errors, sql

from include.ingest.cast.printed import printed
from include.ingest.dataset.definition import Dataset
from include.ingest.table import staging
from include.ingest.table import target as targets
from include.ingest.table.binary_copy import copy_rows
from include.ingest.table.name import TableName

LARGEST_ENTRY = 8191  # bytes that the header of an index entry can say
REFUSALS = (errors.DataError, errors.ProgramLimitExceeded, errors.StatementTooComplex)


class Refused(NamedTuple):
    """Why a row was refused: the columns and their value where they are known, the rule, and the server's words."""

    column: str | None
    value: str | None
    rule: str
    reason: str


class Probe:
    """A table like the target that rows are tried in. It lives in the transaction that loads the chunk."""

    def __init__(self, cursor: Cursor, dataset: Dataset, name: str) -> None:
        self._cursor, self._dataset = cursor, dataset
        self._name = f"probe_{name}"
        self._table = TableName(staging.SCHEMA, self._name)
        target = targets.describe(cursor, dataset)
        if target is None:
            targets.create(cursor, dataset, self._table)
            if dataset.key:
                key = sql.SQL(", ").join(map(sql.Identifier, dataset.key))
                cursor.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(self._table, key))
            return
        cursor.execute(
            sql.SQL(
                "CREATE UNLOGGED TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING IDENTITY"
                " INCLUDING INDEXES INCLUDING STORAGE INCLUDING COMPRESSION)"
            ).format(self._table, targets.identifier(dataset))
        )
        targets.add_columns(cursor, target, dataset, self._table)
        targets.add_system_columns(cursor, dataset, target, self._table)

    def drop(self) -> None:
        """Drop the table."""
        self._cursor.execute(sql.SQL("DROP TABLE {}").format(self._table))

    def refused(self, rows: pa.Table) -> dict[int, Refused]:
        """The rows, by number, that a table like the target does not take."""
        found: dict[int, Refused] = {}
        self._try(rows, 0, found)
        return found

    def _try(self, rows: pa.Table, first: int, found: dict[int, Refused]) -> None:
        try:
            # Rolled back, so that rows of two parts can't be at odds by a unique index.
            with self._cursor.connection.transaction(force_rollback=True):
                copy_rows(self._cursor, self._table, rows, self._dataset)
            return
        except REFUSALS as error:
            if rows.num_rows == 1:
                found[first] = self._told(error, rows)
                return
        except errors.IntegrityError:
            if rows.num_rows == 1:
                return  # a constraint of the target's own: not of one row's size or form, and the merge names it
        half = rows.num_rows // 2
        self._try(rows.slice(0, half), first, found)
        self._try(rows.slice(half), first + half, found)

    def _told(self, error: psycopg.Error, row: pa.Table) -> Refused:
        words = error.diag.message_primary or str(error)
        texts = {name: str(printed(row[name], self._dataset.columns[name].sql_type)[0]) for name in row.schema.names}
        index = self._index(words, {name: len(text) for name, text in texts.items()})
        column = re.search(r"column (\w+)", error.diag.context or "")
        names = index or ([column[1]] if column else [])
        shown = re.sub(rf' for index "{self._name}_\w+"', "", words)
        what = f"too long for an index on {', '.join(index)}: {shown}" if index else shown
        rule = "size" if isinstance(error, errors.ProgramLimitExceeded) else "refused"
        value = ", ".join(texts[name] for name in names if name in texts)
        return Refused(", ".join(names) or None, value if names else None, rule, f"PostgreSQL: {what}")

    def _index(self, words: str, sizes: dict[str, int]) -> list[str]:
        """The columns of the index that the server's words are about; empty: they are about none.

        Of an entry over 8,191 bytes it does not say in which index: that must be the one with the longest values.
        """
        found = self._cursor.execute(
            "SELECT c.relname, ARRAY(SELECT a.attname::text"
            "  FROM unnest(i.indkey::int[]) WITH ORDINALITY k (number, place) JOIN pg_attribute a"
            "  ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass(%s)",
            [f"{staging.SCHEMA}.{self._name}"],
        ).fetchall()
        named = [columns for name, columns in found if re.search(rf"\b{name}\b", words)]
        if not named and re.search(rf"\b{LARGEST_ENTRY}\b", words):
            columns = (columns for _, columns in found)
            named = [max(columns, key=lambda names: sum(sizes.get(name, 0) for name in names), default=[])]
        return named[0] if named else []
