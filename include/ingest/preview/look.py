"""A preview: the steps of a run up to its decision, by the same code, in a view of the database that can't write.

A file is found, cut, and searched for repeated keys as by `plan`; its records are cast and checked as by `load`; rows
are compared with the target and held against the limits as by `merge`. What is unpacked or spooled lies in a folder of
its own, which is removed at the end. What only a run meets is noted: triggers, constraints, and rows that the server
finds too wide.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from include.ingest.cast.clean_hook import code_of, load_hook
from include.ingest.cast.printed import printed
from include.ingest.cast.rows import Reader, Rows, read_rows
from include.ingest.csv.records import Chunk, read_blocks
from include.ingest.dataset.definition import Dataset, fingerprint
from include.ingest.drift.shape import drift_of, positions_of, shaped
from include.ingest.files import find_files
from include.ingest.keys.duplicates import KeyPass, read_keys
from include.ingest.ledger import oddity
from include.ingest.plan import Order, Plan, check_unchanged, dialect_of, reader_for
from include.ingest.preview.comparing import Comparison
from include.ingest.preview.result import FIRST_ROWS, Counts, Preview, RuleRejects, tally
from include.ingest.preview.view import View, looking_at, order_unknown
from include.ingest.source.local import storable
from include.ingest.source.storage import Storage


def preview(
    connection: psycopg.Connection | None, dataset: Dataset, order: Order, *, sample: int | None = None
) -> Preview:
    """What a run of the order would do now; with `sample`, judged by the first so many records only.

    Without a connection, rows and rejects are told and nothing is compared. Raises what finding and reading the file
    raise: SourceMissing, SourceDamaged, HeaderMismatch, HookError and the like.
    """
    with _scratch(order.storage) as storage:
        order = replace(order, storage=storage)
        with looking_at(connection, dataset) if connection is not None else nullcontext() as view:
            return _Look(view, dataset, order, sample).result()


@contextmanager
def _scratch(storage: Storage) -> Iterator[Storage]:
    """The storage with a folder of the preview's own for what is unpacked, beside that of the runs."""
    place = storage.scratch.parent if storage.scratch and storage.scratch.parent.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="millrace-preview-", dir=place) as folder:
        yield replace(storage, scratch=Path(folder))


