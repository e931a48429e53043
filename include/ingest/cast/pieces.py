"""A cast that Arrow refuses as a whole, done for all cells but those that do not fit.

A type gives three things: `Convert` casts an array or raises, `Suspects` names cells whose result can't be trusted, and
`Odd` names cells that likely do not cast. Naming one too many, or one too few, costs time and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.cast.cells import with_nulls
from include.ingest.cast.faults import Faults
from include.ingest.dataset.sql_types import (
    ValueFault,
)

PIECE = 4096  # cells cast at a time
FAN = 4  # a piece that does not cast is cut into so many
LEAF = 16  # a piece this small is read cell by cell
Read = Callable[[Any], Any]
Convert = Callable[[pa.Array], pa.Array]
Odd = Callable[[pa.Array], np.ndarray]  # a mask of the cells that may not cast


def in_pieces(
    cells: pa.Array, convert: Convert, read: Read, kind: pa.DataType, faults: Faults, odd: Odd | None = None
) -> pa.Array:
    """Cast a column as a whole, or without its odd cells, or in pieces."""
    with suppress(pa.ArrowInvalid):
        return convert(cells)
    mask = np.zeros(len(cells), dtype=bool) if odd is None else odd(cells)
    if np.count_nonzero(mask) > len(cells) // LEAF:
        mask[:] = False  # most cells are odd: the column is written otherwise than expected
    rows, plain, values = np.flatnonzero(mask), cells, None
    if len(rows):
        plain = with_nulls(cells, mask)
        with suppress(pa.ArrowInvalid):
            values = convert(plain)
    if values is None:
        parts: list[pa.Array] = []
        for start in range(0, len(cells), PIECE):
            _piece(plain.slice(start, PIECE), start, convert, read, kind, faults, parts)
        values = pa.concat_arrays(parts)
    return reread(cells, values, rows, read, faults)


def _piece(
    cells: pa.Array, start: int, convert: Convert, read: Read, kind: pa.DataType, faults: Faults, parts: list[pa.Array]
) -> None:
    """Cast a piece as a whole, or in smaller pieces, or cell by cell."""
    try:
        parts.append(convert(cells))
    except pa.ArrowInvalid:
        if len(cells) <= LEAF:
            parts.append(one_by_one(cells, read, kind, faults, start))
            return
        step = max(LEAF, -(-len(cells) // FAN))
        for first in range(0, len(cells), step):
            _piece(cells.slice(first, step), start + first, convert, read, kind, faults, parts)


def one_by_one(cells: pa.Array, read: Read, kind: pa.DataType, faults: Faults, start: int) -> pa.Array:
    """Read cell by cell; `start` is the number of the first one."""
    values = []
    for row, cell in enumerate(cells.to_pylist(), start):
        try:
            values.append(None if cell is None else read(cell))
        except ValueFault as fault:
            faults.add_one(row, fault)
            values.append(None)
    return pa.array(values, kind)


def reread(cells: pa.Array, values: pa.Array, rows: np.ndarray, read: Read, faults: Faults) -> pa.Array:
    """Read some cells again, the slow way, and put them into the values."""
    if not len(rows):
        return values
    found = Faults(len(rows))
    again = one_by_one(cells.take(pa.array(rows)), read, values.type, found, 0)
    for fault in found.list():
        faults.add(rows[fault.rows], fault.rule, fault.reason)
    mask = np.zeros(len(values), dtype=bool)
    mask[rows] = True
    return pc.replace_with_mask(values, pa.array(mask), again)


Suspects = Callable[[pa.Array, pa.Array], np.ndarray]
NONE = np.zeros(0, dtype=np.int64)


def trusted(cells: pa.Array, values: pa.Array) -> np.ndarray:
    """No cell is suspect."""
    return NONE
