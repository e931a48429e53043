"""Plan: fingerprint the file, decide whether there is anything to do, cut it, and prepare staging."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from include.ingest import ledger
from include.ingest.cast.clean_hook import code_of, load_hook
from include.ingest.cast.rows import Reader
from include.ingest.csv.grammar import Dialect
from include.ingest.csv.records import Chunk
from include.ingest.csv.text_form import TextForm, form_for, form_of
from include.ingest.dataset.definition import Dataset, fingerprint
from include.ingest.drift.added_columns import added_before, check_added
from include.ingest.drift.shape import Drift, drift_of, positions_of, shaped
from include.ingest.errors import SourceChanged, SourceMissing
from include.ingest.files import find_files
from include.ingest.keys import already_loaded
from include.ingest.keys.confirmed_keys import file_hashes
from include.ingest.keys.duplicates import read_keys
from include.ingest.keys.known_records import find_base, save_known
from include.ingest.source import File, Source, files_of
from include.ingest.source.local import storable
from include.ingest.source.storage import LOCAL, Storage
from include.ingest.table import staging
from include.ingest.table import target as targets

SMALL_BYTES = 16 << 20  # loaded and merged in less time than a task takes to start


class Replay(NamedTuple):
    """What is special about a run of records that were rejected before (decision 20)."""

    files: list[str]  # that the records came from, where there are several
    began: str  # when the run of these files began, ISO 8601: a row that was written since may be of them


@dataclass(frozen=True)
class Plan:
    """Where the work is: what every later step needs, as plain values."""

    run_id: UUID
    dataset: str
    path: str  # or URL, of a file, a folder, or a pattern
    size: int  # of the plain text
    files: tuple[File, ...]
    fields: int
    positions: tuple[int, ...]  # of each column that `shape` gives, or ABSENT
    form: staging.Form
    chunks: tuple[Chunk, ...]
    skipped: bool
    base: UUID | None = None  # the run that this one builds on, see `known_records`
    drift: Drift = field(default_factory=Drift)
    text_form: TextForm | None = None  # None: planned by a version that kept none
    replay: Replay | None = None  # set: the records were rejected before
    storage: Storage = field(default=LOCAL, compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, small enough for an XCom."""
        values = asdict(replace(self, storage=LOCAL))
        del values["storage"]
        return {**values, "run_id": str(self.run_id), "base": str(self.base) if self.base else None}

    @classmethod
    def from_dict(cls, values: dict[str, Any], storage: Storage) -> Plan:
        """The plan that `as_dict` gave, also by a version before this one."""
        return cls(
            **{
                **{name: value for name, value in values.items() if name not in ("modified_ns", "ignored")},
                "files": files_of(values),
                "storage": storage,
                "run_id": UUID(values["run_id"]),
                "positions": tuple(values["positions"]),
                "chunks": tuple(Chunk(**chunk) for chunk in values["chunks"]),
                "base": UUID(values["base"]) if values.get("base") else None,
                "drift": Drift.from_dict(values["drift"]) if "drift" in values else Drift(),
                "text_form": form_of(values),
                "replay": Replay(*values["replay"]) if values.get("replay") else None,
            }
        )

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns of the file that go nowhere."""
        return self.drift.unknown if self.drift.policy in ("ignore", "warn") else ()

    def shape(self, dataset: Dataset) -> Dataset:
        """The dataset with all columns of this run: also those that its file brings. Safe to repeat."""
        return shaped(dataset, self.drift)

    @cached_property
    def text(self) -> Source:
        """What the files hold, unpacked, one after the other."""
        return self.storage.planned(self.path, self.files, self.run_id)


@dataclass(frozen=True)
class Order:
    """What the caller asks for: which file, as which run. `path` may be a URL, a pattern, or a folder."""

    run_id: UUID
    path: Path | str
    version: datetime
    force: bool = False
    airflow_run: str | None = None
    storage: Storage = LOCAL

    def look(self) -> None:
        """Raise SourceMissing unless there is something to ingest."""
        self.storage.files(str(self.path))


def plan(connection: psycopg.Connection, dataset: Dataset, order: Order) -> Plan:
    """Plan a run and record it in the ledger. Safe to run again: it starts the run anew.

    Raises SourceMissing, SourceChanged, SourceDamaged, HeaderMismatch, TargetMismatch or HookError.
    """
    with begun(connection, dataset, order):
        return _plan(connection, dataset, order)


def _plan(connection: psycopg.Connection, dataset: Dataset, order: Order) -> Plan:
    started = time.monotonic()
    hook = load_hook(dataset.clean)
    path = storable(str(order.path))
    with connection.cursor() as cursor:
        seed = ledger.seed_of(cursor, dataset)
        earlier = added_before(cursor, dataset)
        last_header = ledger.last_header(cursor, dataset, order.run_id)
    found = find_files(order.storage, path, order.run_id, dataset, dialect_of(dataset), seed)
    drift = drift_of(dataset, found.header, earlier)
    positions, dataset = positions_of(dataset, found.header, drift), shaped(dataset, drift)
    idle = Plan(
        order.run_id, dataset.name, path, found.size, found.files, found.header.fields, positions, "merge", (), True,
        storage=order.storage, drift=drift, text_form=form_for(dataset, found.head),
    )  # fmt: skip
    values = {
        **_first_values(dataset, order),
        **ledger.column_values(drift, last_header),
        "bytes": found.size,
        "fingerprint": found.digest,
        "dataset_fingerprint": fingerprint(dataset, code_of(hook), drift.rescued),
        "chunks": len(found.chunks),
        "plan": Jsonb(idle.as_dict()),
        "plan_seconds": time.monotonic() - started,
    }
    with connection.transaction(), connection.cursor() as cursor:
        target = _target(cursor, dataset, order, drift)
        ledger.recall_run(cursor, order.run_id)
        hashes = partial(_hashes, cursor, dataset, idle, found.chunks)
        if target is not None and already_loaded.is_in(cursor, dataset, target, values, hashes):
            check_unchanged(idle)
            order.storage.forget(order.run_id)
            return idle
        base = find_base(cursor, dataset, target, values, order.storage) if target is not None else None
    planned = replace(idle, chunks=found.chunks, skipped=False)
    keys = read_keys(idle.text, reader_for(dataset, idle), found.chunks, base)
    check_unchanged(idle)
    with connection.transaction(), connection.cursor() as cursor:
        target = _target(cursor, dataset, order, drift)
        empty = target is None or targets.is_empty(cursor, dataset)
        form = staging.form_for(target, dataset, empty=empty, published=targets.is_published(cursor, dataset))
        asked = {**values, "target_oid": target.oid if target is not None else None}
        if base is not None and (form != "merge" or not ledger.is_last(cursor, base.run_id, asked)):
            base = None
        planned = replace(planned, form=form, base=base.run_id if base else None)
        start = {"plan": Jsonb(planned.as_dict()), "plan_seconds": time.monotonic() - started}
        ledger.start_run(cursor, {**values, **start, "status": "planned", "reason": None, "confirms": None})
        ledger.save_losers(cursor, order.run_id, planned.chunks, keys.losers)
        staging.create(cursor, order.run_id, dataset, form, order.version.isoformat())
        if base is not None:
            save_known(cursor, order.run_id, keys.known)
    return planned


@contextmanager
def begun(connection: psycopg.Connection, dataset: Dataset, order: Order) -> Iterator[None]:
    """Have the run in the ledger, as waiting. Where the block fails, it is no longer done, if it was before."""
    with connection.cursor() as cursor:
        ledger.begin_run(cursor, _first_values(dataset, order))
    try:
        yield
    except Exception:
        with suppress(psycopg.OperationalError):
            wait(connection, dataset, order)
        raise


def wait(connection: psycopg.Connection, dataset: Dataset, order: Order) -> None:
    """Have a run that has begun as waiting in the ledger, also if it was done before and was cleared."""
    with connection.cursor() as cursor:
        ledger.set_aside(cursor, _first_values(dataset, order))


def _first_values(dataset: Dataset, order: Order) -> dict[str, Any]:
    """What the ledger says of a run before its file was looked at."""
    return {
        "run_id": order.run_id,
        "dataset": dataset.name,
        "target": f"{dataset.schema_name}.{dataset.table_name}",
        "airflow_run": order.airflow_run,
        "file": storable(str(order.path)),
        "version": order.version,
        "forced": order.force,
    }


def _target(cursor: psycopg.Cursor, dataset: Dataset, order: Order, drift: Drift) -> targets.Target | None:
    """The target, checked; other plans of the same run wait until the transaction ends."""
    # A task that Airflow took for dead may plan this run still, and both would make its staging tables.
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [str(order.run_id)])
    target = targets.describe(cursor, dataset)
    if target is not None:
        check_added(cursor, dataset, target, drift)
        targets.check(target, dataset, {name for name, _ in drift.added})
    return target


def _hashes(
    cursor: psycopg.Cursor, dataset: Dataset, plan: Plan, chunks: Iterable[Chunk], without: np.ndarray
) -> list[np.ndarray]:
    """What the ledger keeps of the file's keys, without the records at these offsets."""
    secret = ledger.secret_of(cursor, dataset)
    return file_hashes(plan.text, reader_for(dataset, plan), chunks, secret, without)


