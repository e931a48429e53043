"""Turns the cells of a column into typed values, and says which cells do not fit and why.

The whole column goes through Arrow's own casts. Where one refuses, the cells whose bytes do not look like the type are
set aside; if it still does, the column is cut into smaller and smaller pieces until only a few cells are left. These,
and the cells whose cast Arrow takes too lightly, are read one by one by `sqltypes`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.sqltypes import (
    FIRST_MOMENT,
    FLOATS,
    INTEGERS,
    JSONS,
    LAST_MOMENT,
    MAX_PRECISION,
    NUMBERS,
    TEXTS,
    ValueFault,
    in_utc,
    localise,
    read_value,
)

if TYPE_CHECKING:
    from include.ingest.dataset import Column

PIECE = 4096  # cells cast at a time
FAN = 4  # a piece that does not cast is cut into so many
LEAF = 16  # a piece this small is read cell by cell
DAY_US = 86_400_000_000
STRPTIME = set("YymdHMSIpbBT%")  # directives that Arrow's strptime reads as Python's does

Read = Callable[[Any], Any]
Convert = Callable[[pa.Array], pa.Array]
Odd = Callable[[pa.Array], np.ndarray]  # a mask of the cells that may not cast


@dataclass(frozen=True)
class Fault:
    """Cells that break one rule: their numbers in the column (int64), the rule's short word, and the reason."""

    rows: np.ndarray
    rule: str
    reason: str


def cast_column(
    text: pa.Array, column: Column, nulls: Sequence[str] | pa.Array = ("",), encoding: str = "utf-8"
) -> tuple[pa.Array, list[Fault]]:
    """Cast one column's cells, given as bytes in UTF-8 without nulls, to the column's type.

    A cell at fault is null in the result and stands in exactly one Fault: that of the first rule it breaks.
    `encoding` is the file's own and only named in the reason.
    """
    faults = _Faults(len(text))
    if not len(text):
        return pa.array([], column.sql_type.arrow), []
    cells = _decode(text, encoding, faults)
    if column.trim:
        cells = _trim(cells)
    cells = _nullify(cells, [mark.as_py() if isinstance(mark, pa.Scalar) else mark for mark in nulls])
    if column.default is not None:
        cells = _fill(cells, column.default, faults)
    _check_required(cells, column, faults)
    values = _typed(cells, column, faults)
    _check_rules(values, column, faults)
    return faults.clear(values), faults.list()


def check_column(values: pa.Array, column: Column) -> list[Fault]:
    """The rules of `cast_column` alone, on values that have the column's type already."""
    faults = _Faults(len(values))
    if not len(values):
        return []
    _check_required(values, column, faults)
    if column.sql_type.kind in JSONS:
        _slowly(values, lambda cell: read_value(cell, column.sql_type), values.type, faults, 0)
    elif column.sql_type.kind in TEXTS:
        _check_nul(values, faults)
    elif column.sql_type.kind in ("date", "timestamp", "timestamptz"):
        faults.add(~_in_years(values), "range", "outside the years 1 to 9999")
    _check_rules(values, column, faults)
    return faults.list()


class _Faults:
    """Collects faults; a cell that is at fault already is not added again."""

    def __init__(self, size: int) -> None:
        self.bad = np.zeros(size, dtype=bool)
        self._found: dict[tuple[str, str], list[np.ndarray]] = {}

    def add(self, where: np.ndarray, rule: str, reason: str) -> None:
        """Add the cells of a mask or of a list of numbers."""
        rows = np.flatnonzero(where) if where.dtype == bool else where
        rows = rows[~self.bad[rows]]
        if len(rows):
            self.bad[rows] = True
            self._found.setdefault((rule, reason), []).append(rows.astype(np.int64))

    def add_one(self, row: int, fault: ValueFault) -> None:
        self.add(np.array([row]), fault.rule, fault.reason)

    def list(self) -> list[Fault]:
        return [Fault(np.concatenate(rows), rule, reason) for (rule, reason), rows in self._found.items()]

    def clear(self, values: pa.Array) -> pa.Array:
        """The values with null where a cell is at fault."""
        if not self.bad.any():
            return values
        return pc.if_else(pa.array(self.bad), pa.scalar(None, values.type), values)


