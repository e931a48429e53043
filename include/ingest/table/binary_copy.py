"""Typed rows in PostgreSQL's binary COPY format, and the way they are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql

from include.ingest.dataset.definition import Dataset
from include.ingest.table.wire import cells_of, rows_of, values_of

Write = Callable[[memoryview], object]
BATCH_ROWS = 8192
HEADER, END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"  # before all rows, after them


def copy_rows(cursor: psycopg.Cursor, table: sql.Identifier, rows: pa.Table, dataset: Dataset) -> int:
    """COPY typed rows; returns how many the server says that it took."""
    if not rows.num_rows:
        return 0
    with copying(cursor, table, rows.schema.names) as write:
        for batch in rows.to_batches(max_chunksize=BATCH_ROWS):
            write(encode_rows(batch, dataset).data)
    return cursor.rowcount


@contextmanager
def copying(cursor: psycopg.Cursor, table: sql.Identifier, names: Sequence[str]) -> Iterator[Write]:
    """COPY rows of these columns that are in the format already: what is yielded takes them, some at a time."""
    with cursor.copy(_copy(table, names)) as copy:
        copy.write(HEADER)
        yield copy.write
        copy.write(END)


def _copy(table: sql.Identifier, names: Sequence[str]) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, columns)


def encode_column(values: pa.Array, name: str, dataset: Dataset) -> list[bytes]:
    """Each value of a column as the format has it, its length included."""
    cells = cells_of(values, jsonb=_is_jsonb(name, dataset))
    joined, ends = values_of(cells).tobytes(), np.cumsum(cells.lengths).tolist()
    return [joined[start:end] for start, end in pairwise([0, *ends])]


def joined_column(values: pa.Array, name: str, dataset: Dataset) -> bytes:
    """What `encode_column` gives, one after the other."""
    return values_of(cells_of(values, jsonb=_is_jsonb(name, dataset))).tobytes()


def encode_rows(batch: pa.RecordBatch, dataset: Dataset) -> np.ndarray:
    """The bytes (uint8) of a batch's rows. Only jsonb is written otherwise than its Arrow type says."""
    columns = zip(batch.schema.names, batch.columns, strict=True)
    return rows_of([cells_of(values, jsonb=_is_jsonb(name, dataset)) for name, values in columns])


def _is_jsonb(name: str, dataset: Dataset) -> bool:
    return dataset.columns[name].sql_type.kind == "jsonb"
