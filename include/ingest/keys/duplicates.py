"""Repeated keys within one file: found while it is planned, so that a row that loses is never written.

A pass over the file reads the key columns alone and keeps the key or its hash, place and length of each record in a
temporary file (`key_spool`). Records whose key may occur twice are candidates: a few per cent. They are read in full,
since a row that is rejected takes no part, and compared by their real keys. The order is the order in the file, so
neither the chunks nor the order in which they load can change the outcome.

Most files are written in the order of their key. There, a key that is greater than all before it is new, and only the
others need to be looked up. In any other file hashes are sorted, a share of them at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.cast.rows import FILE_SHIFT, NO_LOSERS, Losers, Reader, read_rows
from include.ingest.csv.records import Chunk
from include.ingest.csv.scattered_records import read_places
from include.ingest.express import Express, can_express, nothing_plain
from include.ingest.keys.ascending import distinct, is_among
from include.ingest.keys.key_spool import FEW_LATE, LEAST, Places, Spool, has_integer_key, spools_of
from include.ingest.keys.known_records import Base, Known
from include.ingest.source import Source
from include.ingest.source.local import THREADS

PASS_ROWS = 8_000_000  # hashes that a thread sorts at a time: 64 MB
BATCH_ROWS = 60_000  # candidates parsed at a time
LOOK_ROWS = 4096  # looked at a time for the first key that is new
NUMBER = "#"  # the candidates' number; no column of a dataset can have this name


class KeyPass(NamedTuple):
    """What a pass over the keys of a file found."""

    losers: Losers = NO_LOSERS
    known: tuple[Known, ...] = ()  # by chunk; empty without a base


def read_keys(source: Source, reader: Reader, chunks: Sequence[Chunk], base: Base | None = None) -> KeyPass:
    """The records that the policy for repeated keys leaves out, and those that `base` holds too.

    Works in memory that only repeated keys make grow.
    """
    if not (reader.dataset.key and chunks):
        return KeyPass()
    with spools_of(reader, chunks, chunks[-1].offset + chunks[-1].length, base) as spools:
        with ThreadPoolExecutor(THREADS) as pool:
            # The scan has just left the end of the file in the system's cache; what comes next begins at its start.
            list(pool.map(lambda spool: spool.fill(source, reader), reversed(spools)))
        return KeyPass(_settle(source, reader, spools), tuple(spool.known() for spool in spools) if base else ())


def _settle(source: Source, reader: Reader, spools: Sequence[Spool]) -> Losers:
    """The records that the policy for repeated keys leaves out, from the keys of all chunks of a file."""
    with ThreadPoolExecutor(THREADS) as pool:
        places = _repeated(spools, has_integer_key(reader), pool)
        found = [_losers(source, reader, part, pool) for part in places]
    offsets, first_lines = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(offsets)
    return Losers(offsets[order], first_lines[order])


def _repeated(spools: Sequence[Spool], integers: bool, pool: ThreadPoolExecutor) -> list[Places]:
    """The records whose key may occur twice, in shares that have no key in common."""
    if integers:
        found = _out_of_order(spools, pool)
        if found is not None:
            return [found]
        list(pool.map(Spool.turn_into_hashes, spools))
    bits = (sum(spool.rows for spool in spools) // PASS_ROWS).bit_length()
    return list(pool.map(lambda number: _candidates(spools, number, bits), range(1 << bits)))


def _out_of_order(spools: Sequence[Spool], pool: ThreadPoolExecutor) -> Places | None:
    """The records whose key occurs twice in a file that is much in the order of its key; None: it is not."""
    late, greatest = [], LEAST
    if not all(spool.in_order for spool in spools):
        return None
    for spool in spools:
        late.append(_late_after(spool, greatest))
        greatest = max(greatest, spool.greatest)
    if sum(map(len, late)) * FEW_LATE > sum(spool.rows for spool in spools):
        return None
    keys = [spool.keys()[rows] for spool, rows in zip(spools, late, strict=True)]
    looked_for, copies = np.unique(np.concatenate(keys), return_counts=True)
    found = list(pool.map(lambda spool, rows: _find_keys(spool, rows, looked_for), spools, late))
    twice = copies > 1
    for hits, _ in found:
        twice[hits] = True
    repeated = looked_for[twice]
    rows = [
        np.sort(np.append(hits, mine[is_among(own, repeated)]))
        for (_, hits), mine, own in zip(found, late, keys, strict=True)
    ]
    return _joined([spool.places(part) for spool, part in zip(spools, rows, strict=True)])


def _late_after(spool: Spool, greatest: int) -> np.ndarray:
    """The rows of a chunk whose key is not greater than all before it, in chunks before it too."""
    keys, late = spool.keys(), spool.late
    for start in range(0, len(keys), LOOK_ROWS):
        greater = np.flatnonzero(keys[start : start + LOOK_ROWS] > greatest)
        if len(greater):
            first = start + int(greater[0])
            return np.append(np.arange(first), late[late > first])
    return np.arange(len(keys))


def _find_keys(spool: Spool, late: np.ndarray, looked_for: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the keys stand among those of a chunk that came in order, by number, and in which rows."""
    ordered = np.delete(spool.keys(), late)
    if not len(ordered):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(ordered, looked_for), len(ordered) - 1)
    hits = np.flatnonzero(ordered[places] == looked_for)
    return hits, places[hits] + np.searchsorted(late - np.arange(len(late)), places[hits], "right")


