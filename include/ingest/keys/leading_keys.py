"""Integer keys that stand first in their records, read from the bytes without parsing the rest of the line.

The usual export begins with its id. Such keys need no CSV parser: digits up to the first delimiter. Whatever else
stands there is left to the parser.
"""

from __future__ import annotations

import numpy as np

from include.compiled import FLAGS, INT, INTS, TEXT, compiled
from include.ingest.cast.rows import Reader
from include.ingest.csv.records import Block

LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 10**18 - 1}
MOST_DIGITS, ZERO = 18, 48


def may_lead(reader: Reader) -> bool:
    """Whether the key is one integer column that stands first, without rules that could refuse a number."""
    dataset = reader.dataset
    if len(dataset.key) != 1 or dataset.clean:
        return False
    name = dataset.key[0]
    column = dataset.columns[name]
    plain = not (column.bounds or column.pattern or column.allowed or column.thousands_mark)
    numeric_null = any(mark.strip().isdigit() for mark in dataset.csv.nulls)
    first = reader.positions[list(dataset.columns).index(name)] == 0
    return first and plain and column.sql_type.kind in LARGEST and not numeric_null


def read_leading(block: Block, reader: Reader) -> tuple[np.ndarray, np.ndarray]:
    """The numbers (int64) that records begin with, and a mask of those that begin with one that fits the key."""
    numbers, found = np.empty(len(block.starts), np.int64), np.empty(len(block.starts), dtype=bool)
    most = LARGEST[reader.dataset.columns[reader.dataset.key[0]].sql_type.kind]
    data = np.frombuffer(block.data, np.uint8)
    _read_numbers(data, block.starts, reader.dialect.delimiter[0], most, numbers, found)
    return numbers, found


@compiled(INT(TEXT, INTS, INT, INT, INTS, FLAGS))
def _read_numbers(data, starts, delimiter, most, numbers, found):  # type: ignore[no-untyped-def]
    for record in range(len(starts)):
        at, value = starts[record], 0
        end = min(at + MOST_DIGITS, len(data))
        while at < end and data[at] >= ZERO and data[at] < ZERO + 10:
            value = value * 10 + data[at] - ZERO
            at += 1
        numbers[record] = value
        found[record] = at > starts[record] and at < len(data) and data[at] == delimiter and value <= most
    return len(starts)
