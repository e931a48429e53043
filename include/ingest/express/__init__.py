"""The short way of plain records: from the file's bytes to PostgreSQL's binary COPY without a table in between.

Most records of a file are written in the usual way. Those go through a compiled kernel; the others come back as odd and
take the certain way in `rows`, which alone decides what is good and what is not. What a column of few words holds
(types, rules and patterns that the kernel does not know) is learned: each new word takes the certain way once.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from include.ingest.cast.rows import Losers, Reader, raw_cells
from include.ingest.csv.records import Block
from include.ingest.dataset.columns import Column
from include.ingest.dataset.sql_types import FLOATS, INTEGERS
from include.ingest.drift.matching import ABSENT
from include.ingest.express import kernel
from include.ingest.express.words import Words
from include.ingest.table.binary_copy import Write

LESSON_BYTES = 256 << 10  # of a chunk's first block, from which words are learned
FEW = 100  # as long as fewer than one record in so many is odd, there is no need to learn more
PATIENCE = 2  # blocks of mostly odd records after which the short way is left
PART_BYTES = 256 << 10  # of text that are encoded at a time
CELL_BYTES = 28  # that a cell takes on the wire beyond its own text, at most

_KINDS = {
    "smallint": kernel.INT2, "integer": kernel.INT4, "bigint": kernel.INT8, "numeric": kernel.NUMERIC,
    "text": kernel.CHARACTERS, "varchar": kernel.CHARACTERS, "date": kernel.DATE, "time": kernel.TIME,
    "timestamp": kernel.TIMESTAMP, "timestamptz": kernel.TIMESTAMPTZ, "uuid": kernel.UUID, "double": kernel.DOUBLE,
}  # fmt: skip
_LIMITS = np.iinfo(np.int64)


class Encoded(NamedTuple):
    """What became of a block's records."""

    rows: int  # written
    superseded: int  # records that lose to another one of the same key
    keys: np.ndarray  # int64: the key of each row, where it is one integer
    plain: np.ndarray  # mask of the block's records that are rows
    odd: Block  # records that are to be read the certain way

    @property
    def read(self) -> int:
        """Records that are done with."""
        return self.rows + self.superseded


def nothing_plain(block: Block) -> Encoded:
    """All records of the block are odd."""
    return Encoded(0, 0, np.empty(0, np.int64), np.zeros(len(block.starts), dtype=bool), block)


def can_express(reader: Reader, *, keys: bool) -> bool:
    """Whether a file has plain records at all; with `keys`, only where the key is one integer column."""
    dialect, dataset = reader.dialect, reader.dataset
    plain = dialect.escape is None and dataset.csv.encoding == "utf-8" and reader.clean is None
    quoted = dialect.quote is not None and any(dialect.quote.decode() in mark for mark in dataset.csv.nulls)
    return plain and not quoted and _is_all_there(reader) and (not keys or _integer_key(reader) >= 0)


def _is_all_there(reader: Reader) -> bool:
    """Whether a row has nothing but cells of its record, each once, and null where the file lacks a column."""
    columns = list(zip(reader.dataset.columns.values(), reader.positions, strict=True))
    held = [place for _, place in columns if place != ABSENT]
    filled = any(place == ABSENT and column.default is not None for column, place in columns)
    return not reader.rescued and not filled and len(held) == len(set(held))


def _integer_key(reader: Reader) -> int:
    """The field of the key where the key is one integer that the kernel reads, else -1."""
    dataset = reader.dataset
    if len(dataset.key) != 1:
        return -1
    column = dataset.columns[dataset.key[0]]
    whole = column.sql_type.kind in INTEGERS and _kind(column) != kernel.WORD
    return reader.positions[list(dataset.columns).index(dataset.key[0])] if whole else -1


