"""Repeated keys within one file: found while it is planned, so that a row that loses is never written.

A pass over the file reads the key columns alone and keeps the hash, place and length of each record in a
temporary file. Records whose hash occurs twice are candidates: a few per cent. They are read in full, since a row that
is rejected takes no part, and compared by their real keys. The order is the order in the file, so neither the
chunks nor the order in which they load can change the outcome.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.keys import hash_integers, hash_keys
from include.ingest.known import Base, Known, Matcher
from include.ingest.leading import may_lead, read_leading
from include.ingest.records import THREADS, Block, Chunk, read_blocks
from include.ingest.rows import NO_LOSERS, Losers, Reader, read_rows

PASS_ROWS = 8_000_000  # hashes that a thread sorts at a time: 64 MB
BATCH_ROWS = 20_000  # candidates parsed at a time
WINDOW_BYTES = 256 << 10  # candidates as near as this are read together
NUMBER = "#"  # the candidates' number; no column of a dataset can have this name
HASH = np.dtype(np.uint64)
PLACE = np.dtype([("offset", np.uint32), ("length", np.uint32), ("line", np.uint32)])  # counted from the chunk's start


class KeyPass(NamedTuple):
    """What a pass over the keys of a file found."""

    losers: Losers
    known: tuple[Known, ...] = ()  # by chunk; empty without a base


def read_keys(path: Path, reader: Reader, chunks: Sequence[Chunk], base: Base | None = None) -> KeyPass:
    """The records that the policy for repeated keys leaves out, and those that `base` holds too.

    Works in memory that only repeated keys make grow.
    """
    if not (reader.dataset.key and chunks):
        return KeyPass(NO_LOSERS)
    size = chunks[-1].offset + chunks[-1].length
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(THREADS))
        matchers = [Matcher(base, reader, chunk, size) if base else None for chunk in chunks]
        files = [stack.enter_context(tempfile.TemporaryFile(prefix="millrace-")).fileno() for _ in range(3)]
        spools = [_Spool(chunk, files, matcher) for chunk, matcher in zip(chunks, matchers, strict=True)]
        list(pool.map(lambda spool: spool.fill(path, reader), spools))
        bits = (sum(spool.rows for spool in spools) // PASS_ROWS).bit_length()
        places = list(pool.map(lambda number: _candidates(spools, number, bits), range(1 << bits)))
        found = [_losers(path, reader, part, pool) for part in places]
        known = tuple(spool.known() for spool in spools) if base else ()
    offsets, first_lines = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(offsets)
    return KeyPass(Losers(offsets[order], first_lines[order]), known)


@dataclass(frozen=True)
class Hashed:
    """Key hashes (uint64) of a block's records; those with a key that can't be read may be left out."""

    block: Block
    hashes: np.ndarray
    numbers: np.ndarray  # int64: of the records in the block


def read_hashes(path: Path, reader: Reader, chunk: Chunk) -> Iterator[Hashed]:
    """The key hashes of a chunk's records, a block at a time."""
    leading = may_lead(reader)
    if reader.clean is None:  # a hook may change the key, so it must see the whole row
        place = dict(zip(reader.dataset.columns, reader.positions, strict=True))
        columns = {name: reader.dataset.columns[name] for name in reader.dataset.key}
        dataset = reader.dataset.model_copy(update={"columns": columns})
        reader = replace(reader, dataset=dataset, positions=tuple(place[name] for name in columns))
    for block in read_blocks(path, reader.dialect, chunk, block_bytes=reader.dataset.block_bytes):
        if not leading:
            yield _parsed(block, reader)
            continue
        keys, found = read_leading(block, reader)
        quick = Hashed(block, hash_integers(keys[found]), np.flatnonzero(found))
        if found.all():
            yield quick
            continue
        left = np.flatnonzero(~found)
        rest = _parsed(block.only(~found), reader)
        yield Hashed(
            block, np.concatenate([quick.hashes, rest.hashes]), np.concatenate([quick.numbers, left[rest.numbers]])
        )


def _parsed(block: Block, reader: Reader) -> Hashed:
    rows = read_rows(block, reader)
    return Hashed(block, hash_keys(rows.table, reader.dataset.key), np.searchsorted(block.offsets, rows.offsets))


class _Spool:
    """Hashes and places of a chunk's records, on disk; and which of them are known."""

    def __init__(self, chunk: Chunk, files: Sequence[int], matcher: Matcher | None) -> None:
        self.chunk, self._matcher = chunk, matcher
        hashes, places, known = files
        self._hashes, self._known_hashes = _Region(hashes, chunk, HASH), _Region(known, chunk, HASH)
        self._places = _Region(places, chunk, PLACE)
        self._masks: list[np.ndarray] = [np.empty(0, dtype=bool)]

    def fill(self, path: Path, reader: Reader) -> None:
        for found in read_hashes(path, reader, self.chunk):
            block, numbers = found.block, found.numbers
            if self._matcher:
                mask = self._matcher.known(block)
                self._masks.append(mask)
                self._known_hashes.write(found.hashes[mask[numbers]])
            places = np.empty(len(numbers), PLACE)
            places["offset"] = block.offsets[numbers] - self.chunk.offset
            places["length"] = np.diff(block.starts, append=len(block.data))[numbers]
            places["line"] = block.lines[numbers] - self.chunk.first_line
            self._hashes.write(found.hashes)
            self._places.write(places)

    def known(self) -> Known:
        return Known(self.chunk.number, np.concatenate(self._masks), self._known_hashes.values())

    @property
    def rows(self) -> int:
        return self._hashes.rows

    def hashes(self) -> np.ndarray:
        return self._hashes.values()

    def places(self, rows: np.ndarray) -> _Places:
        found = self._places.values()[rows]
        offsets, lengths, lines = (found[name].astype(np.int64) for name in ("offset", "length", "line"))
        return _Places(offsets + self.chunk.offset, lengths, lines + self.chunk.first_line)


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


