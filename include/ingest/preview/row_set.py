"""Rows of a table, as a set: a bit for each place where a row can stand, so that a large table takes little memory.

A table takes about one two-hundredth of its own size: 37 bytes for a page of 8 kB.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from psycopg import Cursor

LEAST_ROW_BYTES = 28  # header and pointer of a row without columns: so many places a page has at most
PLACE_BITS = 16  # of a row's number in its page, in what `PLACE` gives

# The address of row `t` as one number.
PLACE = "(t.ctid::text::point)[0]::bigint << 16 | (t.ctid::text::point)[1]::bigint"


class RowSet:
    """Rows by the table (partition) and the place in it where they stand. It holds for one snapshot."""

    def __init__(self, cursor: Cursor) -> None:
        found = cursor.execute("SELECT current_setting('block_size')::int").fetchone()
        assert found is not None
        self._per_page = int(found[0]) // LEAST_ROW_BYTES + 1
        self._bits: dict[int, np.ndarray] = {}

    def add(self, table: int, places: Iterable[int]) -> None:
        """Add the rows of a table that stand at these places, see PLACE; those that are in already stay so."""
        numbers = np.fromiter(places, np.int64)
        if not len(numbers):
            return
        at = (numbers >> PLACE_BITS) * self._per_page + (numbers & ((1 << PLACE_BITS) - 1))
        bits = self._bits.get(table, np.empty(0, np.uint8))
        needed = int(at.max()) // 8 + 1
        if needed > len(bits):
            bits = np.concatenate([bits, np.zeros(max(needed, 2 * len(bits)) - len(bits), np.uint8)])
        np.bitwise_or.at(bits, at // 8, np.left_shift(1, at % 8).astype(np.uint8))
        self._bits[table] = bits

    def __len__(self) -> int:
        return sum(int(np.bitwise_count(bits).sum()) if len(bits) else 0 for bits in self._bits.values())