class _Look:
    """One look at one file."""

    def __init__(self, view: View | None, dataset: Dataset, order: Order, sample: int | None) -> None:
        self._view, self._dataset, self._order, self._sample = view, dataset, order, sample
        self._hook = load_hook(dataset.clean)
        path = storable(str(order.path))
        seed = view.seed if view else 0
        found = find_files(order.storage, path, order.run_id, dataset, dialect_of(dataset), seed)
        self._chunks = found.chunks
        self._digest = found.digest
        drift = drift_of(dataset, found.header, view.earlier() if view else {})
        self._plan = Plan(
            order.run_id, dataset.name, path, found.size, found.files, found.header.fields,
            positions_of(dataset, found.header, drift), "merge", (), True, storage=order.storage, drift=drift,
        )  # fmt: skip
        self._dataset = dataset = shaped(dataset, drift)
        if view:
            view.fit(dataset, drift)
        self._reader = reader_for(dataset, self._plan)
        self._first_rows: list[list[str | None]] = []
        self._rejects: dict[str, RuleRejects] = {}
        self._read = self._rejected = self._superseded = 0
        self._looked_at: int | None = None

    def result(self) -> Preview:
        """Read the file and judge it."""
        held_by = self._view.held_by(self._values()) if self._view and not self._order.force else None
        if held_by is not None:
            # A run reads no further than this; the first rows are shown all the same.
            chunks, _ = _first_records(self._plan, self._reader, self._dataset, self._chunks, FIRST_ROWS)
            self._read_rows(chunks, read_keys(self._plan.text, self._reader, chunks), None)
            self._rejects.clear()
            reason = f"the same file was ingested by run {held_by}, and the target still holds it: --force looks anyway"
            return self._preview("skipped", [reason], Counts())
        chunks = self._chunks
        if self._sample is not None:
            chunks, self._looked_at = _first_records(
                self._plan, self._reader, self._dataset, chunks, self._sample
            )  # fmt: skip
        keys = read_keys(self._plan.text, self._reader, chunks)
        comparison = self._view.comparison(self._order.version) if self._view else None
        self._read_rows(chunks, keys, comparison)
        check_unchanged(self._plan)
        counts, faults, over = self._judge(comparison)
        return self._preview("failed" if faults or over else "done", faults + over, counts, over=bool(over))

    def _values(self) -> dict[str, Any]:
        """The run's row in the ledger, as far as it decides whether the run is skipped."""
        dataset, order = self._dataset, self._order
        return {
            "run_id": order.run_id,
            "target": f"{dataset.schema_name}.{dataset.table_name}",
            "file": self._plan.path,
            "version": order.version,
            "forced": order.force,
            "fingerprint": self._digest,
            "dataset_fingerprint": fingerprint(dataset, code_of(self._hook), self._plan.drift.rescued),
        }

    def _read_rows(self, chunks: Sequence[Chunk], keys: KeyPass, comparison: Comparison | None) -> None:
        for rows in _rows_of(self._plan, self._reader, self._dataset, chunks, keys):
            self._read += rows.read
            self._rejected += len(rows.rejects)
            self._superseded += rows.superseded
            tally(rows.rejects, self._plan.text, self._rejects)
            if len(self._first_rows) < FIRST_ROWS:
                self._first_rows += _texts(rows, self._dataset)[: FIRST_ROWS - len(self._first_rows)]
            if comparison is not None:
                comparison.add(rows.table)
                if rows.rejected_keys is not None:
                    comparison.keep(rows.rejected_keys)

    def _judge(self, comparison: Comparison | None) -> tuple[Counts, list[str], list[str]]:
        """The counts, what the run would fail by, and which limits it would be over."""
        staged = self._read - self._rejected - self._superseded
        over = self._dataset.reject_limit.exceeded(self._read, self._rejected)
        overs = [over] if over else []
        known = Counts(read=self._read, rejected=self._rejected, superseded=self._superseded)
        view = self._view
        if view is None or view.faults:
            unknown = replace(known, inserted=None, updated=None, unchanged=None, stale=None, deleted=None)
            return unknown, list(view.faults) if view else [], overs
        if self._dataset.mode == "replace" and view.is_newer_than(self._order.version):
            return replace(known, stale=staged, superseded=self._superseded + staged), [], overs
        if comparison is None:
            return replace(known, inserted=staged), [], overs
        kinds, faults = comparison.kinds, []
        others = view.unordered(self._order.version)
        if others and kinds["changed"]:
            faults.append(order_unknown(self._dataset, others))
        deleted: int | None = 0
        if self._dataset.mode == "replace":
            deleted, over = self._deleted(comparison)
            overs += [over] if over else []
        counts = replace(
            known, inserted=kinds["new"], updated=kinds["changed"], unchanged=kinds["same"], stale=kinds["stale"],
            superseded=self._superseded + kinds["stale"], deleted=deleted,
        )  # fmt: skip
        return counts, faults, overs

    def _deleted(self, comparison: Comparison) -> tuple[int | None, str | None]:
        """How many rows would go, and whether that is over the limit; unknown from a sample."""
        if self._looked_at is not None:
            return None, None
        absent, before = comparison.absent()
        return absent, self._dataset.delete_limit.exceeded(before, absent)

    def _preview(self, outcome: Any, reasons: list[str], counts: Counts, *, over: bool = False) -> Preview:
        view, plan, dataset = self._view, self._plan, self._dataset
        info = view.cursor.connection.info if view else None
        odd = oddity(
            {
                "read": counts.read, "deleted": counts.deleted or 0, "stale": counts.stale or 0,
                "added_columns": [], "unknown_columns": plan.drift.unknown, "unknown_policy": plan.drift.policy,
            }
        )  # fmt: skip
        return Preview(
            dataset=dataset.name,
            target=f"{dataset.schema_name}.{dataset.table_name}",
            file=plan.path,
            files=len(plan.files),
            bytes=plan.size,
            version=self._order.version.isoformat(),
            database=f"{info.dbname}, as {info.user}" if info else None,
            sample=self._looked_at,
            outcome=outcome,
            over_limit=over,
            reasons=reasons,
            notes=[*(view.notes if view else []), *([odd] if odd and outcome == "done" else [])],
            ignored=list(plan.ignored),
            missing=list(plan.drift.missing),
            renamed=dict(plan.drift.renamed),
            rescued=[name for name, _ in plan.drift.rescued],
            columns=list(dataset.columns),
            first_rows=self._first_rows,
            rejects=sorted(self._rejects.values(), key=lambda rule: -rule.rows),
            counts=counts,
        )


def _rows_of(plan: Plan, reader: Reader, dataset: Dataset, chunks: Sequence[Chunk], keys: KeyPass) -> Iterator[Rows]:
    """All records of these chunks, block by block."""
    for chunk in chunks:
        losers = keys.losers.within(chunk.offset, chunk.offset + chunk.length)
        blocks = read_blocks(
            plan.text, reader.dialect, chunk, block_bytes=dataset.block_bytes, max_record_bytes=dataset.max_record_bytes
        )
        for block in blocks:
            yield read_rows(block, reader, losers)


def _first_records(
    plan: Plan, reader: Reader, dataset: Dataset, chunks: Sequence[Chunk], number: int
) -> tuple[tuple[Chunk, ...], int | None]:
    """Chunks that hold the first records only, and how many these are; None: they are all."""
    cut: list[Chunk] = []
    left = number
    for chunk in chunks:
        blocks = read_blocks(
            plan.text, reader.dialect, chunk, block_bytes=dataset.block_bytes, max_record_bytes=dataset.max_record_bytes
        )
        for block in blocks:
            if len(block.starts) > left:
                end = int(block.offsets[left])
                return (*cut, replace(chunk, length=end - chunk.offset)) if end > chunk.offset else tuple(cut), number
            left -= len(block.starts)
        cut.append(chunk)
    return tuple(cut), None


def _texts(rows: Rows, dataset: Dataset) -> list[list[str | None]]:
    """The first rows, each value as PostgreSQL prints it."""
    table = rows.table.slice(0, FIRST_ROWS)
    columns = [printed(table[name], column.sql_type) for name, column in dataset.columns.items()]
    return [list(row) for row in zip(*columns, strict=True)]
