"""Records that the last file held already, byte for byte: while their rows are untouched, they need no load.

A full export of today is mostly the export of yesterday. Where the last run on a table is proved to be all that
was done to it, each record of its file that won stands in the table as a row. A record of the new file that is equal
to it would be parsed, copied and compared, only to find its row unchanged. So `plan` compares the two files, `load`
leaves out what is known, and `merge` proves again, under its lock, that nobody has touched the table in between.

`table.row_writers` has the proof.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Cursor, sql

from include.ingest import ledger
from include.ingest.cast.rows import Reader
from include.ingest.csv.records import Block, Chunk, read_blocks
from include.ingest.csv.scan import digest_of
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import IngestError
from include.ingest.source import Source, files_of
from include.ingest.source.storage import Storage
from include.ingest.table import staging
from include.ingest.table import target as targets
from include.ingest.table.row_writers import is_untouched

BACK_BYTES = 64 << 20  # how far before its expected place a record is looked for
SEARCH_BLOCKS = 16  # blocks in which the first records of a chunk are looked for
AHEAD_BLOCKS = 4  # blocks that may have gone from the last file in one place
STRIKES = 3  # blocks in a row without a known record after which a chunk gives up
TAIL = 64  # records at the end of a block that may be new without a look into the next block

log = logging.getLogger("millrace")


@dataclass(frozen=True)
class Base:
    """The last run on the target, and its file."""

    run_id: UUID
    text: Source
    size: int
    chunks: tuple[Chunk, ...]
    without_row: np.ndarray  # int64, ascending: offsets of records that are no row of the target: rejected, superseded
    secret: bytes  # of the target's keys


@dataclass(frozen=True)
class Known:
    """The known records of a chunk: a mask of its records in their order, and what the ledger keeps of their keys."""

    chunk: int
    mask: np.ndarray
    hashes: np.ndarray


def find_base(
    cursor: Cursor, dataset: Dataset, target: targets.Target, values: dict[str, Any], storage: Storage
) -> Base | None:
    """The run that a new one can build on, or None. `values` are the new run's row in the ledger.

    That run was the last one on the target, by the same dataset, for no newer version; its file is still there, and
    the target is as it left it.
    """
    if not can_be_base(dataset) or not target.keeps_rows:
        return None
    last = ledger.last_run(cursor, {**values, "target_oid": target.oid})
    if last is None or last["stale"] or last["target_rows"] is None:
        return None
    plan = last["plan"]
    mine: dict[str, Any] = values["plan"].obj
    alike = last["dataset_fingerprint"] == values["dataset_fingerprint"] and plan["fields"] == mine["fields"]
    alike = alike and plan["positions"] == list(mine["positions"])
    if not (alike and plan["chunks"] and _is_there(plan, storage)):
        return None
    without_row = ledger.records_without_row(cursor, last)
    if without_row is None or not is_untouched(cursor, dataset, last["run_id"]):
        return None
    text = _text_of(last, values["run_id"], storage, ledger.seed_of(cursor, dataset))
    if text is None:
        return None
    chunks = tuple(Chunk(**chunk) for chunk in plan["chunks"])
    return Base(last["run_id"], text, plan["size"], chunks, without_row, ledger.secret_of(cursor, dataset))


def can_be_base(dataset: Dataset) -> bool:
    """Whether what a run read could spare the next one its load: not where a hook may make another row of it."""
    return dataset.mode == "upsert" and not dataset.clean


def _is_there(plan: dict[str, Any], storage: Storage) -> bool:
    try:
        return all(storage.stored(file.path).mark() == file.mark for file in files_of(plan))
    except (IngestError, OSError):
        return False


def _text_of(last: dict[str, Any], run_id: UUID, storage: Storage, seed: int) -> Source | None:
    """The last run's files, unpacked for this run, if their content is still the same."""
    plan = last["plan"]
    files = files_of(plan)
    try:
        for file in files:
            if storage.stored(file.path).proves:
                continue
            text = storage.planned(plan["path"], [file], run_id)
            if digest_of(text, seed=seed) != (file.digest or last["fingerprint"]):
                return None
    except (IngestError, OSError) as fault:
        log.info("%s can't be compared with: %s", plan["path"], fault)
        return None
    return storage.planned(plan["path"], files, run_id)


