"""What a pass over a file keeps of each record: its key and its place, in temporary files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from include.ingest.cast.rows import Reader, read_rows
from include.ingest.csv.records import Block, Chunk, read_blocks
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset.sql_types import INTEGERS
from include.ingest.keys.key_hashes import EXACT, hash_integers, hash_keys, held_hashes, held_kind
from include.ingest.keys.known_records import Base, Known, Matcher
from include.ingest.keys.leading_keys import may_lead, read_leading
from include.ingest.source import Source

KEY, HASH = np.dtype(np.int64), np.dtype(np.uint64)
PLACE = np.dtype([(name, np.uint32) for name in ("offset", "length", "line")])  # counted from the chunk's start
PART_ROWS = 1 << 20  # rewritten at a time
FEW_LATE = 10  # keys are in order as long as fewer than one in so many is late
SURE_ROWS = 1 << 17  # late ones after which that is said of a chunk
LEAST = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Keyed:
    """The keys of a block's records; those with a key that can't be read may be left out."""

    block: Block
    values: np.ndarray  # int64 where the key is one integer, else uint64: its hash
    numbers: np.ndarray  # int64, ascending: of the records in the block
    dataset: Dataset
    table: pa.Table | None = None  # the key columns, where the key is not one integer

    def held(self, wanted: np.ndarray, secret: bytes) -> np.ndarray:
        """What the ledger keeps of the keys of a mask, see `key_hashes.held_hashes`."""
        if held_kind(self.dataset) == EXACT:
            values = self.values[wanted]
            return values if values.dtype == HASH else hash_integers(values)
        assert self.table is not None
        return held_hashes(self.table.filter(pa.array(wanted)), self.dataset, secret)


@dataclass(frozen=True)
class Places:
    """Records in the file, int64 each: byte offset, bytes, physical line."""

    offsets: np.ndarray
    lengths: np.ndarray
    lines: np.ndarray


def has_integer_key(reader: Reader) -> bool:
    """Whether the key is one integer column, so that the key itself is kept and no hash."""
    key = reader.dataset.key
    return len(key) == 1 and reader.dataset.columns[key[0]].sql_type.kind in INTEGERS


def read_keyed(source: Source, reader: Reader, chunk: Chunk) -> Iterator[Keyed]:
    """The keys of a chunk's records, a block at a time."""
    leading = may_lead(reader)
    if reader.clean is None:  # a hook may change the key, so it must see the whole row
        place = dict(zip(reader.dataset.columns, reader.positions, strict=True))
        columns = {name: reader.dataset.columns[name] for name in reader.dataset.key}
        dataset = reader.dataset.model_copy(update={"columns": columns})
        reader = replace(reader, dataset=dataset, positions=tuple(place[name] for name in columns), rescued=())
    blocks = read_blocks(
        source,
        reader.dialect,
        chunk,
        block_bytes=reader.dataset.block_bytes,
        max_record_bytes=reader.dataset.max_record_bytes,
    )
    for block in blocks:
        if not leading:
            yield _parsed(block, reader)
            continue
        keys, found = read_leading(block, reader)
        if found.all():
            yield Keyed(block, keys, np.arange(len(keys)), reader.dataset)
            continue
        rest = _parsed(block.only(~found), reader)
        numbers = np.concatenate([np.flatnonzero(found), np.flatnonzero(~found)[rest.numbers]])
        order = np.argsort(numbers)
        yield Keyed(block, np.concatenate([keys[found], rest.values])[order], numbers[order], reader.dataset)


def _parsed(block: Block, reader: Reader) -> Keyed:
    rows, key = read_rows(block, reader), reader.dataset.key
    numbers = np.searchsorted(block.offsets, rows.offsets)
    order = np.argsort(numbers)  # a hook may have moved rows
    if has_integer_key(reader):
        return Keyed(block, rows.table[key[0]].to_numpy().astype(KEY)[order], numbers[order], reader.dataset)
    table = rows.table.select(key).take(pa.array(order)).combine_chunks()
    return Keyed(block, hash_keys(table, key), numbers[order], reader.dataset, table)


