"""What a preview sees of the database: the target, and what the ledger knows, in one read-only snapshot.

A login that may only read the target will do; what the ledger would have said is then noted as unknown.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
import psycopg
from psycopg import errors

from include.ingest import ledger
from include.ingest.dataset.definition import Dataset
from include.ingest.drift.added_columns import added_before, check_added
from include.ingest.drift.shape import Drift
from include.ingest.errors import IngestError, TargetMismatch
from include.ingest.keys import already_loaded
from include.ingest.keys.confirmed_keys import newer_hashes, newest_version
from include.ingest.keys.key_hashes import key_shape
from include.ingest.preview.comparing import Comparison, refusal
from include.ingest.table import target as targets

Answer = TypeVar("Answer")
NO_LEDGER = (
    "the ledger (schema millrace) can't be read by this login: whether the file was ingested before, and which rows"
    " newer files hold, is not known"
)
# By what a login without rights, or a database without the ledger or with an older one, answers.
UNREADABLE = (
    errors.InsufficientPrivilege, errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn,
)  # fmt: skip


@dataclass
class View:
    """The target and the ledger. `faults` are what a run would fail by, `notes` what is not known or not tried."""

    cursor: psycopg.Cursor
    dataset: Dataset
    target: targets.Target | None = None
    secret: bytes | None = None
    newest: datetime | None = None
    empty: bool = True
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def seed(self) -> int:
        """Of the digests of files; any, where the ledger has none."""
        return ledger.seed_from(self.secret or secrets.token_bytes(16))

    def held_by(self, values: dict[str, Any]) -> UUID | None:
        """The run that ingested the same content, if a new one would be skipped. `values`: its row in the ledger."""
        if self.target is None or self.secret is None or self.faults:
            return None
        target = self.target
        return self._ask(lambda: already_loaded.held_by(self.cursor, self.dataset, target, values))

    def earlier(self) -> dict[str, str]:
        """Columns that earlier runs added to the target, each with its name in the file."""
        return self._ask(lambda: added_before(self.cursor, self.dataset)) or {}

    def fit(self, dataset: Dataset, drift: Drift) -> None:
        """Hold the target against all columns of the run."""
        self.dataset = dataset
        target = self.target
        if target is None or self.faults:
            return
        try:
            if drift.added:
                self._ask(lambda: check_added(self.cursor, dataset, target, drift))
            targets.check(target, dataset, {name for name, _ in drift.added})
        except TargetMismatch as fault:
            self.faults.append(str(fault))
        new = [name for name, _ in drift.added if name not in target.columns]
        if new and not self.faults:
            self.notes.append(f"the run would add to the target: {', '.join(new)}")

    def is_newer_than(self, version: datetime) -> bool:
        """Whether the target holds a newer version than that."""
        return self.newest is not None and self.newest > version

    def comparison(self, version: datetime) -> Comparison | None:
        """What compares rows with the target's; None where none has to be, or none can be."""
        if self.target is None or self.empty or self.faults or self.dataset.mode == "append":
            return None
        if self.dataset.mode == "replace" and self.is_newer_than(version):
            return None
        return Comparison(self.cursor, self.dataset, self.target, version, self._confirmed(version))

    def unordered(self, version: datetime) -> list[str]:
        """Other forms of the key by which newer files are known, so that a run that changes rows would fail."""
        return self._newer(version)[1]

    def _confirmed(self, version: datetime) -> tuple[np.ndarray, bytes] | None:
        hashes, _ = self._newer(version)
        return (hashes, self.secret) if len(hashes) and self.secret else None

    def _newer(self, version: datetime) -> tuple[np.ndarray, list[str]]:
        empty = np.empty(0, np.uint64)
        asked = targets.SOURCE_VERSION in targets.system_columns(self.dataset) and self.is_newer_than(version)
        if self.target is None or not asked:
            return empty, []
        oid = self.target.oid
        return self._ask(lambda: newer_hashes(self.cursor, self.dataset, oid, version)) or (empty, [])

    def _ask(self, question: Callable[[], Answer]) -> Answer | None:
        """The ledger's answer; None, and a note, where it can't be read."""
        try:
            with self.cursor.connection.transaction():
                return question()
        except UNREADABLE:
            if NO_LEDGER not in self.notes:
                self.notes.append(NO_LEDGER)
            return None


@contextmanager
def looking_at(connection: psycopg.Connection, dataset: Dataset) -> Iterator[View]:
    """A view of the database as of now. The transaction is READ ONLY and rolled back: the server lets nothing pass."""
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        view = View(cursor, dataset)
        _describe(view)
        view.secret = view._ask(lambda: ledger.find_secret(cursor, dataset))
        if view.target is not None:
            oid = view.target.oid
            view.newest = view._ask(lambda: newest_version(cursor, oid))
        yield view


def _describe(view: View) -> None:
    """The target; one that is missing and may not be made by this login is to be made by another one."""
    cursor, dataset = view.cursor, view.dataset
    try:
        view.target = targets.describe(cursor, dataset)
    except TargetMismatch as fault:
        (view.notes if _may_be_made(view) else view.faults).append(str(fault))
        return
    if view.target is None:
        view.notes.append(f"target {dataset.target} does not exist yet: the run would create it")
        return
    try:
        with cursor.connection.transaction():
            view.empty = targets.is_empty(cursor, dataset)
    except errors.InsufficientPrivilege:
        raise IngestError(refusal(cursor.connection, dataset)) from None
    view.notes += _untried(view, view.target)


def _may_be_made(view: View) -> bool:
    """Whether the target misses, in a schema in which another login may make it."""
    dataset = view.dataset
    row = view.cursor.execute(
        "SELECT n.oid IS NOT NULL AND NOT has_schema_privilege(n.oid, 'CREATE') AND c.oid IS NULL"
        " FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = %s WHERE n.nspname = %s",
        [dataset.table_name, dataset.schema_name],
    ).fetchone()
    return bool(row and row[0])


def _untried(view: View, target: targets.Target) -> Iterator[str]:
    """What of the target only a run would meet."""
    names = targets.interferers(view.cursor, target)
    if names:
        yield f"not tried: {names} of the target, which may change, redirect or refuse rows"
    found = view.cursor.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = %s AND contype IN ('c', 'f', 'x') ORDER BY 1", [target.oid]
    ).fetchall()
    if found:
        yield f"not tried: constraints of the target, which may refuse a row: {', '.join(name for (name,) in found)}"


def order_unknown(dataset: Dataset, others: list[str]) -> str:
    """Why a run of an older file would fail, see `newer_files`."""
    return (
        f"a file of a newer date was ingested into {dataset.target} when its key was ({'; '.join(others)}) and not"
        f" ({key_shape(dataset)}), so it can't be told which rows it confirmed"
    )