class Express:
    """Encodes the blocks of one chunk, and learns as it goes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        columns = reader.dataset.columns
        at = dict(zip(reader.positions, columns, strict=True))
        self._fields = np.array([_field(columns.get(at.get(place, ""))) for place in range(reader.fields)], np.int64)
        learned = np.flatnonzero(self._fields[:, kernel.KIND] == kernel.WORD).tolist()
        self._fields[learned, kernel.WORDS] = np.arange(len(learned))
        self._words = Words(reader.dataset, [at[place] for place in learned])
        self._key = _integer_key(reader)
        dialect = reader.dialect
        self._delimiter, self._quote = dialect.delimiter[0], dialect.quote[0] if dialect.quote else -1
        self._one = np.zeros(1)
        marks = [mark.encode() for mark in reader.dataset.csv.nulls]
        self._marks = np.frombuffer(b"".join(marks) or b"\0", np.uint8)
        self._mark_ends = np.cumsum([len(mark) for mark in marks], dtype=np.int64)
        self._out = np.empty(0, np.uint8)
        self._patience = PATIENCE
        self._lesson = len(learned) > 0

    def encode(self, block: Block, losers: Losers, write: Write) -> Encoded:
        """Write the plain records of a block, without the losers, as rows of binary COPY.

        What is written is valid until `write` returns.
        """
        if self._patience <= 0:
            return nothing_plain(block)
        if self._lesson:
            self._learn(block.only(block.starts < LESSON_BYTES))
            self._lesson = False
        count = len(block.starts)
        wanted, odd = np.ones(count, dtype=bool), np.zeros(count, dtype=bool)
        lost = losers.among(block.offsets)[0]
        wanted[lost] = False
        if self._reader.dataset.duplicates == "reject":
            odd[lost], lost = True, lost[:0]
        keys = self._encode(block, wanted, odd, write)
        left = int(np.count_nonzero(odd))
        self._patience = PATIENCE if 2 * left <= count else self._patience - 1
        rest = block.only(odd)
        if left * FEW > count:
            self._learn(rest)
        return Encoded(count - left - len(lost), len(lost), keys, wanted & ~odd, rest)

    def _encode(self, block: Block, wanted: np.ndarray, odd: np.ndarray, write: Write) -> np.ndarray:
        """Encode and write a part at a time: what fits the second-level cache. Returns the keys of the rows."""
        text, keys = np.frombuffer(block.data, np.uint8), np.empty(len(wanted), np.int64)
        bounds = np.append(block.starts, len(text))
        cuts = np.searchsorted(block.starts, np.arange(0, len(text), PART_BYTES)).tolist()
        parts = list(pairwise([*cuts, len(wanted)]))
        room = max(self._room(bounds, low, high) for low, high in parts)
        if len(self._out) < room:
            self._out = np.empty(room, np.uint8)
        rows = 0
        for low, high in parts:
            used = kernel.encode_records(
                text, bounds[low : high + 1], wanted[low:high], self._delimiter, self._quote, self._fields, self._key,
                self._marks, self._mark_ends, self._words.slots, self._words.texts, self._words.codes, self._out,
                keys[rows:], odd[low:high], self._one,
            )  # fmt: skip
            rows += int(np.count_nonzero(wanted[low:high] & ~odd[low:high]))
            write(self._out[:used].data)
        return keys[:rows]

    def _room(self, bounds: np.ndarray, low: int, high: int) -> int:
        """Bytes on the wire that some records take at most."""
        beyond_text = 2 + len(self._fields) * CELL_BYTES + self._words.count * kernel.CODE_BYTES
        return int(bounds[high] - bounds[low]) + (high - low) * beyond_text

    def _learn(self, block: Block) -> None:
        if self._words.count and len(block.starts):
            self._words.learn(raw_cells(block, self._reader))


def _kind(column: Column) -> int:
    """What the kernel takes a column for: a column of words where a rule or a form is beyond it."""
    kind, sql_type = _KINDS.get(column.sql_type.kind, kernel.WORD), column.sql_type
    beyond = column.pattern or column.allowed or column.formats or column.thousands_mark or column.decimal_mark != "."
    wide = sql_type.scale is not None and 4 * (-(-sql_type.scale // 4)) >= kernel.MOST_DIGITS
    return kernel.WORD if beyond or wide or (kind == kernel.DOUBLE and column.bounds) else kind


def _field(column: Column | None) -> list[int]:
    row = [0] * kernel.FIELD_SIZE
    if column is None:
        row[kernel.KIND] = kernel.SKIP
        return row
    least, most = _range(column)
    lengths = [length for length in (column.sql_type.length, column.max_length) if length is not None]
    row[kernel.KIND] = _kind(column)
    row[kernel.NULLABLE] = column.nullable and column.default is None
    row[kernel.LEAST], row[kernel.MOST], row[kernel.SCALE] = least, most, column.sql_type.scale or 0
    row[kernel.LONGEST], row[kernel.SHORTEST] = min([*lengths, _LIMITS.max]), column.min_length or 0
    row[kernel.TRIM], row[kernel.UTC] = column.trim, column.timezone == "UTC"
    return row


def _range(column: Column) -> tuple[int, int]:
    """The least and the greatest value, as the kernel counts it."""
    sql_type, low, high = column.sql_type, int(_LIMITS.min), int(_LIMITS.max)
    if sql_type.kind in INTEGERS:
        high = (1 << INTEGERS[sql_type.kind]) - 1
        low = -high - 1
    elif sql_type.kind == "numeric":
        spare = -(sql_type.scale or 0) % 4  # digits that the last group of four adds
        high = 10 ** min(sql_type.precision or 0, kernel.MOST_DIGITS - spare) - 1
        low = -high
    if sql_type.kind in FLOATS:  # with bounds, it is a column of words
        return low, high
    given = {rule: _number(bound, sql_type.scale) for rule, bound in column.bounds.items()}
    return max(low, given.get("min", low)), min(high, given.get("max", high))


def _number(bound: pa.Scalar, scale: int | None) -> int:
    if isinstance(bound, pa.Decimal128Scalar):
        return int(Decimal(bound.as_py()).scaleb(scale or 0))
    return int(bound.value if hasattr(bound, "value") else bound.as_py())
