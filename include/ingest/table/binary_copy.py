"""Typed rows in PostgreSQL's binary COPY format, and the way they are sent."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg import sql

from include.ingest.dataset.definition import Dataset

Write = Callable[[memoryview], object]
BATCH_ROWS = 8192
HEADER, END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"  # before all rows, after them
ROW_BYTES = 2  # before each row: the number of its columns
_SIZE = struct.Struct(">i")  # before each value; -1: null


def copy_rows(cursor: psycopg.Cursor, table: sql.Identifier, rows: pa.Table, dataset: Dataset) -> int:
    """COPY typed rows; returns how many the server says that it took."""
    if not rows.num_rows:
        return 0
    encoder = encoder_for(dataset, rows.schema)
    with cursor.copy(_copy(table, rows.schema.names)) as copy:
        copy.write(encoder.write_header())
        for batch in rows.to_batches(max_chunksize=BATCH_ROWS):
            copy.write(encoder.write_batch(batch))
        copy.write(encoder.finish())
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
    encoded = _encoded(values, name, dataset)
    codes, at = [], 0
    for _ in range(len(values)):
        (size,) = _SIZE.unpack_from(encoded, at + ROW_BYTES)
        end = at + ROW_BYTES + _SIZE.size + max(size, 0)
        codes.append(encoded[at + ROW_BYTES : end])
        at = end
    return codes


def joined_column(values: pa.Array, name: str, dataset: Dataset) -> bytes:
    """What `encode_column` gives, one after the other: at once where Arrow knows how long each value is."""
    sizes = _sizes(values)
    encoded = np.frombuffer(_encoded(values, name, dataset), np.uint8)[: -len(END)]
    if sizes is None or sizes.sum() != len(encoded):
        return b"".join(encode_column(values, name, dataset))
    starts = np.cumsum(sizes) - sizes
    wanted = np.ones(len(encoded), bool)
    for byte in range(ROW_BYTES):
        wanted[starts + byte] = False
    return encoded[wanted].tobytes()


def _sizes(values: pa.Array) -> np.ndarray | None:
    """Bytes (int64) of each row of a single column; None where they depend on the value, as a numeric's do."""
    lengths: np.ndarray
    if pa.types.is_string(values.type):
        lengths = pc.binary_length(values).fill_null(0).to_numpy().astype(np.int64)
    elif pa.types.is_decimal(values.type) or not (
        pa.types.is_primitive(values.type) or pa.types.is_fixed_size_binary(values.type)
    ):
        return None
    else:
        width = max(1, values.type.bit_width // 8)
        lengths = np.where(values.is_valid().to_numpy(zero_copy_only=False), width, 0)
    sizes: np.ndarray = lengths + (ROW_BYTES + _SIZE.size)
    return sizes


def _encoded(values: pa.Array, name: str, dataset: Dataset) -> bytes:
    batch = pa.record_batch([values], names=[name])
    encoder = encoder_for(dataset, batch.schema)
    encoder.write_header()
    return bytes(encoder.write_batch(batch)) + bytes(encoder.finish())


def encoder_for(dataset: Dataset, schema: pa.Schema) -> ArrowToPostgresBinaryEncoder:
    """An encoder for one COPY. Only jsonb is written otherwise than its Arrow type says."""
    builders = {field.name: ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in schema}
    for name in schema.names:
        if dataset.columns[name].sql_type.kind == "jsonb":
            builders[name] = StringEncoderBuilder.new_with_output(schema.field(name), Jsonb())
    return ArrowToPostgresBinaryEncoder.new_with_encoders(schema, builders)
