"""Integer keys that stand first in their records, read from the bytes without parsing the rest of the line.

The usual export begins with its id. Such keys need no CSV parser: digits up to the first delimiter. Whatever else
stands there is left to the parser.
"""

from __future__ import annotations

import numpy as np

from include.ingest.records import Block
from include.ingest.rows import Reader

LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 10**18 - 1}
MOST_DIGITS = 18


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
    data, delimiter = np.frombuffer(block.data, np.uint8), reader.dialect.delimiter[0]
    numbers = np.zeros(len(block.starts), np.int64)
    found = np.zeros(len(block.starts), dtype=bool)
    rows, at, value = np.arange(len(block.starts)), block.starts.copy(), numbers.copy()
    for position in range(MOST_DIGITS + 1):
        letters = data[at]
        digits = letters - np.uint8(ord("0"))
        goes_on = digits <= 9
        if not goes_on.all():
            ended = letters == delimiter if position else np.zeros(len(rows), dtype=bool)
            numbers[rows[ended]], found[rows[ended]] = value[ended], True
            rows, at, value, digits = rows[goes_on], at[goes_on], value[goes_on], digits[goes_on]
        at += 1
        inside = at < len(data)
        if not inside.all():
            rows, at, value, digits = rows[inside], at[inside], value[inside], digits[inside]
        if not len(rows):
            break
        value *= 10
        value += digits
    found &= numbers <= LARGEST[reader.dataset.columns[reader.dataset.key[0]].sql_type.kind]
    return numbers, found
