"""Load: stream one chunk into the run's staging table, in one transaction and in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import psycopg
from psycopg import Cursor, sql

from include.ingest import ledger
from include.ingest.cast.reject_advice import reject_advice
from include.ingest.cast.rows import Losers, Reader, read_rows, without
from include.ingest.csv.records import Block, Chunk, joined, read_blocks
from include.ingest.dataset.definition import Dataset
from include.ingest.drift.matching import ABSENT
from include.ingest.errors import AccountMismatch, IngestError, RejectLimitExceeded, TargetRefused
from include.ingest.express import Express, can_express
from include.ingest.keys.key_hashes import hash_integers, held_hashes
from include.ingest.keys.known_records import known_mask
from include.ingest.plan import Plan, check_unchanged, dialect_of, reader_for
from include.ingest.profile import kept
from include.ingest.profile.columns import profile_of
from include.ingest.profile.sample import Sample
from include.ingest.progress import told
from include.ingest.table import staging
from include.ingest.table.binary_copy import copy_rows, copying
from include.ingest.table.refused_rows import REFUSALS, Probe

LOOKED_AT = 200  # rejected rows, to say what may be wrong with the file
ODD_RECORDS = 5_000  # that are read at a time: for fewer, the calls would cost more than the work


@dataclass
class _Loaded:
    """What became of a chunk's records so far."""

    read: int = 0
    rejected: int = 0
    superseded: int = 0
    known: int = 0  # stand in the target already
    staged: int = 0
    hashes: list[np.ndarray] = field(default_factory=list)


def load_chunk(
    connection: psycopg.Connection, dataset: Dataset, plan: Plan, chunk: Chunk, *, probed: bool = False
) -> dict[str, int]:
    """Load one chunk and return its counts. Safe to run again: a chunk that is staged is not loaded twice.

    Bad rows go to `millrace.rejected_row`; rows that lose to another one of the same key are left out. With `probed`,
    or where the server refuses the chunk for a row of it, so do rows that only the server can refuse. Raises
    RejectLimitExceeded as soon as the whole file is certain to be over the limit, SourceChanged when the file is not
    the planned one, TargetRefused when a row breaks a constraint of the table, AccountMismatch when a record is
    unaccounted for.
    """
    check_unchanged(plan)
    _tidy(connection, plan)
    dataset = plan.shape(dataset)
    try:
        return _load_chunk(connection, dataset, plan, chunk, probed=probed)
    except REFUSALS:
        if probed:
            raise
        return _load_chunk(connection, dataset, plan, chunk, probed=True)
    except psycopg.errors.IntegrityError as error:
        if error.diag.table_name != staging.rows_table(plan.run_id).as_string(connection).split('"')[-2]:
            raise
        raise TargetRefused(
            f"target {dataset.target} refused a row of {plan.path}: {error.diag.message_primary}."
            f" {error.diag.message_detail or ''} Nothing was changed."
        ) from error