@dataclass(frozen=True)
class _Places:
    """Records in the file, int64 each: byte offset, bytes, physical line."""

    offsets: np.ndarray
    lengths: np.ndarray
    lines: np.ndarray


def _candidates(spools: Sequence[_Spool], number: int, bits: int) -> _Places:
    """The records whose hash begins with these bits and occurs twice."""
    ordered = np.concatenate([spool.hashes()[_share(spool, number, bits)] for spool in spools])
    ordered.sort()
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    found = [spool.places(_members(spool, _share(spool, number, bits), twice)) for spool in spools]
    parts = ([getattr(places, name) for places in found] for name in ("offsets", "lengths", "lines"))
    whole = _Places(*map(np.concatenate, parts))
    order = np.argsort(whole.offsets)  # a hook may have moved rows
    return _Places(whole.offsets[order], whole.lengths[order], whole.lines[order])


def _share(spool: _Spool, number: int, bits: int) -> np.ndarray | slice:
    """The rows of a chunk whose hash begins with these bits."""
    return np.flatnonzero(spool.hashes() >> np.uint64(64 - bits) == np.uint64(number)) if bits else slice(None)


def _members(spool: _Spool, share: np.ndarray | slice, ordered: np.ndarray) -> np.ndarray:
    """The rows of the share whose hash occurs in `ordered`."""
    if not len(ordered):
        return np.empty(0, np.int64)
    rows = np.flatnonzero(_member(spool.hashes()[share], ordered))
    return rows if isinstance(share, slice) else share[rows]


def _member(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Which values occur in `ordered`; a small bit table saves most of the searches."""
    bits = np.zeros(1 << 22, dtype=bool)
    bits[ordered & np.uint64(0x3FFFFF)] = True
    hit = np.flatnonzero(bits[values & np.uint64(0x3FFFFF)])
    where = np.minimum(np.searchsorted(ordered, values[hit]), len(ordered) - 1)
    result = np.zeros(len(values), dtype=bool)
    result[hit[ordered[where] == values[hit]]] = True
    return result


def _losers(path: Path, reader: Reader, places: _Places, pool: ThreadPoolExecutor) -> tuple[np.ndarray, np.ndarray]:
    """Sort the candidates by their real key, then by place: equal neighbours are copies of one key."""
    key = reader.dataset.key
    starts = range(0, len(places.offsets), BATCH_ROWS)
    if not starts:
        return NO_LOSERS.offsets, NO_LOSERS.first_lines
    table = pa.concat_tables(pool.map(lambda start: _keys(path, reader, places, start), starts))
    table = table.take(pc.sort_indices(table, [(name, "ascending") for name in [*key, NUMBER]])).combine_chunks()
    number = table[NUMBER].to_numpy()
    same = np.ones(max(0, len(number) - 1), dtype=bool)
    for name in key:
        same &= pc.equal(table[name].slice(1), table[name].slice(0, len(same))).to_numpy()
    follows = np.append(False, same)[: len(number)]  # the row has the same key as the one before it
    goes_on = np.append(same, False)[: len(number)]  # the row has the same key as the one after it
    lost = {"last": goes_on, "first": follows, "reject": follows | goes_on}[reader.dataset.duplicates]
    first = np.maximum.accumulate(np.where(follows, 0, np.arange(len(number))))
    return places.offsets[number[lost]], places.lines[number[first[lost]]]


def _keys(path: Path, reader: Reader, places: _Places, start: int) -> pa.Table:
    """The keys of a batch of candidates with their numbers; those that are rejected are left out."""
    part = slice(start, start + BATCH_ROWS)
    records = _read_records(path, places.offsets[part], places.lengths[part])
    ends = np.cumsum([len(record) for record in records])
    numbers = start + np.arange(len(records))  # stand in for the lines: by them a row is known afterwards
    rows = read_rows(Block(b"".join(records), places.offsets[part], np.append(0, ends[:-1]), numbers), reader)
    return rows.table.select(reader.dataset.key).append_column(NUMBER, pa.array(rows.lines))


def _read_records(path: Path, offsets: np.ndarray, lengths: np.ndarray) -> list[bytes]:
    """Records at ascending offsets; neighbours are read together."""
    firsts = np.flatnonzero(np.diff(offsets // WINDOW_BYTES, prepend=-1))
    records: list[bytes] = []
    with path.open("rb") as file:
        for first, last in pairwise([*firsts.tolist(), len(offsets)]):
            low, high = int(offsets[first]), int(offsets[last - 1] + lengths[last - 1])
            raw = os.pread(file.fileno(), high - low, low)
            starts = (offsets[first:last] - low).tolist()
            records += [
                raw[start : start + length] for start, length in zip(starts, lengths[first:last].tolist(), strict=True)
            ]
    return records