# The text of the cells


def _bounds(cells: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start and length of each cell in the buffer, and the buffer. Cells that are null have length 0."""
    _, offsets, data = cells.buffers()
    ends = np.frombuffer(offsets, np.int32)[cells.offset : cells.offset + len(cells) + 1]
    lengths = np.diff(ends)
    if cells.null_count:
        lengths = np.where(_null_mask(cells), 0, lengths)
    return ends[:-1], lengths, np.frombuffer(data, np.uint8) if data else np.zeros(1, np.uint8)


def _bytes(cells: pa.Array) -> np.ndarray:
    """All bytes of the cells, one after the other."""
    _, offsets, data = cells.buffers()
    ends = np.frombuffer(offsets, np.int32)
    return np.frombuffer(data or b"", np.uint8)[ends[cells.offset] : ends[cells.offset + len(cells)]]


def _null_mask(array: pa.Array) -> np.ndarray:
    if not array.null_count:
        return np.zeros(len(array), dtype=bool)
    return array.is_null().to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _with_nulls(cells: pa.Array, mask: np.ndarray) -> pa.Array:
    """The same cells with more nulls; no text is copied."""
    valid = np.ones(cells.offset + len(cells), dtype=bool)
    valid[cells.offset :] = ~(mask | _null_mask(cells))
    bits = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(cells.type, len(cells), [bits, *cells.buffers()[1:]], offset=cells.offset)


def _byte_at(cells: pa.Array, position: int) -> np.ndarray:
    """The byte at a position of each cell, from the end if negative; 0 where the cell is too short."""
    starts, lengths, data = _bounds(cells)
    size = int(lengths[0]) if len(lengths) else 0
    if size > max(position, -position - 1) and lengths.min() == lengths.max() and not cells.null_count:
        first = int(starts[0]) + position % size
        return data[first : first + (len(cells) - 1) * size + 1 : size]
    inside = lengths > position if position >= 0 else lengths >= -position
    at = starts + (position if position >= 0 else lengths + position)
    return np.where(inside, data[np.clip(at, 0, len(data) - 1)], 0)


def _decode(text: pa.Array, encoding: str, faults: _Faults) -> pa.Array:
    data = _bytes(text)
    as_text = pa.Array.from_buffers(pa.string(), len(text), text.buffers(), offset=text.offset)
    if not len(data) or data.max() < 0x80:
        return as_text
    try:
        return text.cast(pa.string())
    except pa.ArrowInvalid:
        _slow_decode(text, encoding, faults)
    return _with_nulls(as_text, faults.bad)


def _slow_decode(text: pa.Array, encoding: str, faults: _Faults) -> None:
    fault = ValueFault("encoding", f"bytes that are not {encoding}")

    def read(cell: bytes) -> None:
        try:
            cell.decode()
        except UnicodeDecodeError:
            raise fault from None

    _pieces(text, lambda cells: pa.nulls(len(cells.cast(pa.string())), pa.string()), read, pa.string(), faults)


def _trim(cells: pa.Array) -> pa.Array:
    for edge in (_byte_at(cells, 0), _byte_at(cells, -1)):
        if edge.max() >= 0x80 or ((edge <= 0x20) & (edge > 0)).any():
            return pc.utf8_trim_whitespace(cells)
    return cells


def _nullify(cells: pa.Array, nulls: Sequence[str]) -> pa.Array:
    """Make the cells that are a null marker null."""
    starts, lengths, data = _bounds(cells)
    found = np.zeros(len(cells), dtype=bool)
    for mark in {mark.encode() for mark in nulls}:
        rows = np.flatnonzero(lengths == len(mark))
        for position, byte in enumerate(mark):
            rows = rows[data[starts[rows] + position] == byte]
        found[rows] = True
    return _with_nulls(cells, found) if found.any() else cells


def _fill(cells: pa.Array, default: str, faults: _Faults) -> pa.Array:
    missing = _null_mask(cells) & ~faults.bad
    return pc.if_else(pa.array(missing), pa.scalar(default, pa.string()), cells) if missing.any() else cells


def _check_required(values: pa.Array, column: Column, faults: _Faults) -> None:
    if not column.nullable and values.null_count:
        faults.add(_null_mask(values), "required", "no value, and the column is not nullable")


def _check_nul(cells: pa.Array, faults: _Faults) -> None:
    data = _bytes(cells)
    if len(data) and data.min() == 0:
        found = _or_false(pc.match_substring(cells, "\0"))
        faults.add(found, "nul", "holds a NUL character, which PostgreSQL cannot store")


# The types


def _typed(cells: pa.Array, column: Column, faults: _Faults) -> pa.Array:
    kind = column.sql_type.kind
    if kind in TEXTS:
        _check_nul(cells, faults)
        return cells
    if kind in JSONS:
        return _slowly(cells, _reader(column), pa.string(), faults, 0)
    if kind in NUMBERS:
        cells = _plain_numbers(cells, column, faults)
    if column.formats:
        return _by_formats(cells, column, faults)
    convert, suspects = _CONVERT[kind](column)
    values = _pieces(cells, convert, _reader(column), column.sql_type.arrow, faults, _odd(column))
    return _reread(cells, values, suspects(cells, values), _reader(column), faults)


def _reader(column: Column) -> Read:
    """How one cell of the column is read, the slow way."""
    if column.sql_type.kind == "boolean":
        return lambda cell: _word(cell, column)
    return lambda cell: read_value(cell, column.sql_type, column.timezone)


def _pieces(
    cells: pa.Array, convert: Convert, read: Read, kind: pa.DataType, faults: _Faults, odd: Odd | None = None
) -> pa.Array:
    """Cast a column as a whole, or without its odd cells, or in pieces."""
    with suppress(pa.ArrowInvalid):
        return convert(cells)
    mask = np.zeros(len(cells), dtype=bool) if odd is None else odd(cells)
    if np.count_nonzero(mask) > len(cells) // LEAF:
        mask[:] = False  # most cells are odd: the column is written otherwise than expected
    rows, plain, values = np.flatnonzero(mask), cells, None
    if len(rows):
        plain = _with_nulls(cells, mask)
        with suppress(pa.ArrowInvalid):
            values = convert(plain)
    if values is None:
        parts: list[pa.Array] = []
        for start in range(0, len(cells), PIECE):
            _piece(plain.slice(start, PIECE), start, convert, read, kind, faults, parts)
        values = pa.concat_arrays(parts)
    return _reread(cells, values, rows, read, faults)


def _piece(
    cells: pa.Array, start: int, convert: Convert, read: Read, kind: pa.DataType, faults: _Faults, parts: list[pa.Array]
) -> None:
    """Cast a piece as a whole, or in smaller pieces, or cell by cell."""
    try:
        parts.append(convert(cells))
    except pa.ArrowInvalid:
        if len(cells) <= LEAF:
            parts.append(_slowly(cells, read, kind, faults, start))
            return
        step = max(LEAF, -(-len(cells) // FAN))
        for first in range(0, len(cells), step):
            _piece(cells.slice(first, step), start + first, convert, read, kind, faults, parts)


def _slowly(cells: pa.Array, read: Read, kind: pa.DataType, faults: _Faults, start: int) -> pa.Array:
    """Read cell by cell; `start` is the number of the first one."""
    values = []
    for row, cell in enumerate(cells.to_pylist(), start):
        try:
            values.append(None if cell is None else read(cell))
        except ValueFault as fault:
            faults.add_one(row, fault)
            values.append(None)
    return pa.array(values, kind)


def _reread(cells: pa.Array, values: pa.Array, rows: np.ndarray, read: Read, faults: _Faults) -> pa.Array:
    """Read some cells again, the slow way, and put them into the values."""
    if not len(rows):
        return values
    found = _Faults(len(rows))
    again = _slowly(cells.take(pa.array(rows)), read, values.type, found, 0)
    for fault in found.list():
        faults.add(rows[fault.rows], fault.rule, fault.reason)
    mask = np.zeros(len(values), dtype=bool)
    mask[rows] = True
    return pc.replace_with_mask(values, pa.array(mask), again)


# Odd cells may not cast. Naming one too many, or one too few, costs time and changes nothing.


def _odd_number(cells: pa.Array, column: Column) -> np.ndarray:
    """Cells with a strange byte or a second point, or longer than what certainly fits."""
    data = _bytes(cells)
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


def _odd_moment(cells: pa.Array, column: Column) -> np.ndarray:
    """Cells of another length than the first, or with a letter for a digit, or a date or time that is not."""
    _, lengths, _ = _bounds(cells)
    width = int(lengths[np.argmax(lengths > 0)])
    mask: np.ndarray = lengths != width
    if width < len("2026-02-28") or cells.null_count:
        return mask
    letters = _bytes(cells)
    letters = letters[np.repeat(~mask, lengths)] if mask.any() else letters
    digits = np.ascontiguousarray((letters.reshape(-1, width)[:, :19] - np.uint8(ord("0"))).T)
    places = [place for place in (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18) if place < len(digits)]
    wrong = digits[places].max(axis=0) > 9
    month, day = (digits[place] * 10 + digits[place + 1] for place in (5, 8))
    wrong |= (day < 1) | (day > np.take(_MONTH_DAYS, month, mode="clip"))
    for place, limit in ((11, 23), (14, 59), (17, 59)):
        if place + 1 < len(digits):
            wrong |= digits[place] * 10 + digits[place + 1] > limit
    mask[~mask] = wrong
    return mask


_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0], np.uint8)


def _odd(column: Column) -> Odd | None:
    find = _ODD.get(column.sql_type.kind)
    return None if find is None else lambda cells: find(cells, column)


_ODD: dict[str, Callable[[pa.Array, Column], np.ndarray]] = {
    **dict.fromkeys(NUMBERS, _odd_number),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), _odd_moment),
}


Suspects = Callable[[pa.Array, pa.Array], np.ndarray]
_NONE = np.zeros(0, dtype=np.int64)


def _trusted(cells: pa.Array, values: pa.Array) -> np.ndarray:
    return _NONE


def _as_integer(column: Column) -> tuple[Convert, Suspects]:
    return lambda cells: cells.cast(column.sql_type.arrow), _hexadecimal


def _hexadecimal(cells: pa.Array, values: pa.Array) -> np.ndarray:
    if not _holds_letter(cells, "x"):
        return _NONE
    return np.flatnonzero((_byte_at(cells, 1) | 0x20) == ord("x"))


def _holds_letter(cells: pa.Array, letter: str) -> bool:
    """Whether any cell may hold a letter, small or capital."""
    return bool(((_bytes(cells) | 0x20) == ord(letter)).any())


def _where(mask: pa.Array) -> np.ndarray:
    return np.flatnonzero(_or_false(mask))


def _as_numeric(column: Column) -> tuple[Convert, Suspects]:
    scale = column.sql_type.scale or 0
    return lambda cells: cells.cast(column.sql_type.arrow), lambda cells, _: _overflowing(cells, scale)


def _overflowing(cells: pa.Array, scale: int) -> np.ndarray:
    """Cells whose digits, brought to the scale, may pass 38: Arrow wraps such numbers around without a word."""
    lengths = _bounds(cells)[1]
    suspect = lengths > MAX_PRECISION
    if lengths.max() > MAX_PRECISION - scale:
        points = pc.fill_null(pc.find_substring(cells, "."), 0).to_numpy()
        suspect |= np.where(points >= 0, points, lengths) > MAX_PRECISION - scale
    if _holds_letter(cells, "e"):
        suspect |= _or_false(pc.match_substring(cells, "e", ignore_case=True))
    return np.flatnonzero(suspect)


def _as_float(column: Column) -> tuple[Convert, Suspects]:
    return lambda cells: cells.cast(column.sql_type.arrow), _extreme_floats


def _extreme_floats(cells: pa.Array, values: pa.Array) -> np.ndarray:
    """Infinity may be an overflow, and zero an underflow."""
    floats = values.fill_null(1).to_numpy(zero_copy_only=False)
    suspect = ~np.isfinite(floats)
    zero = floats == 0
    if zero.any() and (_holds_letter(cells, "e") or _bounds(cells)[1].max() > MAX_PRECISION):
        tiny = _or_false(pc.match_substring(cells, "e", ignore_case=True))
        suspect |= zero & (tiny | (_bounds(cells)[1] > MAX_PRECISION))
    return np.flatnonzero(suspect)


def _as_boolean(column: Column) -> tuple[Convert, Suspects]:
    spelled = [_spellings(column.true_words), _spellings(column.false_words)]
    words = pa.array([*spelled[0], *spelled[1]], pa.string())

    def convert(cells: pa.Array) -> pa.Array:
        found = pc.index_in(cells, value_set=words)
        if found.null_count > cells.null_count:
            raise pa.ArrowInvalid("another spelling")
        return pc.less(found, len(spelled[0]))

    return convert, _trusted


def _spellings(words: Sequence[str]) -> list[str]:
    return sorted({way for word in words for way in (word, word.lower(), word.upper(), word.title())})


def _word(cell: str, column: Column) -> bool:
    word = cell.casefold()
    if word in {known.casefold() for known in column.true_words}:
        return True
    if word in {known.casefold() for known in column.false_words}:
        return False
    raise ValueFault("type", f"not one of {', '.join([*column.true_words, *column.false_words])}")


def _as_date(column: Column) -> tuple[Convert, Suspects]:
    return lambda cells: cells.cast(pa.date32()), _outside_years


def _outside_years(cells: pa.Array, values: pa.Array) -> np.ndarray:
    return np.flatnonzero(~_in_years(values))


def _in_years(values: pa.Array) -> np.ndarray:
    """Which values are in the years 1 to 9999; nulls count as such."""
    if pa.types.is_date(values.type):
        numbers = values.view(pa.int32())
        low, high = (moment.toordinal() - date(1970, 1, 1).toordinal() for moment in (FIRST_MOMENT, LAST_MOMENT))
    else:
        numbers = values.view(pa.int64())
        low, high = (pa.scalar(moment, pa.timestamp("us", "UTC")).value for moment in (FIRST_MOMENT, LAST_MOMENT))
    extremes = pc.min_max(numbers).as_py()
    if extremes["min"] is None or (extremes["min"] >= low and extremes["max"] <= high):
        return np.ones(len(values), dtype=bool)
    plain = numbers.fill_null(0).to_numpy(zero_copy_only=False)
    return (plain >= low) & (plain <= high)  # type: ignore[no-any-return]


def _as_time(column: Column) -> tuple[Convert, Suspects]:
    def convert(cells: pa.Array) -> pa.Array:
        moments = pc.binary_join_element_wise(pa.scalar("1970-01-01T"), cells, pa.scalar(""))
        return moments.cast(pa.timestamp("us")).cast(pa.time64("us"))

    return convert, lambda cells, values: _no_minutes(cells, 2)


def _no_minutes(cells: pa.Array, colon: int) -> np.ndarray:
    """Cells with an hour and no minutes, which Arrow accepts and PostgreSQL does not."""
    lengths = _bounds(cells)[1]
    return np.flatnonzero((lengths >= colon) & (lengths != 10) & (_byte_at(cells, colon) != ord(":")))


def _as_timestamp(column: Column) -> tuple[Convert, Suspects]:
    def suspects(cells: pa.Array, values: pa.Array) -> np.ndarray:
        return np.union1d(_no_minutes(cells, 13), _outside_years(cells, values))

    return lambda cells: cells.cast(pa.timestamp("us")), suspects


def _as_timestamptz(column: Column) -> tuple[Convert, Suspects]:
    def zoned(cells: pa.Array) -> pa.Array:
        return cells.cast(pa.timestamp("us", "UTC"))

    def local(cells: pa.Array) -> pa.Array:
        values, unsteady = _localised(cells.cast(pa.timestamp("us")), column.timezone)
        if unsteady.any():
            raise pa.ArrowInvalid("near a change of the clock")
        return values

    def convert(cells: pa.Array) -> pa.Array:
        """As the first cell is written: a cast in the other form would fail at every single cell, which is slow."""
        first = pc.first(cells).as_py()
        return zoned(cells) if first is None or re.search("[Zz]$|[+-][0-9:]+$|UTC$", first[10:]) else local(cells)

    def suspects(cells: pa.Array, values: pa.Array) -> np.ndarray:
        rows = np.union1d(_no_minutes(cells, 13), _outside_years(cells, values))
        return np.union1d(rows, _wide_offsets(cells))

    return convert, suspects


def _wide_offsets(cells: pa.Array) -> np.ndarray:
    """Cells with an offset of 16 hours or more, which PostgreSQL does not accept."""
    rows = np.flatnonzero((_byte_at(cells, -1) != ord("Z")) & (_bounds(cells)[1] > 13))
    if not len(rows):
        return rows
    cells = cells.take(pa.array(rows))
    wide = np.zeros(len(rows), dtype=bool)
    for position in (-6, -5, -3):  # +HH:MM, +HHMM, +HH
        signed = np.isin(_byte_at(cells, position), (ord("+"), ord("-")))
        hours = _byte_at(cells, position + 1).astype(int) * 10 + _byte_at(cells, position + 2) - 11 * ord("0")
        wide |= signed & (hours >= 16)
    return rows[wide]


def _localised(values: pa.Array, zone: str) -> tuple[pa.Array, np.ndarray]:
    """The instants of local times, and a mask of those that stand near a change of the clock and are not settled."""
    missing = _null_mask(values)
    local = values.fill_null(0).cast(pa.int64()).to_numpy()
    unsteady = np.zeros(len(values), dtype=bool)
    if zone != "UTC":
        days, which = np.unique(local // DAY_US, return_inverse=True)
        offsets = np.array([_day_offset(day, zone) for day in days.tolist()], dtype=np.int64)[which]
        unsteady = (offsets == _UNSTEADY) & ~missing
        local = local - offsets
    instants = pa.array(local, pa.int64(), mask=missing | unsteady)
    return instants.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC")), unsteady


_UNSTEADY = np.iinfo(np.int64).min


@lru_cache(maxsize=100_000)
def _day_offset(day: int, zone: str) -> int:
    """The zone's offset on a day (since 1970) in microseconds, or _UNSTEADY when it changes near that day."""
    ordinal = date(1970, 1, 1).toordinal() + day
    if not 2 <= ordinal < date(9999, 12, 30).toordinal():
        return int(_UNSTEADY)
    try:
        offsets = set()
        for hours in range(0, 25, 6):
            local = datetime.fromordinal(ordinal) + timedelta(hours=hours)
            offsets.add(local.replace(tzinfo=UTC) - localise(local, zone))
    except ValueFault:
        return int(_UNSTEADY)
    return round(offsets.pop().total_seconds() * 1e6) if len(offsets) == 1 else int(_UNSTEADY)


_HEX = np.full(256, 255, np.uint8)
for _digit in range(16):
    _HEX[[ord(f"{_digit:x}"), ord(f"{_digit:X}")]] = _digit


def _as_uuid(column: Column) -> tuple[Convert, Suspects]:
    return _uuids, _trusted


def _uuids(cells: pa.Array) -> pa.Array:
    """All cells as uuids of one form, with or without hyphens."""
    _, lengths, _ = _bounds(cells)
    size = int(lengths.max())
    if size not in (32, 36) or cells.null_count or (lengths != size).any():
        raise pa.ArrowInvalid("uuids of several forms")
    letters = _bytes(cells).reshape(-1, size)
    if size == 36:
        if (letters[:, (8, 13, 18, 23)] != ord("-")).any():
            raise pa.ArrowInvalid("not a uuid")
        letters = np.delete(letters, (8, 13, 18, 23), axis=1)
    digits = _HEX[letters]
    if digits.max() > 15:
        raise pa.ArrowInvalid("not a uuid")
    data = (digits[:, ::2] << 4) | digits[:, 1::2]
    return pa.Array.from_buffers(pa.binary(16), len(cells), [None, pa.py_buffer(data.tobytes())])


def _as_bytea(column: Column) -> tuple[Convert, Suspects]:
    return _byteas, _trusted


def _byteas(cells: pa.Array) -> pa.Array:
    r"""All cells as bytes of the form \x0a1b."""
    _, lengths, _ = _bounds(cells)
    if cells.null_count or (lengths % 2).any() or not _starts_with(cells, b"\\x"):
        raise pa.ArrowInvalid("not all of them are bytes")
    ends = np.append(0, np.cumsum(lengths))
    keep = np.ones(ends[-1], dtype=bool)
    keep[ends[:-1]] = keep[ends[:-1] + 1] = False
    digits = _HEX[_bytes(cells)[keep]]
    if len(digits) and digits.max() > 15:
        raise pa.ArrowInvalid("not all of them are bytes")
    data = (digits[::2] << 4) | digits[1::2]
    offsets = pa.py_buffer(((ends - 2 * np.arange(len(ends))) // 2).astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(cells), [None, offsets, pa.py_buffer(data.tobytes())])


def _starts_with(cells: pa.Array, start: bytes) -> bool:
    return all((_byte_at(cells, position) == byte).all() for position, byte in enumerate(start))


_CONVERT: dict[str, Callable[[Column], tuple[Convert, Suspects]]] = {
    **dict.fromkeys(INTEGERS, _as_integer), "numeric": _as_numeric, **dict.fromkeys(FLOATS, _as_float),
    "boolean": _as_boolean, "date": _as_date, "time": _as_time, "timestamp": _as_timestamp,
    "timestamptz": _as_timestamptz, "uuid": _as_uuid, "bytea": _as_bytea,
}  # fmt: skip


# Marks and formats


def _plain_numbers(cells: pa.Array, column: Column, faults: _Faults) -> pa.Array:
    """Numbers written with the column's own marks, as SQL writes them."""
    thousands, point = column.thousands_mark, column.decimal_mark
    if point == "," and thousands != ".":
        wrong = _where(pc.match_substring(cells, "."))
        faults.add(wrong, "type", "holds a point, and the decimal mark is a comma")
    if thousands:
        grouped = rf"^[+-]?[0-9]{{1,3}}(?:\Q{thousands}\E[0-9]{{3}})+(?:\Q{point}\E[0-9]*)?$"
        wrong = _where(
            pc.and_(pc.match_substring(cells, thousands), pc.invert(pc.match_substring_regex(cells, grouped)))
        )
        faults.add(wrong, "type", f"the mark {thousands!r} does not part groups of three digits")
        cells = pc.replace_substring(cells, thousands, "")
    cells = pc.replace_substring(cells, point, ".") if point != "." else cells
    return _with_nulls(cells, faults.bad) if faults.bad.any() else cells


def _by_formats(cells: pa.Array, column: Column, faults: _Faults) -> pa.Array:
    """Read by the column's formats: what certainly fits the first one at once, the rest cell by cell."""
    moments = _moments(cells, column.formats[0])
    moments = _with_mask(moments, ~_in_years(moments))
    if column.sql_type.kind == "timestamptz":
        values, _ = _localised(moments, column.timezone)
    else:
        values = moments.cast(column.sql_type.arrow, safe=False)
    left = np.flatnonzero(_null_mask(values) & ~_null_mask(cells))
    read = lru_cache(maxsize=None)(lambda cell: _strptime(cell, column))
    return _reread(cells, values, left, read, faults)


def _with_mask(values: pa.Array, mask: np.ndarray) -> pa.Array:
    return pc.if_else(pa.array(mask), pa.scalar(None, values.type), values) if mask.any() else values


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
    starts, lengths, data = _bounds(cells)
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
    found = _pieces(_with_nulls(text, ~fits), lambda piece: piece.cast(kind), _moment, kind, _Faults(0))
    return found if len(rows) == len(cells) else _scattered(found, rows, len(cells))


def _moment(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def _scattered(values: pa.Array, rows: np.ndarray, size: int) -> pa.Array:
    at = np.zeros(size, dtype=np.int64)
    mask = np.ones(size, dtype=bool)
    at[rows], mask[rows] = np.arange(len(rows)), False
    return values.take(pa.array(at, mask=mask))


def _loose(cells: pa.Array, form: str) -> pa.Array:
    """By Arrow's strptime, which turns 31 February into 3 March and :60 into the next minute: those stay null."""
    found = pc.strptime(cells, format=form, unit="us", error_is_null=True)
    doubtful = _or_false(pc.less_equal(pc.day(found), 3)) & ("%d" in form)
    doubtful |= _or_false(pc.less_equal(pc.second(found), 1)) & ("%S" in form or "%T" in form)
    doubtful |= _or_false(pc.less(pc.year(found), 1000))
    doubtful |= _or_false(pc.greater(pc.count_substring_regex(cells, r"\s"), len(re.findall(r"\s", form))))
    return _with_mask(found, doubtful)


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


# The rules


def _check_rules(values: pa.Array, column: Column, faults: _Faults) -> None:
    for rule, bound in column.bounds.items():
        _check_bound(values, rule, bound, faults)
    _check_length(values, column, faults)
    if column.pattern is not None:
        faults.add(_mismatches(values, column.pattern), "pattern", f"does not match {column.pattern}")
    if column.allowed_values is not None:
        known = pc.is_in(values, value_set=column.allowed_values).to_numpy(zero_copy_only=False)
        words = ", ".join(map(str, column.allowed or []))
        faults.add(~known & ~_null_mask(values), "allowed", f"not one of {words}")


def _mismatches(values: pa.Array, pattern: str) -> np.ndarray:
    """Which values the pattern does not match as a whole; where few texts come again and again, each is tried once."""
    whole = rf"\A(?:{pattern})\z"
    sample = values.slice(0, 1024)
    if len(values) > len(sample) and len(sample.unique()) < 64:
        texts = values.unique()
        wrong = texts.filter(pc.invert(pc.match_substring_regex(texts, whole)))
        known = pc.is_in(values, value_set=wrong) if len(wrong) else None
        return np.zeros(len(values), dtype=bool) if known is None else _or_false(known)
    return _or_false(pc.invert(pc.match_substring_regex(values, whole)))


def _check_bound(values: pa.Array, rule: str, bound: pa.Scalar, faults: _Faults) -> None:
    beyond, word = (pc.less, "less") if rule == "min" else (pc.greater, "more")
    floats = pa.types.is_floating(values.type)
    if not floats:
        extreme = pc.min_max(values)[rule]
        if not extreme.is_valid or not beyond(extreme, bound).as_py():
            return
    wrong = _or_false(beyond(values, bound))
    if floats:
        wrong |= _or_false(pc.is_nan(values))
    faults.add(wrong, rule, f"{word} than {bound}")


def _check_length(values: pa.Array, column: Column, faults: _Faults) -> None:
    limits = [limit for limit in (column.sql_type.length, column.max_length) if limit is not None]
    if not limits and column.min_length is None:
        return
    unit = "bytes" if column.sql_type.kind == "bytea" else "characters"
    if column.min_length is None and _bounds(values)[1].max() <= min(limits):
        return  # no text has more characters than bytes
    lengths = pc.binary_length(values) if unit == "bytes" else pc.utf8_length(values)
    if limits:
        faults.add(_or_false(pc.greater(lengths, min(limits))), "length", f"longer than {min(limits)} {unit}")
    if column.min_length is not None:
        short = _or_false(pc.less(lengths, column.min_length))
        faults.add(short, "length", f"shorter than {column.min_length} {unit}")


def _or_false(mask: pa.Array) -> np.ndarray:
    """A mask with false for null."""
    return pc.fill_null(mask, False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
