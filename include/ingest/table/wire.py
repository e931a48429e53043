"""Arrow columns as rows of PostgreSQL's binary COPY: where each value's bytes stand, then all of them in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from include.ingest.table.kernel import MOST_GROUPS, SLOT_BYTES, digits, place

ROW_BYTES = 2  # before each row: the number of its columns
EPOCH_DAYS = 10_957  # from 1970-01-01 to 2000-01-01, where PostgreSQL counts from
EPOCH_US = EPOCH_DAYS * 86_400_000_000
LENGTH_BYTES = 4  # before each value; -1: null
NO_PREFIX, JSONB_VERSION = -1, 1


class Cells(NamedTuple):
    """A column: value n is data[starts[n]:][:sizes[n]] after the byte `prefix`; a size of -1 is null."""

    data: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    prefix: int

    @property
    def lengths(self) -> np.ndarray:
        """The bytes (int64) that each value takes in a row."""
        return LENGTH_BYTES + np.where(self.sizes < 0, 0, self.sizes + (self.prefix != NO_PREFIX))


def rows_of(columns: Sequence[Cells]) -> np.ndarray:
    """The bytes of all rows."""
    at, out = _room(columns, ROW_BYTES)
    out[at], out[at + 1] = len(columns) >> 8, len(columns) & 0xFF
    return _filled(columns, at + ROW_BYTES, out)


def values_of(column: Cells) -> np.ndarray:
    """The bytes of a column's values, each with its length, one after the other."""
    return _filled([column], *_room([column], 0))


def cells_of(values: pa.Array, *, jsonb: bool) -> Cells:
    """Where each value of an Arrow array stands, written as PostgreSQL writes its type."""
    data, starts, sizes = _WAYS[values.type.id](values)
    if values.null_count:
        sizes = np.where(values.is_valid().to_numpy(zero_copy_only=False), sizes, -1)
    return Cells(data, starts, np.ascontiguousarray(sizes, np.int64), JSONB_VERSION if jsonb else NO_PREFIX)


_Way = tuple[np.ndarray, np.ndarray, np.ndarray]


def _room(columns: Sequence[Cells], before: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = before + sum(column.lengths for column in columns)
    ends = np.cumsum(sizes)
    return ends - sizes, np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)


def _filled(columns: Sequence[Cells], at: np.ndarray, out: np.ndarray) -> np.ndarray:
    for column in columns:
        place(out, at, *column)
    return out


def _numbers(kind: str, less: int = 0) -> Callable[[pa.Array], _Way]:
    """A whole or floating number of a fixed width, in network order; `less` is what PostgreSQL counts from."""
    native = np.dtype(kind)

    def way(values: pa.Array) -> _Way:
        numbers = np.frombuffer(values.buffers()[1], native)[values.offset :][: len(values)]
        return _fixed(
            (numbers - less if less else numbers).astype(native.newbyteorder(">")).view(np.uint8), len(values)
        )

    return way


def _fixed(data: np.ndarray, count: int) -> _Way:
    width = len(data) // count if count else 0
    return data, np.arange(count, dtype=np.int64) * width, np.full(count, width, np.int64)


def _booleans(values: pa.Array) -> _Way:
    return _fixed(values.fill_null(False).cast(pa.uint8()).to_numpy(), len(values))


def _binary_16(values: pa.Array) -> _Way:
    width = values.type.byte_width
    data = np.frombuffer(values.buffers()[1], np.uint8)
    return _fixed(data[values.offset * width : (values.offset + len(values)) * width], len(values))


def _texts(values: pa.Array) -> _Way:
    _, offsets, data = values.buffers()
    bounds = np.frombuffer(offsets, np.int32)[values.offset :][: len(values) + 1].astype(np.int64)
    return np.frombuffer(data or b"", np.uint8), bounds[:-1], np.diff(bounds)


def _decimals(values: pa.Array) -> _Way:
    """Each takes a slot of the widest; they are of two's complement, in limbs of 32 bits, the lowest first."""
    count = len(values)
    limbs = np.frombuffer(values.buffers()[1], "<u4")[4 * values.offset :][: 4 * count].astype(np.int64)
    data, sizes = np.empty(count * SLOT_BYTES, np.uint8), np.empty(count, np.int64)
    digits(limbs, values.type.scale, data, sizes, np.empty(MOST_GROUPS, np.int64))
    return data, np.arange(count, dtype=np.int64) * SLOT_BYTES, sizes


_WAYS: dict[int, Callable[[pa.Array], _Way]] = {
    pa.int16().id: _numbers("<i2"), pa.int32().id: _numbers("<i4"), pa.int64().id: _numbers("<i8"),
    pa.float32().id: _numbers("<f4"), pa.float64().id: _numbers("<f8"),
    pa.date32().id: _numbers("<i4", EPOCH_DAYS), pa.time64("us").id: _numbers("<i8"),
    pa.timestamp("us").id: _numbers("<i8", EPOCH_US), pa.bool_().id: _booleans,
    pa.binary(16).id: _binary_16, pa.string().id: _texts, pa.binary().id: _texts, pa.decimal128(1).id: _decimals,
}  # fmt: skip