def is_small(plan: Plan, order: Order) -> bool:
    """Whether the steps after the plan are not worth tasks of their own.

    Not of a forced run: planned once more after its merge, it would count its own rows as unchanged. One without rows
    has none to count, and no chunk whose load would be followed by a merge.
    """
    return not (plan.skipped or (order.force and plan.chunks)) and len(plan.chunks) <= 1 and plan.size <= SMALL_BYTES


def read_plan(connection: psycopg.Connection, run_id: UUID, storage: Storage = LOCAL) -> Plan:
    """The plan of a run, as the ledger has it."""
    with connection.cursor() as cursor:
        return Plan.from_dict(ledger.plan_of(cursor, run_id), storage)


def dialect_of(dataset: Dataset) -> Dialect:
    """The dataset's dialect in the scanner's terms."""
    csv = dataset.csv
    escape = None if csv.escape in (None, csv.quote) else csv.escape
    marks = (mark.encode() if mark else None for mark in (csv.quote, escape, csv.comment))
    return Dialect(csv.delimiter.encode(), *marks)


def reader_for(dataset: Dataset, plan: Plan) -> Reader:
    """How to read the planned file."""
    names = tuple(file.path for file in plan.files) if len(plan.files) > 1 else ()
    dialect, clean = dialect_of(dataset), load_hook(dataset.clean)
    if plan.replay:  # nothing but records: one that begins as a comment does was corrected so
        names, dialect = tuple(plan.replay.files), replace(dialect, comment=None)
    return Reader(plan.shape(dataset), dialect, plan.fields, plan.positions, clean, names, plan.drift.rescued)


def check_unchanged(plan: Plan) -> None:
    """Raise SourceChanged when a file is not as planned, has gone, or has come since; SourceMissing if all have."""
    before = {file.path: file.mark for file in plan.files}
    try:
        now = dict(plan.storage.files(plan.path))
    except SourceMissing as fault:
        raise SourceMissing(
            f"{plan.path} has gone since it was planned: deliver it again and clear the run's `plan` task"
        ) from fault
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            sizes = (str(mark.size) if mark else "no" for mark in (before.get(name), now.get(name)))
            raise SourceChanged(
                f"{name} changed since it was planned ({' to '.join(sizes)} bytes). It must be complete before the"
                " run: clear the run's `plan` task to start it anew"
            )