class Matcher:
    """Finds the records of one chunk in the last file, where they stand in much the same order.

    Keeps a window of the last file's blocks that moves on with the chunk. Records are compared byte for byte.
    """

    def __init__(self, base: Base, reader: Reader, chunk: Chunk, size: int) -> None:
        self._base, self._reader = base, reader
        self._expected = chunk.offset * base.size // max(1, size)
        self._window: deque[pa.Array] = deque()
        self._blocks: Iterator[pa.Array] = iter(())
        self._strikes = 0
        self.secret = base.secret

    @property
    def gave_up(self) -> bool:
        """Whether the rest of the chunk is not compared any more."""
        return self._strikes >= STRIKES

    def known(self, block: Block) -> np.ndarray:
        """Mask of the block's records that the last file holds too, and whose rows are in the target."""
        known = np.zeros(len(block.starts), dtype=bool)
        records = _as_array(block)
        if self.gave_up or not (self._window or self._align(records)):
            self._strikes += 1
            return known
        left, last = np.arange(len(records)), -1
        for number, old in enumerate(self._ahead()):
            hit = _is_in(records.take(pa.array(left)) if number else records, old)
            if hit.any():
                known[left[hit]] = True
                left, last = left[~hit], number
            if known[-TAIL:].any() or (number > last if last >= 0 else number >= AHEAD_BLOCKS):
                break
        for _ in range(last):
            self._window.popleft()
        self._strikes = 0 if last >= 0 else self._strikes + 1
        return known

    def _ahead(self) -> Iterator[pa.Array]:
        """The window's blocks, and those that follow them."""
        yield from tuple(self._window)
        for old in self._blocks:
            self._window.append(old)
            yield old

    def _align(self, records: pa.Array) -> bool:
        """Find a block of the last file that holds one of these records, near the place that it ought to have."""
        chunks = self._base.chunks
        near = min(range(len(chunks)), key=lambda number: abs(chunks[number].offset - self._expected), default=0)
        for first, offset in ((near, 0), (near - 1, self._expected - BACK_BYTES)):
            self._blocks = _blocks_from(self._base, self._reader, max(0, first), offset)
            for old in islice(self._blocks, SEARCH_BLOCKS):
                if _is_in(records, old).any():
                    self._window.append(old)
                    return True
        return False


def _blocks_from(base: Base, reader: Reader, first: int, offset: int) -> Iterator[pa.Array]:
    """The records of the last file that are rows of the target, from that chunk and at least that offset on."""
    for chunk in base.chunks[first:]:
        blocks = read_blocks(
            base.text,
            reader.dialect,
            chunk,
            block_bytes=reader.dataset.block_bytes,
            max_record_bytes=chunk.length,  # no limit: it was loaded once, maybe under another one
        )
        for block in blocks:
            if block.offsets[-1] < offset:
                continue
            low, high = np.searchsorted(base.without_row, (block.offsets[0], block.offsets[-1] + 1))
            records = _as_array(block)
            if low < high:
                records = records.filter(pa.array(~np.isin(block.offsets, base.without_row[low:high])))
            yield records


def _is_in(records: pa.Array, old: pa.Array) -> np.ndarray:
    hit: np.ndarray = pc.is_in(records, value_set=old).to_numpy(zero_copy_only=False)
    return hit


def _as_array(block: Block) -> pa.Array:
    ends = np.append(block.starts, len(block.data)).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(block.starts), [None, pa.py_buffer(ends), pa.py_buffer(block.data)])


def save_known(cursor: Cursor, run_id: UUID, known: Iterable[Known]) -> None:
    """Keep which records need no load."""
    statement = sql.SQL("INSERT INTO {} VALUES (%s, %b, %b)").format(staging.known_table(run_id))
    for part in known:
        if len(part.hashes):
            cursor.execute(statement, [part.chunk, np.packbits(part.mask).tobytes(), part.hashes.tobytes()])


def known_mask(cursor: Cursor, run_id: UUID, chunk: int) -> np.ndarray | None:
    """Which of a chunk's records need no load, as bools in their order, padded to whole bytes; None: all need it."""
    statement = sql.SQL("SELECT bits FROM {} WHERE chunk = %s").format(staging.known_table(run_id))
    row = cursor.connection.execute(statement, [chunk], binary=True).fetchone()
    return None if row is None else np.unpackbits(np.frombuffer(row[0], np.uint8)).astype(bool)
