"""Dates, times and timestamps in ISO form."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.cast.cells import all_bytes, byte_at, extents, null_mask
from include.ingest.cast.pieces import Convert, Suspects
from include.ingest.dataset.sql_types import (
    FIRST_MOMENT,
    LAST_MOMENT,
    ValueFault,
    localise,
)

if TYPE_CHECKING:
    from include.ingest.dataset.columns import Column


DAY_US = 86_400_000_000


def odd_moment(cells: pa.Array, column: Column) -> np.ndarray:
    """Cells of another length than the first, or with a letter for a digit, or a date or time that is not."""
    _, lengths, _ = extents(cells)
    width = int(lengths[np.argmax(lengths > 0)])
    mask: np.ndarray = lengths != width
    if width < len("2026-02-28") or cells.null_count:
        return mask
    letters = all_bytes(cells)
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


def as_date(column: Column) -> tuple[Convert, Suspects]:
    """Dates."""
    return lambda cells: cells.cast(pa.date32()), _outside_years


def _outside_years(cells: pa.Array, values: pa.Array) -> np.ndarray:
    return np.flatnonzero(~in_years(values))


def in_years(values: pa.Array) -> np.ndarray:
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


def as_time(column: Column) -> tuple[Convert, Suspects]:
    """Times of day."""

    def convert(cells: pa.Array) -> pa.Array:
        moments = pc.binary_join_element_wise(pa.scalar("1970-01-01T"), cells, pa.scalar(""))
        return moments.cast(pa.timestamp("us")).cast(pa.time64("us"))

    return convert, lambda cells, values: _no_minutes(cells, 2)


def _no_minutes(cells: pa.Array, colon: int) -> np.ndarray:
    """Cells with an hour and no minutes, which Arrow accepts and PostgreSQL does not."""
    lengths = extents(cells)[1]
    return np.flatnonzero((lengths >= colon) & (lengths != 10) & (byte_at(cells, colon) != ord(":")))


def as_timestamp(column: Column) -> tuple[Convert, Suspects]:
    """Timestamps without a zone."""

    def suspects(cells: pa.Array, values: pa.Array) -> np.ndarray:
        return np.union1d(_no_minutes(cells, 13), _outside_years(cells, values))

    return lambda cells: cells.cast(pa.timestamp("us")), suspects


def as_timestamptz(column: Column) -> tuple[Convert, Suspects]:
    """Instants; a cell without an offset is in the column's zone."""

    def zoned(cells: pa.Array) -> pa.Array:
        return cells.cast(pa.timestamp("us", "UTC"))

    def local(cells: pa.Array) -> pa.Array:
        values, unsteady = localised(cells.cast(pa.timestamp("us")), column.timezone)
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
    rows = np.flatnonzero((byte_at(cells, -1) != ord("Z")) & (extents(cells)[1] > 13))
    if not len(rows):
        return rows
    cells = cells.take(pa.array(rows))
    wide = np.zeros(len(rows), dtype=bool)
    for position in (-6, -5, -3):  # +HH:MM, +HHMM, +HH
        signed = np.isin(byte_at(cells, position), (ord("+"), ord("-")))
        hours = byte_at(cells, position + 1).astype(int) * 10 + byte_at(cells, position + 2) - 11 * ord("0")
        wide |= signed & (hours >= 16)
    return rows[wide]


def localised(values: pa.Array, zone: str) -> tuple[pa.Array, np.ndarray]:
    """The instants of local times, and a mask of those that stand near a change of the clock and are not settled."""
    missing = null_mask(values)
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