def _load_chunk(
    connection: psycopg.Connection, dataset: Dataset, plan: Plan, chunk: Chunk, *, probed: bool
) -> dict[str, int]:
    started = time.monotonic()
    reader = reader_for(dataset, plan)
    loaded = _Loaded()
    with connection.transaction(), connection.cursor() as cursor:
        # A task that Airflow took for dead may load this chunk still: its next try waits, and finds it loaded or not.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [f"{plan.run_id} chunk", chunk.number])
        done = _already_loaded(cursor, plan.run_id, chunk)
        if done is not None:
            return done
        ledger.forget_chunk(cursor, plan.run_id, chunk.number)
        losers = ledger.losers_of(cursor, plan.run_id, chunk.number)
        first_page = staging.first_to_mark(cursor, plan.run_id, plan.size) if plan.form == "promote" else None
        probe = Probe(cursor, dataset, f"{plan.run_id.hex}_{chunk.number}") if probed else None
        loader = _Loader(cursor, plan, chunk, reader, losers, loaded, probe)
        blocks = told(
            read_blocks(
                plan.text,
                reader.dialect,
                chunk,
                block_bytes=dataset.block_bytes,
                max_record_bytes=dataset.max_record_bytes,
                forget=True,
            ),
            connection,
            plan.run_id,
            chunk,
        )
        sample = None if plan.replay else Sample(chunk)  # records that were rejected before say nothing of a file
        if sample:
            blocks = sample.watching(blocks)
        for block in _unknown(blocks, known_mask(cursor, plan.run_id, chunk.number), losers, loaded):
            loader.load(block)
            if _hopeless(dataset, plan, loaded.rejected):
                break
        loader.finish()
        if probe:
            probe.drop()
        hopeless = _hopeless(dataset, plan, loaded.rejected)
        counts = {name: getattr(loaded, name) for name in ("read", "rejected", "superseded", "known")}
        if loaded.read != loaded.rejected + loaded.superseded + loaded.known + loaded.staged:
            raise AccountMismatch(
                f"{plan.path}: chunk {chunk.number} does not balance: {loaded.staged} rows are staged of {counts}"
            )
        if sample:
            kept.save(cursor, plan.run_id, chunk.number, profile_of(sample, reader))
        _save(cursor, plan, chunk, loaded, counts, time.monotonic() - started)
        check_unchanged(plan)
    if hopeless:
        with connection.cursor() as cursor:
            why = why_rejected(cursor, dataset, plan)
        raise RejectLimitExceeded(
            f"{plan.path}: {loaded.rejected:,} rows were rejected in chunk {chunk.number} alone: {hopeless}."
            f"{why} {rejected_rows_hint(plan)}"
        )
    if first_page is not None:
        with connection.cursor() as cursor:
            staging.mark_committed(cursor, plan.run_id, first_page)
    return counts


def _tidy(connection: psycopg.Connection, plan: Plan) -> None:
    """Remove what runs unpacked on this machine whose last step was on another one."""
    others = plan.storage.unpacked() - {plan.run_id}
    if others:
        with connection.transaction(), connection.cursor() as cursor:
            for run_id in ledger.ended_of(cursor, others):
                plan.storage.forget(run_id)


def _unknown(blocks: Iterable[Block], mask: np.ndarray | None, losers: Losers, loaded: _Loaded) -> Iterator[Block]:
    """What of the blocks must be loaded: all but the known records, unless these lose to another one."""
    passed = 0
    for block in blocks:
        if mask is None:
            yield block
            continue
        known = mask[passed : passed + len(block.starts)].copy()
        known[losers.among(block.offsets)[0]] = False
        passed += len(block.starts)
        number = int(np.count_nonzero(known))
        loaded.read += number
        loaded.known += number
        if number < len(known):
            yield block.only(~known)


class _Loader:
    """Stages the blocks of one chunk: plain records by the short way, the others by the certain way, some at a time."""

    def __init__(
        self, cursor: Cursor, plan: Plan, chunk: Chunk, reader: Reader, losers: Losers, loaded: _Loaded,
        probe: Probe | None,
    ) -> None:  # fmt: skip
        self._cursor, self._plan, self._chunk = cursor, plan, chunk
        self._reader, self._losers, self._loaded = reader, losers, loaded
        self._table = staging.rows_table(plan.run_id)
        self._hashed = bool(reader.dataset.key) and plan.form == "merge"
        self._secret = ledger.secret_of(cursor, reader.dataset) if self._hashed else b""
        self._probe = probe
        # A table that is to be promoted may have defaults of its own, which would stand in for what the file lacks.
        express = can_express(reader, keys=self._hashed) and (plan.form == "merge" or ABSENT not in reader.positions)
        self._express = Express(reader) if express and probe is None else None
        self._odd: list[Block] = []

    def load(self, block: Block) -> None:
        """Stage the block's plain records, and the odd ones when there are enough of them."""
        if self._express is None:
            self._odd.append(block)
        else:
            with copying(self._cursor, self._table, self._reader.in_file) as write:
                plain = self._express.encode(block, self._losers, write)
            self._loaded.read += plain.read
            self._loaded.superseded += plain.superseded
            self._loaded.staged += self._cursor.rowcount
            if self._hashed:
                self._loaded.hashes.append(hash_integers(plain.keys))
            if len(plain.odd.starts):
                self._odd.append(plain.odd)
        if sum(len(block.starts) for block in self._odd) > ODD_RECORDS:
            self.finish()

    def finish(self) -> None:
        """Stage the odd records that are left."""
        if not self._odd:
            return
        block = joined(self._odd)
        rows = read_rows(block, self._reader, self._losers)
        self._odd = []
        if self._probe:
            rows = without(rows, block, self._probe.refused(rows.table), self._reader)
        self._loaded.read += rows.read
        self._loaded.rejected += len(rows.rejects)
        self._loaded.superseded += rows.superseded
        self._loaded.staged += copy_rows(self._cursor, self._table, rows.table, self._reader.dataset)
        if rows.rejected_keys is not None:
            rejected = staging.rejected_table(self._plan.run_id)
            copy_rows(self._cursor, rejected, rows.rejected_keys, self._reader.dataset)
        if rows.rejects:
            ledger.save_rejects(self._cursor, self._plan.run_id, self._plan.text, self._chunk.number, rows.rejects)
        if self._hashed:
            self._loaded.hashes.append(held_hashes(rows.table, self._reader.dataset, self._secret))


