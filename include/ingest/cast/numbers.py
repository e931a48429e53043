"""Integers, numeric, floats, and booleans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.cast.cells import all_bytes, byte_at, extents, holds_letter, or_false, where, with_nulls
from include.ingest.cast.faults import Faults
from include.ingest.cast.pieces import NONE, Convert, Suspects, trusted
from include.ingest.dataset.sql_types import (
    MAX_PRECISION,
    ValueFault,
)

if TYPE_CHECKING:
    from include.ingest.dataset.columns import Column


def odd_number(cells: pa.Array, column: Column) -> np.ndarray:
    """Cells with a strange byte or a second point, or longer than what certainly fits."""
    data = all_bytes(cells)
    ends = np.frombuffer(cells.buffers()[1], np.int32)[cells.offset : cells.offset + len(cells) + 1]
    ends = ends - ends[0]
    digits = column.sql_type.precision or {"smallint": 4, "integer": 9, "bigint": 18}.get(column.sql_type.kind, 300)
    mask: np.ndarray = np.diff(ends) > digits + 1
    points = data == ord(".")
    strange = np.flatnonzero(((data - np.uint8(ord("0"))) > 9) ^ points)
    owners = np.searchsorted(ends[1:], strange, "right")
    mask[owners[(data[strange] != ord("-")) | (ends[owners] != strange)]] = True
    if np.count_nonzero(points):
        mask |= np.add.reduceat(points.view(np.uint8), np.minimum(ends[:-1], len(data) - 1)) > 1
    return mask


def as_integer(column: Column) -> tuple[Convert, Suspects]:
    """Integers of the column's size."""
    return lambda cells: cells.cast(column.sql_type.arrow), _hexadecimal


def _hexadecimal(cells: pa.Array, values: pa.Array) -> np.ndarray:
    if not holds_letter(cells, "x"):
        return NONE
    return np.flatnonzero((byte_at(cells, 1) | 0x20) == ord("x"))


def as_numeric(column: Column) -> tuple[Convert, Suspects]:
    """Decimals, exactly."""
    scale = column.sql_type.scale or 0
    return lambda cells: cells.cast(column.sql_type.arrow), lambda cells, _: _overflowing(cells, scale)


def _overflowing(cells: pa.Array, scale: int) -> np.ndarray:
    """Cells whose digits, brought to the scale, may pass 38: Arrow wraps such numbers around without a word."""
    lengths = extents(cells)[1]
    suspect = lengths > MAX_PRECISION
    if lengths.max() > MAX_PRECISION - scale:
        points = pc.fill_null(pc.find_substring(cells, "."), 0).to_numpy()
        suspect |= np.where(points >= 0, points, lengths) > MAX_PRECISION - scale
    if holds_letter(cells, "e"):
        suspect |= or_false(pc.match_substring(cells, "e", ignore_case=True))
    return np.flatnonzero(suspect)


def as_float(column: Column) -> tuple[Convert, Suspects]:
    """Floating-point numbers."""
    return lambda cells: cells.cast(column.sql_type.arrow), _extreme_floats


def _extreme_floats(cells: pa.Array, values: pa.Array) -> np.ndarray:
    """Infinity may be an overflow, and zero an underflow."""
    floats = values.fill_null(1).to_numpy(zero_copy_only=False)
    suspect = ~np.isfinite(floats)
    zero = floats == 0
    if zero.any() and (holds_letter(cells, "e") or extents(cells)[1].max() > MAX_PRECISION):
        tiny = or_false(pc.match_substring(cells, "e", ignore_case=True))
        suspect |= zero & (tiny | (extents(cells)[1] > MAX_PRECISION))
    return np.flatnonzero(suspect)


def as_boolean(column: Column) -> tuple[Convert, Suspects]:
    """Booleans by the column's own words."""
    spelled = [_spellings(column.true_words), _spellings(column.false_words)]
    words = pa.array([*spelled[0], *spelled[1]], pa.string())

    def convert(cells: pa.Array) -> pa.Array:
        found = pc.index_in(cells, value_set=words)
        if found.null_count > cells.null_count:
            raise pa.ArrowInvalid("another spelling")
        return pc.less(found, len(spelled[0]))

    return convert, trusted


def _spellings(words: Sequence[str]) -> list[str]:
    return sorted({way for word in words for way in (word, word.lower(), word.upper(), word.title())})


def read_word(cell: str, column: Column) -> bool:
    """Read one cell by the column's words. Raises ValueFault when it is none of them."""
    for value, words in ((True, column.true_words), (False, column.false_words)):
        # Not by casefold: it takes other letters for these, as a ligature for "ff".
        if cell in _spellings(words) or cell.lower() in {word.lower() for word in words}:
            return value
    raise ValueFault("type", f"not one of {', '.join([*column.true_words, *column.false_words])}")


def plain_numbers(cells: pa.Array, column: Column, faults: Faults) -> pa.Array:
    """Numbers written with the column's own marks, as SQL writes them."""
    thousands, point = column.thousands_mark, column.decimal_mark
    if point == "," and thousands != ".":
        wrong = where(pc.match_substring(cells, "."))
        faults.add(wrong, "type", "holds a point, and the decimal mark is a comma")
    if thousands:
        grouped = rf"^[+-]?[0-9]{{1,3}}(?:\Q{thousands}\E[0-9]{{3}})+(?:\Q{point}\E[0-9]*)?$"
        wrong = where(
            pc.and_(pc.match_substring(cells, thousands), pc.invert(pc.match_substring_regex(cells, grouped)))
        )
        faults.add(wrong, "type", f"the mark {thousands!r} does not part groups of three digits")
        cells = pc.replace_substring(cells, thousands, "")
    cells = pc.replace_substring(cells, point, ".") if point != "." else cells
    return with_nulls(cells, faults.bad) if faults.bad.any() else cells
