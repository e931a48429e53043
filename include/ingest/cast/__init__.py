"""Turns the cells of a column into typed values, and says which cells do not fit and why.

The whole column goes through Arrow's own casts. Where one refuses, the cells whose bytes do not look like the type are
set aside; if it still does, the column is cut into smaller and smaller pieces until only a few cells are left. These,
and the cells whose cast Arrow takes too lightly, are read one by one by `sql_types`.

`text` prepares the cells, `numbers`, `moments`, `formats` and `binary` know the types, `pieces` does the cutting, and
`rules` checks what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from include.ingest.cast.faults import Fault, Faults
from include.ingest.cast.formats import by_formats
from include.ingest.cast.moments import as_date, as_time, as_timestamp, as_timestamptz, in_years, odd_moment
from include.ingest.cast.numbers import (
    as_boolean,
    as_float,
    as_integer,
    as_numeric,
    odd_number,
    plain_numbers,
    read_word,
)
from include.ingest.cast.pieces import Convert, Odd, Read, Suspects, in_pieces, one_by_one, reread
from include.ingest.cast.rules import check_required, check_rules
from include.ingest.cast.text import check_nul, decode, fill, nullify, trim
from include.ingest.cast.uuid_bytea import as_bytea, as_uuid
from include.ingest.dataset.sql_types import FLOATS, INTEGERS, JSONS, NUMBERS, TEXTS, read_value

if TYPE_CHECKING:
    from include.ingest.dataset.columns import Column


def cast_column(
    text: pa.Array, column: Column, nulls: Sequence[str] | pa.Array = ("",), encoding: str = "utf-8"
) -> tuple[pa.Array, list[Fault]]:
    """Cast one column's cells, given as bytes in UTF-8, to the column's type. What is null is missing in the file.

    A cell at fault is null in the result and stands in exactly one Fault: that of the first rule it breaks.
    `encoding` is the file's own and only named in the reason.
    """
    faults = Faults(len(text))
    if not len(text):
        return pa.array([], column.sql_type.arrow), []
    cells = decode(text, encoding, faults)
    if column.trim:
        cells = trim(cells)
    cells = nullify(cells, [mark.as_py() if isinstance(mark, pa.Scalar) else mark for mark in nulls])
    if column.default is not None:
        cells = fill(cells, column.default, faults)
    check_required(cells, column, faults)
    values = _typed(cells, column, faults)
    check_rules(values, column, faults)
    return faults.clear(values), faults.list()


def check_column(values: pa.Array, column: Column) -> list[Fault]:
    """The rules of `cast_column` alone, on values that have the column's type already."""
    faults = Faults(len(values))
    if not len(values):
        return []
    check_required(values, column, faults)
    if column.sql_type.kind in JSONS:
        one_by_one(values, lambda cell: read_value(cell, column.sql_type), values.type, faults, 0)
    elif column.sql_type.kind in TEXTS:
        check_nul(values, faults)
    elif column.sql_type.kind in ("date", "timestamp", "timestamptz"):
        faults.add(~in_years(values), "range", "outside the years 1 to 9999")
    check_rules(values, column, faults)
    return faults.list()


def _typed(cells: pa.Array, column: Column, faults: Faults) -> pa.Array:
    kind = column.sql_type.kind
    if kind in TEXTS:
        check_nul(cells, faults)
        return cells
    if kind in JSONS:
        return one_by_one(cells, _reader(column), pa.string(), faults, 0)
    if kind in NUMBERS:
        cells = plain_numbers(cells, column, faults)
    if column.formats:
        return by_formats(cells, column, faults)
    convert, suspects = _CONVERT[kind](column)
    values = in_pieces(cells, convert, _reader(column), column.sql_type.arrow, faults, _odd(column))
    return reread(cells, values, suspects(cells, values), _reader(column), faults)


def _reader(column: Column) -> Read:
    """How one cell of the column is read, the slow way."""
    if column.sql_type.kind == "boolean":
        return lambda cell: read_word(cell, column)
    return lambda cell: read_value(cell, column.sql_type, column.timezone)


def _odd(column: Column) -> Odd | None:
    find = _ODD.get(column.sql_type.kind)
    return None if find is None else lambda cells: find(cells, column)


_ODD: dict[str, Callable[[pa.Array, Column], np.ndarray]] = {
    **dict.fromkeys(NUMBERS, odd_number),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), odd_moment),
}
_CONVERT: dict[str, Callable[[Column], tuple[Convert, Suspects]]] = {
    **dict.fromkeys(INTEGERS, as_integer), "numeric": as_numeric, **dict.fromkeys(FLOATS, as_float),
    "boolean": as_boolean, "date": as_date, "time": as_time, "timestamp": as_timestamp,
    "timestamptz": as_timestamptz, "uuid": as_uuid, "bytea": as_bytea,
}  # fmt: skip