class Spool:
    """Keys and places of a chunk's records, on disk; and which of them are known.

    Where keys are integers and most of them `in_order`, `late` are the rows whose key is not greater than all before
    it in the chunk.
    """

    def __init__(self, chunk: Chunk, files: Sequence[int], matcher: Matcher | None, kind: np.dtype) -> None:
        self.chunk, self._matcher = chunk, matcher
        values, places, known = files
        self._values, self._known_hashes = _Region(values, chunk, KEY), _Region(known, chunk, kind)
        self._places = _Region(places, chunk, PLACE)
        self._masks: list[np.ndarray] = [np.empty(0, dtype=bool)]
        self._late: list[np.ndarray] = [np.empty(0, np.int64)]
        self.in_order, self.greatest = True, LEAST

    def fill(self, source: Source, reader: Reader) -> None:
        """Read the chunk."""
        for found in read_keyed(source, reader, self.chunk):
            block, numbers = found.block, found.numbers
            if self._matcher:
                mask = self._matcher.known(block)
                self._masks.append(mask)
                self._known_hashes.write(found.held(mask[numbers], self._matcher.secret))
            places = np.empty(len(numbers), PLACE)
            places["offset"] = block.offsets[numbers] - self.chunk.offset
            places["length"] = np.diff(block.starts, append=len(block.data))[numbers]
            places["line"] = block.lines[numbers] - self.chunk.first_line
            self._keep(found.values, places)

    def _keep(self, values: np.ndarray, places: np.ndarray) -> None:
        if self.in_order and values.dtype == KEY and len(values):
            self._note_late(values)
        self._values.write(values.view(KEY))
        self._places.write(places)

    def _note_late(self, keys: np.ndarray) -> None:
        greatest = np.maximum.accumulate(keys)
        before = np.append(self.greatest, greatest[:-1])
        self._late.append(np.flatnonzero(keys <= np.maximum(before, self.greatest)) + self.rows)
        self.greatest = max(self.greatest, int(greatest[-1]))
        late = sum(map(len, self._late))
        if late > SURE_ROWS and late * FEW_LATE > self.rows + len(keys):
            self.in_order, self._late = False, []

    def known(self) -> Known:
        """Which records the last file holds too, and what the ledger keeps of their keys."""
        return Known(self.chunk.number, np.concatenate(self._masks), self._known_hashes.values())

    @property
    def rows(self) -> int:
        """Records with a key."""
        return self._values.rows

    @property
    def late(self) -> np.ndarray:
        """int64, ascending."""
        return np.concatenate(self._late)

    def keys(self) -> np.ndarray:
        """The keys (int64), where they are integers."""
        return self._values.values()

    def hashes(self) -> np.ndarray:
        """The keys' hashes (uint64), once keys that are integers have been hashed."""
        return self._values.values().view(HASH)

    def turn_into_hashes(self) -> None:
        """Put the hashes in the place of keys that are integers."""
        self._values.rewrite(lambda keys: hash_integers(keys).view(KEY))

    def places(self, rows: np.ndarray) -> Places:
        """Where records are in the file."""
        found = self._places.values()[rows]
        offsets, lengths, lines = (found[name].astype(np.int64) for name in ("offset", "length", "line"))
        return Places(offsets + self.chunk.offset, lengths, lines + self.chunk.first_line)


@contextmanager
def spools_of(reader: Reader, chunks: Sequence[Chunk], size: int, base: Base | None) -> Iterator[list[Spool]]:
    """Empty spools of chunks of a file of that size; their temporary files go at the end of the context."""
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(prefix="millrace-")).fileno() for _ in range(3)]
        kind = held_kind(reader.dataset)
        yield [Spool(chunk, files, Matcher(base, reader, chunk, size) if base else None, kind) for chunk in chunks]


class _Region:
    """A chunk's part of a scratch file that all chunks share: a file a chunk would be too many open files.

    The file has holes, as each part has room for a record in every two bytes of its chunk. What is mapped stays
    readable when the file is closed.
    """

    def __init__(self, file: int, chunk: Chunk, kind: np.dtype) -> None:
        self._file, self._kind, self.rows = file, kind, 0
        self._start = kind.itemsize * (chunk.offset // 2 + 2 * chunk.number)

    def write(self, values: np.ndarray) -> None:
        data = values.view(np.uint8).data
        at = self._start + self.rows * self._kind.itemsize
        while data:
            done = os.pwrite(self._file, data, at)
            data, at = data[done:], at + done
        self.rows += len(values)

    def values(self) -> np.ndarray:
        if not self.rows:
            return np.empty(0, self._kind)
        with os.fdopen(os.dup(self._file), "rb") as file:
            return np.memmap(file, self._kind, "r", offset=self._start, shape=(self.rows,))

    def rewrite(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Change all values, a part at a time."""
        rows, self.rows = self.rows, 0
        for start in range(0, rows, PART_ROWS):
            self.rows = rows
            part = change(np.array(self.values()[start : start + PART_ROWS]))
            self.rows = start
            self.write(part)