def _joined(parts: Sequence[Places]) -> Places:
    """All places, in the order of the file."""
    columns = ([getattr(places, name) for places in parts] for name in ("offsets", "lengths", "lines"))
    offsets, lengths, lines = map(np.concatenate, columns)
    order = np.argsort(offsets)  # a hook may have moved rows
    return Places(offsets[order], lengths[order], lines[order])


def _candidates(spools: Sequence[Spool], number: int, bits: int) -> Places:
    """The records whose hash begins with these bits and occurs twice."""
    ordered = np.concatenate([spool.hashes()[_share(spool, number, bits)] for spool in spools])
    ordered.sort()
    twice = distinct([ordered[1:][ordered[1:] == ordered[:-1]]])
    del ordered
    found = [spool.places(_members(spool, _share(spool, number, bits), twice)) for spool in spools]
    return _joined(found)


def _share(spool: Spool, number: int, bits: int) -> np.ndarray | slice:
    """The rows of a chunk whose hash begins with these bits."""
    return np.flatnonzero(spool.hashes() >> np.uint64(64 - bits) == np.uint64(number)) if bits else slice(None)


def _members(spool: Spool, share: np.ndarray | slice, ordered: np.ndarray) -> np.ndarray:
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
    result = np.zeros(len(values), dtype=bool)
    result[hit[is_among(values[hit], ordered)]] = True
    return result


def _losers(source: Source, reader: Reader, places: Places, pool: ThreadPoolExecutor) -> tuple[np.ndarray, np.ndarray]:
    """Sort the candidates by their real key, then by place: equal neighbours are copies of one key."""
    key = reader.dataset.key
    starts = range(0, len(places.offsets), BATCH_ROWS)
    if not starts:
        return NO_LOSERS.offsets, NO_LOSERS.first_lines
    table = pa.concat_tables(pool.map(lambda start: _keys(source, reader, places, start), starts))
    table = table.take(pc.sort_indices(table, [(name, "ascending") for name in [*key, NUMBER]])).combine_chunks()
    number = table[NUMBER].to_numpy()
    same = np.ones(max(0, len(number) - 1), dtype=bool)
    for name in key:
        same &= _equal(table[name].slice(1), table[name].slice(0, len(same)))
    follows = np.append(False, same)[: len(number)]  # the row has the same key as the one before it
    goes_on = np.append(same, False)[: len(number)]  # the row has the same key as the one after it
    lost = {"last": goes_on, "first": follows, "reject": follows | goes_on}[reader.dataset.duplicates]
    first = np.maximum.accumulate(np.where(follows, 0, np.arange(len(number))))
    winners = number[first[lost]]
    files = source.numbers(places.offsets[winners])
    return places.offsets[number[lost]], places.lines[winners] + (files << FILE_SHIFT)


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> np.ndarray:
    """Which values are equal as PostgreSQL has it: NaN equals NaN."""
    equal: np.ndarray = pc.equal(one, other).to_numpy()
    if pa.types.is_floating(one.type):
        equal |= pc.and_(pc.is_nan(one), pc.is_nan(other)).to_numpy()
    return equal


def _keys(source: Source, reader: Reader, places: Places, start: int) -> pa.Table:
    """The keys of a batch of candidates with their numbers; those that are rejected are left out."""
    key, batch = reader.dataset.key, slice(start, start + BATCH_ROWS)
    # The numbers stand in for the lines: by them a row is known afterwards.
    block = read_places(source, places.offsets[batch], places.lengths[batch], start)
    short = can_express(reader, keys=True)
    plain = Express(reader).encode(block, NO_LOSERS, len) if short else nothing_plain(block)
    rows = read_rows(plain.odd, reader)
    table = rows.table.select(key).append_column(NUMBER, pa.array(rows.lines))
    if plain.rows:
        keys = pa.array(plain.keys).cast(table.schema.field(key[0]).type)
        numbers = pa.array(block.lines[plain.plain])
        table = pa.concat_tables([pa.table([keys, numbers], schema=table.schema), table])
    return table
