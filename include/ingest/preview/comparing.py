"""Rows of a file against the target, by questions alone: the server says what a merge would do, and keeps nothing.

Rows are sent as arrays in PostgreSQL's binary format, the very bytes that a load would COPY, so the server compares the
values that would stand in staging. It looks each of them up by the unique index on the key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import Cursor, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format

from include.ingest.dataset.definition import Dataset
from include.ingest.keys.ascending import is_among
from include.ingest.keys.key_hashes import held_hashes
from include.ingest.preview.row_set import PLACE, RowSet
from include.ingest.table import comparison
from include.ingest.table import target as targets
from include.ingest.table.binary_copy import joined_column

BATCH_ROWS = 5_000  # sent at a time
NUMBER = "millrace_number"  # the row's in its batch; no column of a dataset can have this name


class _Array(bytes):
    """An array in PostgreSQL's binary format."""


class _ArrayDumper(Dumper):
    format = Format.BINARY  # of the type that the statement casts it to

    def dump(self, obj: bytes) -> bytes:
        return obj


class Comparison:
    """What would become of the rows that are given to it, one block at a time.

    `confirmed` are the keys (ascending) that files of newer versions confirmed, and the secret that hashes them.
    """

    def __init__(
        self, cursor: Cursor, dataset: Dataset, target: targets.Target, version: datetime,
        confirmed: tuple[np.ndarray, bytes] | None = None,
    ) -> None:  # fmt: skip
        self._cursor, self._dataset, self._confirmed = cursor, dataset, confirmed
        cursor.adapters.register_dumper(_Array, _ArrayDumper)
        # Each row is looked up by the index, however the planner guesses: a hash of the whole table for every batch
        # would be read anew each time.
        for setting in ("enable_hashjoin", "enable_mergejoin", "enable_seqscan", "jit"):
            cursor.execute(f"SET LOCAL {setting} = off")
        self._kinds = _element_types(cursor, dataset)
        self._statement = _statement(dataset, target, version)
        self.kinds: Counter[str] = Counter()  # new, same, stale, changed
        self._matched = RowSet(cursor) if dataset.mode == "replace" else None

    def add(self, rows: pa.Table) -> None:
        """Compare good rows."""
        for batch in _batches(rows):
            for kind, number, numbers, table, places in self._ask(self._statement, batch):
                withdrawn = self._withdrawn(batch, numbers) if kind == "changed" else 0
                self.kinds[kind] += number - withdrawn
                self.kinds["stale"] += withdrawn
                if self._matched is not None and table is not None:
                    self._matched.add(table, places)

    def keep(self, keys: pa.Table) -> None:
        """The target's rows with these keys stay, as their records are rejected. In mode `replace` only."""
        assert self._matched is not None
        statement = _find_kept(self._dataset)
        for batch in _batches(keys):
            for table, places in self._ask(statement, batch):
                self._matched.add(table, places)

    def absent(self) -> tuple[int, int]:
        """Rows of the target that neither good nor rejected records hold, and all of its rows."""
        assert self._matched is not None
        # Its own plan: the whole table is read.
        self._cursor.execute("SET LOCAL enable_seqscan = on")
        found = self._cursor.execute(
            sql.SQL("SELECT count(*) FROM {}").format(targets.identifier(self._dataset))
        ).fetchone()
        assert found is not None
        return found[0] - len(self._matched), found[0]

    def _withdrawn(self, batch: pa.Table, numbers: list[int]) -> int:
        """How many of these changes a newer file's confirmation takes back, as `withdraw_confirmed` does in a merge."""
        if self._confirmed is None:
            return 0
        hashes, secret = self._confirmed
        rows = batch.take(pa.array(np.array(numbers, np.int64) - 1)).select(self._dataset.key)
        return int(is_among(held_hashes(rows, self._dataset, secret), hashes).sum())

    def _ask(self, statement: sql.Composed, batch: pa.Table) -> list[tuple[Any, ...]]:
        arrays = [
            _array(joined_column(batch[name].combine_chunks(), name, self._dataset), batch.num_rows, self._kinds[name])
            for name in batch.schema.names
        ]
        return self._cursor.execute(statement, arrays).fetchall()