def why_rejected(cursor: Cursor, dataset: Dataset, plan: Plan) -> str:
    """What may be wrong with the whole file, after a space; empty where its rows have different faults."""
    some = ledger.some_rejects(cursor, plan.run_id, LOOKED_AT)
    return reject_advice(some, dataset, dialect_of(dataset), plan.fields)


def rejected_rows_hint(plan: Plan) -> str:
    """Where to look at a run's rejected rows."""
    return (
        "Nothing was changed in the target. See the rows with SELECT file, line_number, column_name, value, reason"
        f" FROM millrace.rejected_row WHERE run_id = '{plan.run_id}'"
    )


def unstaged(connection: psycopg.Connection, plan: Plan) -> Iterable[Chunk]:
    """The planned chunks that are not staged now, for instance because the server crashed since then."""
    with connection.cursor() as cursor:
        have = staging.loaded_chunks(cursor, plan.run_id)
    return [chunk for chunk in plan.chunks if chunk.number not in have]


def _already_loaded(cursor: Cursor, run_id: UUID, chunk: Chunk) -> dict[str, int] | None:
    if ledger.status_of(cursor, run_id) not in ("planned", "done"):
        raise IngestError(f"run {run_id} is no longer in progress: clear its `plan` task to start it anew")
    have = staging.loaded_chunks(cursor, run_id)
    row = cursor.execute(
        "SELECT c.read, c.rejected, c.superseded, c.known, r.status"
        " FROM millrace.ingest_chunk c JOIN millrace.ingest_run r USING (run_id)"
        " WHERE run_id = %s AND chunk = %s",
        [run_id, chunk.number],
    ).fetchone()
    if row is not None and (chunk.number in have or row[4] == "done"):
        return dict(zip(("read", "rejected", "superseded", "known"), row[:4], strict=True))
    return None


def _save(cursor: Cursor, plan: Plan, chunk: Chunk, loaded: _Loaded, counts: dict[str, int], seconds: float) -> None:
    place = {"chunk": chunk.number, "byte_offset": chunk.offset, "bytes": chunk.length, "first_line": chunk.first_line}
    ledger.save_chunk(cursor, plan.run_id, {**place, **counts, "seconds": seconds})
    hashes = np.concatenate(loaded.hashes).tobytes() if loaded.hashes else None
    cursor.execute(
        sql.SQL("INSERT INTO {} VALUES (%b, %b)").format(staging.chunk_table(plan.run_id)), [chunk.number, hashes]
    )


def _hopeless(dataset: Dataset, plan: Plan, rejected: int) -> str | None:
    """The limit that is passed whatever the rest of the file holds: a record has a byte a field at least."""
    over = dataset.reject_limit.exceeded(plan.size // plan.fields + 1, rejected)
    return over.rpartition(": ")[2] if over else None
