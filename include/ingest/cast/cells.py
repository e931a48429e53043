"""Views of the cells of an Arrow array, their bytes and nulls, as numpy arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def extents(cells: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start and length of each cell in the buffer, and the buffer. Cells that are null have length 0."""
    _, offsets, data = cells.buffers()
    ends = np.frombuffer(offsets, np.int32)[cells.offset : cells.offset + len(cells) + 1]
    lengths = np.diff(ends)
    if cells.null_count:
        lengths = np.where(null_mask(cells), 0, lengths)
    return ends[:-1], lengths, np.frombuffer(data, np.uint8) if data else np.zeros(1, np.uint8)


def all_bytes(cells: pa.Array) -> np.ndarray:
    """All bytes of the cells, one after the other."""
    _, offsets, data = cells.buffers()
    ends = np.frombuffer(offsets, np.int32)
    return np.frombuffer(data or b"", np.uint8)[ends[cells.offset] : ends[cells.offset + len(cells)]]


def null_mask(array: pa.Array) -> np.ndarray:
    """Which values are null."""
    if not array.null_count:
        return np.zeros(len(array), dtype=bool)
    return array.is_null().to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def with_nulls(cells: pa.Array, mask: np.ndarray) -> pa.Array:
    """The same cells with more nulls; no text is copied."""
    valid = np.ones(cells.offset + len(cells), dtype=bool)
    valid[cells.offset :] = ~(mask | null_mask(cells))
    bits = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(cells.type, len(cells), [bits, *cells.buffers()[1:]], offset=cells.offset)


def byte_at(cells: pa.Array, position: int) -> np.ndarray:
    """The byte at a position of each cell, from the end if negative; 0 where the cell is too short."""
    starts, lengths, data = extents(cells)
    size = int(lengths[0]) if len(lengths) else 0
    if size > max(position, -position - 1) and lengths.min() == lengths.max() and not cells.null_count:
        first = int(starts[0]) + position % size
        return data[first : first + (len(cells) - 1) * size + 1 : size]
    inside = lengths > position if position >= 0 else lengths >= -position
    at = starts + (position if position >= 0 else lengths + position)
    return np.where(inside, data[np.clip(at, 0, len(data) - 1)], 0)


def holds_letter(cells: pa.Array, letter: str) -> bool:
    """Whether any cell may hold a letter, small or capital."""
    return bool(((all_bytes(cells) | 0x20) == ord(letter)).any())


def where(mask: pa.Array) -> np.ndarray:
    """The numbers (int64) of the values for which a mask is true."""
    return np.flatnonzero(or_false(mask))


def with_mask(values: pa.Array, mask: np.ndarray) -> pa.Array:
    """The values with null where the mask is true."""
    return pc.if_else(pa.array(mask), pa.scalar(None, values.type), values) if mask.any() else values


def scattered(values: pa.Array, rows: np.ndarray, size: int) -> pa.Array:
    """`size` values: these at the numbers in `rows`, null elsewhere."""
    at = np.zeros(size, dtype=np.int64)
    mask = np.ones(size, dtype=bool)
    at[rows], mask[rows] = np.arange(len(rows)), False
    return values.take(pa.array(at, mask=mask))


def or_false(mask: pa.Array) -> np.ndarray:
    """A mask with false for null."""
    return pc.fill_null(mask, False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
