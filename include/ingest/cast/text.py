"""The text of the cells before it is cast: encoding, white space, null markers, defaults."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.cast.cells import all_bytes, byte_at, extents, null_mask, or_false, with_nulls
from include.ingest.cast.faults import Faults
from include.ingest.cast.pieces import in_pieces
from include.ingest.dataset.sql_types import (
    ValueFault,
)


def decode(text: pa.Array, encoding: str, faults: Faults) -> pa.Array:
    """The cells as text. Those that are no UTF-8 are null, and at fault."""
    data = all_bytes(text)
    as_text = pa.Array.from_buffers(pa.string(), len(text), text.buffers(), offset=text.offset)
    if not len(data) or data.max() < 0x80:
        return as_text
    try:
        return text.cast(pa.string())
    except pa.ArrowInvalid:
        _slow_decode(text, encoding, faults)
    return with_nulls(as_text, faults.bad)


def _slow_decode(text: pa.Array, encoding: str, faults: Faults) -> None:
    fault = ValueFault("encoding", f"bytes that are not {encoding}")

    def read(cell: bytes) -> None:
        try:
            cell.decode()
        except UnicodeDecodeError:
            raise fault from None

    in_pieces(text, lambda cells: pa.nulls(len(cells.cast(pa.string())), pa.string()), read, pa.string(), faults)


def trim(cells: pa.Array) -> pa.Array:
    """The cells without white space at either end."""
    for edge in (byte_at(cells, 0), byte_at(cells, -1)):
        if edge.max() >= 0x80 or ((edge <= 0x20) & (edge > 0)).any():
            return pc.utf8_trim_whitespace(cells)
    return cells


def nullify(cells: pa.Array, nulls: Sequence[str]) -> pa.Array:
    """Make the cells that are a null marker null."""
    starts, lengths, data = extents(cells)
    found = np.zeros(len(cells), dtype=bool)
    for mark in {mark.encode() for mark in nulls}:
        rows = np.flatnonzero(lengths == len(mark))
        for position, byte in enumerate(mark):
            rows = rows[data[starts[rows] + position] == byte]
        found[rows] = True
    return with_nulls(cells, found) if found.any() else cells


def fill(cells: pa.Array, default: str, faults: Faults) -> pa.Array:
    """The default where a cell is null and not at fault."""
    missing = null_mask(cells) & ~faults.bad
    return pc.if_else(pa.array(missing), pa.scalar(default, pa.string()), cells) if missing.any() else cells


def check_nul(cells: pa.Array, faults: Faults) -> None:
    """PostgreSQL's text holds no NUL character."""
    data = all_bytes(cells)
    if len(data) and data.min() == 0:
        found = or_false(pc.match_substring(cells, "\0"))
        faults.add(found, "nul", "holds a NUL character, which PostgreSQL cannot store")