def _batches(rows: pa.Table) -> Iterator[pa.Table]:
    return (rows.slice(start, BATCH_ROWS) for start in range(0, rows.num_rows, BATCH_ROWS))


def _element_types(cursor: Cursor, dataset: Dataset) -> dict[str, int]:
    """The type of each column, as the server numbers them."""
    found = {}
    for name, column in dataset.columns.items():
        row = cursor.execute("SELECT %s::text::regtype::oid::bigint", [column.sql_type.name]).fetchone()
        assert row is not None
        found[name] = int(row[0])
    return found


def _array(values: bytes, rows: int, kind: int) -> _Array:
    """Values, each with its length before it, as an array of that type."""
    numbers = (1, 1, kind, rows, 1)  # dimensions, there may be nulls, type, length, first index
    return _Array(b"".join(number.to_bytes(4, "big") for number in numbers) + values)


def _sent(dataset: Dataset, names: list[str]) -> sql.Composed:
    """The rows that come along, as `s`."""
    arrays = [sql.SQL("{}::{}[]").format(sql.Placeholder(), sql.SQL(dataset.columns[n].sql_type.name)) for n in names]
    return sql.SQL("unnest({}) WITH ORDINALITY AS s ({})").format(
        sql.SQL(", ").join(arrays), sql.SQL(", ").join(map(sql.Identifier, [*names, NUMBER]))
    )


def _statement(dataset: Dataset, target: targets.Target, version: datetime) -> sql.Composed:
    """How many rows of each kind; of the changed ones their numbers, and where the rows stand that they match."""
    stale = comparison.stale(dataset, sql.Literal(version))
    if dataset.version == "data_interval" and targets.SOURCE_VERSION not in target.columns:
        stale = sql.SQL("false")  # the merge would add the column, without a value
    replace = dataset.mode == "replace"
    return sql.SQL(
        "SELECT kind, count(*), array_agg(number) FILTER (WHERE kind = 'changed'), part,"
        " array_agg(place) FILTER (WHERE place IS NOT NULL)"
        " FROM (SELECT CASE WHEN t.tableoid IS NULL THEN 'new' WHEN NOT ({differs}) THEN 'same'"
        "  WHEN {stale} THEN 'stale' ELSE 'changed' END AS kind, s.{number} AS number, {part} AS part, {place} AS place"
        "  FROM {sent} LEFT JOIN {target} t ON {same_key}) AS found GROUP BY kind, part"
    ).format(
        differs=comparison.differs(dataset, dataset.columns.keys() - target.columns.keys()),
        stale=stale,
        number=sql.Identifier(NUMBER),
        part=sql.SQL("t.tableoid::bigint" if replace else "NULL::bigint"),
        place=sql.SQL(PLACE if replace else "NULL::bigint"),
        sent=_sent(dataset, list(dataset.columns)),
        target=targets.identifier(dataset),
        same_key=comparison.same_key(dataset),
    )


def _find_kept(dataset: Dataset) -> sql.Composed:
    return sql.SQL(
        "SELECT t.tableoid::bigint, array_agg({place}) FROM {sent} JOIN {target} t ON {same_key} GROUP BY 1"
    ).format(
        place=sql.SQL(PLACE),
        sent=_sent(dataset, dataset.key),
        target=targets.identifier(dataset),
        same_key=comparison.same_key(dataset),
    )


def refusal(connection: psycopg.Connection, dataset: Dataset) -> str:
    """What to say where the login may not read the target."""
    return (
        f"role {connection.info.user} may not read target {dataset.target}: GRANT SELECT ON {dataset.target} TO"
        f" {connection.info.user} (and USAGE on its schema)"
    )
