"""Dates, times and timestamps in a column's own formats."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.cast.cells import extents, null_mask, or_false, scattered, with_mask, with_nulls
from include.ingest.cast.faults import Faults
from include.ingest.cast.moments import in_years, localised
from include.ingest.cast.pieces import in_pieces, reread
from include.ingest.dataset.sql_types import (
    ValueFault,
    in_utc,
    localise,
)

if TYPE_CHECKING:
    from include.ingest.dataset.columns import Column


STRPTIME = set("YymdHMSIpbBT%")  # directives that Arrow's strptime reads as Python's does


def by_formats(cells: pa.Array, column: Column, faults: Faults) -> pa.Array:
    """Read by the column's formats: what certainly fits the first one at once, the rest cell by cell."""
    moments = _moments(cells, column.formats[0])
    moments = with_mask(moments, ~in_years(moments))
    if column.sql_type.kind == "timestamptz":
        values, _ = localised(moments, column.timezone)
    else:
        values = moments.cast(column.sql_type.arrow, safe=False)
    left = np.flatnonzero(null_mask(values) & ~null_mask(cells))
    read = lru_cache(maxsize=None)(lambda cell: _strptime(cell, column))
    return reread(cells, values, left, read, faults)


_WIDTHS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "f": 6}
_PLACES = {"Y": 0, "m": 5, "d": 8, "H": 11, "M": 14, "S": 17, "f": 20}
_TEMPLATE = b"1900-01-01T00:00:00.000000"


def _moments(cells: pa.Array, form: str) -> pa.Array:
    """Local times of the cells that certainly have the format; null for the others, which may have it."""
    parts = [part for part in re.split("(%.|.)", form) if part]
    directives = [part[1] for part in parts if part[0] == "%"]
    if set(directives) <= set(_WIDTHS) and len(set(directives)) == len(directives) and form.isascii():
        return _fixed(cells, parts)
    if set(directives) <= STRPTIME:
        return _loose(cells, form)
    return pa.nulls(len(cells), pa.timestamp("us"))


def _fixed(cells: pa.Array, parts: Sequence[str]) -> pa.Array:
    """Cells of digits at fixed places, brought into ISO form for Arrow's strict parser."""
    width = sum(_WIDTHS[part[1]] if part[0] == "%" else 1 for part in parts)
    starts, lengths, data = extents(cells)
    rows = np.flatnonzero(lengths == width)
    if not len(rows):
        return pa.nulls(len(cells), pa.timestamp("us"))
    letters = data[starts[rows][:, None] + np.arange(width)]
    iso = np.tile(np.frombuffer(_TEMPLATE, np.uint8), (len(rows), 1))
    fits = np.ones(len(rows), dtype=bool)
    at = 0
    for part in parts:
        if part[0] == "%":
            size, place = _WIDTHS[part[1]], _PLACES[part[1]]
            iso[:, place : place + size] = letters[:, at : at + size]
            at += size
        else:
            fits &= letters[:, at] == ord(part)
            at += 1
    ends = pa.py_buffer(np.arange(len(rows) + 1, dtype=np.int32) * len(_TEMPLATE))
    text = pa.Array.from_buffers(pa.string(), len(rows), [None, ends, pa.py_buffer(iso.tobytes())])
    kind = pa.timestamp("us")
    found = in_pieces(with_nulls(text, ~fits), lambda piece: piece.cast(kind), _moment, kind, Faults(0))
    return found if len(rows) == len(cells) else scattered(found, rows, len(cells))


def _moment(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def _loose(cells: pa.Array, form: str) -> pa.Array:
    """By Arrow's strptime, which turns 31 February into 3 March and :60 into the next minute: those stay null."""
    found = pc.strptime(cells, format=form, unit="us", error_is_null=True)
    doubtful = or_false(pc.less_equal(pc.day(found), 3)) & ("%d" in form)
    doubtful |= or_false(pc.less_equal(pc.second(found), 1)) & ("%S" in form or "%T" in form)
    doubtful |= or_false(pc.less(pc.year(found), 1000))
    doubtful |= or_false(pc.greater(pc.count_substring_regex(cells, r"\s"), len(re.findall(r"\s", form))))
    return with_mask(found, doubtful)


def _strptime(cell: str, column: Column) -> Any:
    """Read one cell by the first format that fits. Raises ValueFault when none does."""
    for form in column.formats:
        try:
            moment = datetime.strptime(cell, form)
        except ValueError:
            continue
        if column.sql_type.kind == "timestamptz":
            return in_utc(moment) if moment.tzinfo else localise(moment, column.timezone)
        return {"date": moment.date(), "time": moment.time()}.get(column.sql_type.kind, moment)
    raise ValueFault("type", f"not a {column.sql_type.kind} of the form {' or '.join(column.formats)}")
