"""uuid and bytea."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from include.ingest.cast.cells import all_bytes, byte_at, extents
from include.ingest.cast.pieces import Convert, Suspects, trusted

if TYPE_CHECKING:
    from include.ingest.dataset.columns import Column


_HEX = np.full(256, 255, np.uint8)
for _digit in range(16):
    _HEX[[ord(f"{_digit:x}"), ord(f"{_digit:X}")]] = _digit


def as_uuid(column: Column) -> tuple[Convert, Suspects]:
    """uuids, as 16 bytes each."""
    return _uuids, trusted


def _uuids(cells: pa.Array) -> pa.Array:
    """All cells as uuids of one form, with or without hyphens."""
    _, lengths, _ = extents(cells)
    size = int(lengths.max())
    if size not in (32, 36) or cells.null_count or (lengths != size).any():
        raise pa.ArrowInvalid("uuids of several forms")
    letters = all_bytes(cells).reshape(-1, size)
    if size == 36:
        if (letters[:, (8, 13, 18, 23)] != ord("-")).any():
            raise pa.ArrowInvalid("not a uuid")
        letters = np.delete(letters, (8, 13, 18, 23), axis=1)
    digits = _HEX[letters]
    if digits.max() > 15:
        raise pa.ArrowInvalid("not a uuid")
    data = (digits[:, ::2] << 4) | digits[:, 1::2]
    return pa.Array.from_buffers(pa.binary(16), len(cells), [None, pa.py_buffer(data.tobytes())])


def as_bytea(column: Column) -> tuple[Convert, Suspects]:
    """bytea in hexadecimal."""
    return _byteas, trusted


def _byteas(cells: pa.Array) -> pa.Array:
    r"""All cells as bytes of the form \x0a1b."""
    _, lengths, _ = extents(cells)
    if cells.null_count or (lengths % 2).any() or not _starts_with(cells, b"\\x"):
        raise pa.ArrowInvalid("not all of them are bytes")
    ends = np.append(0, np.cumsum(lengths))
    keep = np.ones(ends[-1], dtype=bool)
    keep[ends[:-1]] = keep[ends[:-1] + 1] = False
    digits = _HEX[all_bytes(cells)[keep]]
    if len(digits) and digits.max() > 15:
        raise pa.ArrowInvalid("not all of them are bytes")
    data = (digits[::2] << 4) | digits[1::2]
    offsets = pa.py_buffer(((ends - 2 * np.arange(len(ends))) // 2).astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(cells), [None, offsets, pa.py_buffer(data.tobytes())])


def _starts_with(cells: pa.Array, start: bytes) -> bool:
    return all((byte_at(cells, position) == byte).all() for position, byte in enumerate(start))
