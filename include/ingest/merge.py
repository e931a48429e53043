"""Merge: bring the staged rows into the target, and balance the account.

All of it is one transaction. Readers see the table as it was or as it is afterwards, never a mixture, and
a merge that dies leaves the target and staging as they were. One merge at a time runs on a target: a second
one waits for the first.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import Cursor, sql

from include.ingest import ledger
from include.ingest.dataset.definition import Dataset
from include.ingest.drift.added_columns import add_columns, caught_up, note_added
from include.ingest.errors import AccountMismatch, DeleteLimitExceeded, RejectLimitExceeded, StagingLost, TargetRefused
from include.ingest.keys.confirmed_keys import (
    file_hashes,
    keep_file,
    keep_staged,
    newest_version,
    note_version,
    thin_out,
)
from include.ingest.keys.known_records import can_be_base
from include.ingest.keys.newer_files import withdraw_confirmed, withdraw_ties
from include.ingest.ledger import Account
from include.ingest.load import load_chunk, rejected_rows_hint, unstaged, why_rejected
from include.ingest.plan import Plan, Replay, check_unchanged, reader_for
from include.ingest.profile import kept
from include.ingest.table import comparison, promotion, staging
from include.ingest.table import target as targets
from include.ingest.table.key_gap import find_gap
from include.ingest.table.name import TableName
from include.ingest.table.refused_rows import REFUSALS
from include.ingest.table.row_writers import is_untouched

WORK_MEM = "128MB"
MAINTENANCE_WORK_MEM = "64MB"  # rows mostly come in the order of their key: more did not help
SMALL_TABLE = 64 << 20  # bytes that are read in no time
TIMES_THE_FILE = 4  # in bytes: three reads of a larger table, which the proof takes, may cost more than it spares
ORDERED = 0.95  # a correlation of place and key from which a table counts as ordered


@dataclass(frozen=True)
class Applied:
    """What became of the staged rows in the target."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0  # the target has a newer version
    deleted: int = 0  # mode `replace`: rows of the target that the file does not hold
    target_rows: int | None = None  # afterwards; None where the next run can't build on this one


def merge(connection: psycopg.Connection, dataset: Dataset, plan: Plan) -> Account:
    """Merge a loaded run and return its account. Safe to run again: a run that is done stays as it is.

    Raises RejectLimitExceeded before anything touches the target, TargetMismatch or TargetRefused when the table
    can't take the rows, AccountMismatch when the counts do not add up. Chunks that a crash of the server emptied
    are loaded again first.
    """
    with connection.cursor() as cursor:
        if plan.skipped or ledger.status_of(cursor, plan.run_id) == "done":
            plan.storage.forget(plan.run_id)
            return ledger.account(cursor, plan.run_id)
    dataset = plan.shape(dataset)
    _load_missing(connection, dataset, plan)
    probed = False
    while True:
        try:
            _merge_loaded(connection, dataset, plan)
            break
        except _Touched:
            pass  # not twice: nothing is taken as known any more
        except REFUSALS as error:
            if probed:
                raise _refused(dataset, plan, error) from error
            probed = True
        with connection.transaction(), connection.cursor() as cursor:
            staging.start_over(cursor, plan.run_id)
        _load_missing(connection, dataset, plan, probed=probed)
    thin_out(connection, dataset, plan.run_id)
    plan.storage.forget(plan.run_id)
    with connection.cursor() as cursor:
        return ledger.account(cursor, plan.run_id)


def merge_here(cursor: Cursor, dataset: Dataset, plan: Plan) -> None:
    """Merge a loaded run in the caller's transaction, which is then all of it: nothing of it stands if that fails.

    Raises as `merge` does. Nothing is loaded again.
    """
    dataset = plan.shape(dataset)
    try:
        _merge(cursor, dataset, plan)
    except (psycopg.errors.IntegrityError, psycopg.errors.RaiseException) as error:
        raise _refused(dataset, plan, error) from error


class _Touched(Exception):
    """Somebody wrote to the target since the file was planned: what seemed known must be loaded."""


def _load_missing(connection: psycopg.Connection, dataset: Dataset, plan: Plan, *, probed: bool = False) -> None:
    for chunk in unstaged(connection, plan):
        load_chunk(connection, dataset, plan, chunk, probed=probed)


def _merge_loaded(connection: psycopg.Connection, dataset: Dataset, plan: Plan) -> None:
    try:
        with connection.transaction(), connection.cursor() as cursor:
            _merge(cursor, dataset, plan)
    except (psycopg.errors.IntegrityError, psycopg.errors.RaiseException) as error:
        raise _refused(dataset, plan, error) from error


def _refused(dataset: Dataset, plan: Plan, error: psycopg.Error) -> TargetRefused:
    return TargetRefused(
        f"target {dataset.target} refused a row of {plan.path}: {error.diag.message_primary}."
        f" {error.diag.message_detail or ''} Nothing was changed."
    )


def _merge(cursor: Cursor, dataset: Dataset, plan: Plan) -> None:
    started = time.monotonic()
    # First of all locks: the order of runs is that of these transactions (decision 18), and no two wait for each other.
    targets.queue_up(cursor, dataset)
    # A task that Airflow took for dead may have merged it meanwhile.
    if ledger.status_of(cursor, plan.run_id) == "done":
        return
    if staging.loaded_chunks(cursor, plan.run_id) != {chunk.number for chunk in plan.chunks}:
        raise StagingLost(f"run {plan.run_id}: staging is not complete; the chunks must be loaded again")
    check_unchanged(plan)
    _tune(cursor)
    dataset = caught_up(cursor, dataset, plan.drift, staging.rows_table(plan.run_id))
    loaded = ledger.counted(cursor, plan.run_id)
    over = dataset.reject_limit.exceeded(loaded["read"], loaded["rejected"])
    if over:
        why = why_rejected(cursor, dataset, plan)
        raise RejectLimitExceeded(f"{plan.path}: {over}.{why} {rejected_rows_hint(plan)}")
    try:
        applied = _apply(cursor, dataset, plan, loaded)
        counts = _balance(plan, loaded, applied)
    except AccountMismatch as error:
        raise _explained(cursor, dataset, error) from error
    target = targets.describe(cursor, dataset)
    assert target is not None
    after: dict[str, Any] = {"oid": target.oid, "rows": applied.target_rows, "shape": targets.shape(cursor, dataset)}
    after["added"] = note_added(cursor, dataset, target, plan.drift)
    seconds = time.monotonic() - started
    ledger.finish_run(cursor, plan.run_id, counts, after, seconds=seconds, reason=_oddity(counts, after, plan))
    kept.settle(cursor, plan.run_id, dataset)
    note_version(cursor, plan.run_id, target.oid)
    if dataset.mode == "append":
        ledger.note_appended(cursor, plan.run_id)
    if counts["unchanged"] and targets.SOURCE_VERSION in targets.system_columns(dataset):
        _keep_keys(cursor, dataset, plan, target.oid)
    ledger.forget_older_losers(cursor, plan.run_id)
    if applied.target_rows is None or not can_be_base(dataset):
        ledger.forget_losers(cursor, plan.run_id)
    staging.drop(cursor, plan.run_id)


def _oddity(counts: dict[str, int], after: dict[str, Any], plan: Plan) -> str | None:
    columns = {"unknown_columns": plan.drift.unknown, "unknown_policy": plan.drift.policy}
    return ledger.oddity({**counts, **columns, "added_columns": after["added"]})


def _explained(cursor: Cursor, dataset: Dataset, error: AccountMismatch) -> AccountMismatch | TargetRefused:
    """The target's own triggers and rules as the cause, where it has any."""
    target = targets.describe(cursor, dataset)
    names = targets.interferers(cursor, target) if target else ""
    if not names:
        return error
    return TargetRefused(
        f"target {dataset.target} did not take each row as it was written: {names} can skip or redirect rows, and then"
        f" they can't be counted. Nothing was changed. Change that, or let the dataset fill another table. ({error})"
    )


def _tune(cursor: Cursor) -> None:
    cursor.execute(f"SET LOCAL work_mem = '{WORK_MEM}'")
    cursor.execute(f"SET LOCAL maintenance_work_mem = '{MAINTENANCE_WORK_MEM}'")
    cursor.execute("SET LOCAL hash_mem_multiplier = 4")
    # The planner takes most rows for changed, and so for too many to be passed on by parallel workers: few are.
    cursor.execute("SET LOCAL parallel_tuple_cost = 0")
    cursor.execute("SET LOCAL enable_memoize = off")  # every row is looked up once


def _keep_keys(cursor: Cursor, dataset: Dataset, plan: Plan, oid: int) -> None:
    """Keep the keys of a file that left rows unchanged; they are hashed by now, unless the table was to be new."""
    if plan.form == "merge":
        keep_staged(cursor, dataset, plan.run_id, oid)
        return
    without = ledger.rejected_offsets(cursor, ledger.run_of(cursor, plan.run_id))
    secret = ledger.secret_of(cursor, dataset)
    hashes = file_hashes(plan.text, reader_for(dataset, plan), plan.chunks, secret, without)
    keep_file(cursor, dataset, plan.run_id, oid, hashes)


def _apply(cursor: Cursor, dataset: Dataset, plan: Plan, loaded: dict[str, int]) -> Applied:
    staged = loaded["read"] - loaded["rejected"] - loaded["superseded"] - loaded["known"]
    version = ledger.run_of(cursor, plan.run_id)["version"]
    before = targets.describe(cursor, dataset)
    if before is not None:
        targets.check(before, dataset, {name for name, _ in plan.drift.added})
    newest = newest_version(cursor, before.oid) if before is not None else None
    if dataset.mode == "replace" and newest is not None and newest > version:
        return Applied(stale=staged)  # also where the newer file has left nothing
    if plan.form == "promote" and promotion.promote(cursor, dataset, plan.run_id):
        return Applied(inserted=staged, target_rows=staged)
    return _apply_rows(cursor, dataset, plan, staged, loaded["known"])


def _lock(cursor: Cursor, dataset: Dataset, plan: Plan) -> targets.Target:
    """The target, made where it misses, checked, and locked against other writers until the transaction ends.

    It is described under the lock: before, it may have been swapped for another one.
    """
    name = targets.identifier(dataset)
    if targets.describe(cursor, dataset) is None:
        targets.create(cursor, dataset, name)
        targets.add_key(cursor, dataset, name)
    # The weakest mode that keeps every other writer out, and no reader.
    cursor.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(name))
    target = targets.describe(cursor, dataset)
    assert target is not None
    targets.check(target, dataset, {column for column, _ in plan.drift.added})
    add_columns(cursor, dataset, target, plan.drift)
    targets.add_system_columns(cursor, dataset, target, name)
    return target


def _apply_rows(cursor: Cursor, dataset: Dataset, plan: Plan, staged: int, known: int) -> Applied:
    target = _lock(cursor, dataset, plan)
    if known and not (plan.base and is_untouched(cursor, dataset, plan.base)):
        raise _Touched
    version = ledger.run_of(cursor, plan.run_id)["version"]
    newest = newest_version(cursor, target.oid)
    if dataset.mode == "replace" and newest is not None and newest > version:
        return Applied(stale=staged)
    cursor.execute(sql.SQL("ANALYZE {}").format(staging.rows_table(plan.run_id)))
    statements = _Statements(dataset, plan)
    if dataset.mode == "append" or targets.is_empty(cursor, dataset):
        inserted = _run(cursor, statements.insert_all())
        return Applied(inserted=inserted, target_rows=_count(cursor, dataset, plan, target))
    statements.surely_new = find_gap(cursor, dataset, statements.rows)
    _find_changes(cursor, dataset, statements)
    _run(cursor, sql.SQL("ANALYZE {}").format(statements.changes))
    if newest is not None and newest > version and targets.SOURCE_VERSION in targets.system_columns(dataset):
        withdraw_confirmed(cursor, dataset, plan.run_id, plan.path, target.oid, version)
    if plan.replay and targets.SOURCE_VERSION in targets.system_columns(dataset):
        withdraw_ties(cursor, dataset, plan.run_id, target.oid, version)
    kinds: dict[str, int] = dict(cursor.execute(statements.count_changes()).fetchall())
    whole = dataset.mode == "replace" and not plan.replay  # else the file may hold what the run does not
    absent = _check_absent(cursor, dataset, plan, statements) if whole else 0
    applied = Applied(
        inserted=_run(cursor, statements.insert_surely_new()) + _run(cursor, statements.insert_new()),
        updated=_update(cursor, statements),
        unchanged=staged - sum(kinds.values()),
        stale=kinds.get("stale", 0),
        deleted=_run(cursor, statements.delete_absent()) if absent else 0,
    )
    rows = known and plan.base and ledger.target_rows(cursor, plan.base) + applied.inserted
    applied = replace(applied, target_rows=rows or _count(cursor, dataset, plan, target))
    if (applied.inserted, applied.updated) != (kinds.get("new", 0), kinds.get("changed", 0)):
        raise AccountMismatch(f"run {plan.run_id}: found {kinds}, but the target took {applied}")
    return applied


def _check_absent(cursor: Cursor, dataset: Dataset, plan: Plan, statements: _Statements) -> int:
    """Rows of the target that are to be deleted. Raises DeleteLimitExceeded, before any row is touched."""
    _run(cursor, sql.SQL("ANALYZE {}").format(statements.rejected))
    (absent,) = cursor.execute(statements.count_absent()).fetchone() or (0,)
    (before,) = (absent and cursor.execute(statements.count_target()).fetchone()) or (0,)
    over = dataset.delete_limit.exceeded(before, absent)
    if over:
        raise DeleteLimitExceeded(
            f"{plan.path}: {over}. Nothing was changed. If the file is right, let one run do it by `delete_rows` and"
            f" `delete_ratio` in the trigger form (--delete-rows and --delete-ratio on the command line), or raise"
            f" `delete_limit` in {dataset.name}.yaml; then clear `plan`"
        )
    return int(absent)


def _count(cursor: Cursor, dataset: Dataset, plan: Plan, target: targets.Target) -> int | None:
    """Rows of the target now; None where it could not be proved untouched later, or that would not pay."""
    if not target.keeps_rows:
        return None
    rows = sql.SQL("SELECT CASE WHEN pg_relation_size(%s) <= %s THEN (SELECT count(*) FROM {}) END")
    name = targets.identifier(dataset)
    most = max(SMALL_TABLE, TIMES_THE_FILE * plan.size)
    row = cursor.execute(rows.format(name), [name.as_string(cursor), most]).fetchone()
    return row[0] if row else None


def _find_changes(cursor: Cursor, dataset: Dataset, statements: _Statements) -> None:
    """Rows and target in the order of their keys: neighbours are looked up on the same pages, and nothing spills."""
    ordered = all(_in_order(cursor, table, dataset.key[0]) for table in (statements.rows, targets.identifier(dataset)))
    if ordered:
        cursor.execute("SET LOCAL enable_hashjoin = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")
    _run(cursor, statements.find_changes())
    cursor.execute("RESET enable_hashjoin")
    cursor.execute("RESET enable_mergejoin")


def _in_order(cursor: Cursor, table: TableName, column: str) -> bool:
    """Whether a table's rows lie in the order of a column, as its statistics have it; they are made where missing."""
    query = (
        "SELECT correlation FROM pg_stats WHERE schemaname = %s AND tablename = %s AND attname = %s ORDER BY inherited"
    )
    found = cursor.execute(query, [table.schema, table.table, column]).fetchone()
    if found is None:
        cursor.execute(sql.SQL("ANALYZE {}").format(table))
        found = cursor.execute(query, [table.schema, table.table, column]).fetchone()
    return found is not None and (found[0] or 0.0) > ORDERED


def _update(cursor: Cursor, statements: _Statements) -> int:
    """Go to each changed row by its address, page by page; a join would read the whole target once more."""
    cursor.execute("SET LOCAL enable_hashjoin = off")
    cursor.execute("SET LOCAL enable_mergejoin = off")
    updated = _run(cursor, statements.update_changed())
    cursor.execute("RESET enable_hashjoin")
    cursor.execute("RESET enable_mergejoin")
    return updated


class _Statements:
    """The merge's SQL for one dataset and run."""

    def __init__(self, dataset: Dataset, plan: Plan) -> None:
        self.dataset = dataset
        self.replay = plan.replay
        self.asis = staging.asis_table(plan.run_id)
        self.rows = staging.rows_table(plan.run_id)
        self.rejected = staging.rejected_table(plan.run_id)
        self.changes = staging.change_table(plan.run_id)
        self.target = targets.identifier(dataset)
        self.surely_new: sql.Composable = sql.SQL(
            "false"
        )  # condition on rows that need not be looked up, see `key_gap`
        self.system = {
            targets.PROCESSED_AT: sql.SQL("now()"),
            targets.SOURCE_VERSION: sql.SQL("(SELECT version FROM millrace.ingest_run WHERE run_id = {})").format(
                sql.Literal(plan.run_id)
            ),
        }
        self.system = {name: self.system[name] for name in targets.system_columns(dataset)}
        self.same_key = comparison.same_key(dataset)

    def insert_all(self) -> sql.Composed:
        return self._insert(self.rows, sql.SQL("true"))

    def insert_surely_new(self) -> sql.Composed:
        return self._insert(self.rows, self.surely_new)

    def insert_new(self) -> sql.Composed:
        return self._insert(self.changes, sql.SQL("s.millrace_kind = 'new'"))

    def _insert(self, source: TableName, where: sql.Composable) -> sql.Composed:
        names = [*self.dataset.columns, *self.system]
        return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} s WHERE {}").format(
            self.target,
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join([*(sql.Identifier("s", name) for name in self.dataset.columns), *self.system.values()]),
            source,
            where,
        )

    def find_changes(self) -> sql.Composed:
        """Rows that are new, or differ and are to win or lose; equal and surely new ones are left out."""
        return sql.SQL(
            "CREATE UNLOGGED TABLE {changes} WITH (autovacuum_enabled = off) AS"
            " SELECT s.*, t.ctid AS millrace_row, t.tableoid AS millrace_table, CASE WHEN t.tableoid IS NULL THEN 'new'"
            " WHEN {stale} THEN 'stale' ELSE 'changed' END AS millrace_kind"
            " FROM {rows} s LEFT JOIN {target} t ON {same_key}"
            " WHERE NOT ({surely_new}) AND (t.tableoid IS NULL OR {differs})"
        ).format(
            changes=self.changes,
            rows=self.rows,
            target=self.target,
            same_key=self.same_key,
            surely_new=self.surely_new,
            stale=self._stale(),
            differs=comparison.differs(self.dataset),
        )

    def _stale(self) -> sql.Composable:
        older = comparison.stale(self.dataset, self.system.get(targets.SOURCE_VERSION, sql.SQL("NULL")))
        if self.replay is None:
            return older
        as_is = sql.SQL("EXISTS (SELECT FROM {} a WHERE {})").format(self.asis, comparison.same_key(self.dataset, "a"))
        return sql.SQL("({} OR {} AND {})").format(older, self._tied(self.replay), as_is)

    def _tied(self, replay: Replay) -> sql.Composable:
        """Target row `t` is as new as what is replayed: of the same file, or of another one of its version."""
        if self.dataset.mode == "replace":  # where rows have no version
            return sql.SQL("coalesce(t.{} >= {}::timestamptz, false)").format(
                sql.Identifier(targets.PROCESSED_AT), sql.Literal(replay.began)
            )
        if self.dataset.version == "data_interval":
            return sql.SQL("coalesce(t.{0} = {1}, false)").format(
                sql.Identifier(targets.SOURCE_VERSION), self.system[targets.SOURCE_VERSION]
            )
        return sql.SQL("coalesce(t.{0} = s.{0}, false)").format(sql.Identifier(self.dataset.version))

    def count_changes(self) -> sql.Composed:
        return sql.SQL(
            "SELECT kind, sum(number)::bigint FROM (SELECT millrace_kind AS kind, count(*) AS number FROM {} GROUP BY 1"
            " UNION ALL SELECT 'new', count(*) FROM {} s WHERE {}) AS found GROUP BY 1"
        ).format(self.changes, self.rows, self.surely_new)

    def update_changed(self) -> sql.Composed:
        changed = [name for name in self.dataset.columns if name not in self.dataset.key]
        values = [sql.SQL("{0} = s.{0}").format(sql.Identifier(name)) for name in changed]
        values += [sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in self.system.items()]
        return sql.SQL(
            "UPDATE {} t SET {} FROM (SELECT * FROM {} WHERE millrace_kind = 'changed' ORDER BY millrace_row) s"
            " WHERE t.ctid = s.millrace_row AND t.tableoid = s.millrace_table"
        ).format(self.target, sql.SQL(", ").join(values), self.changes)

    def count_target(self) -> sql.Composed:
        return sql.SQL("SELECT count(*) FROM {}").format(self.target)

    def count_absent(self) -> sql.Composed:
        return sql.SQL("SELECT count(*) FROM {} t WHERE {}").format(self.target, self._absent())

    def delete_absent(self) -> sql.Composed:
        return sql.SQL("DELETE FROM {} t WHERE {}").format(self.target, self._absent())

    def _absent(self) -> sql.Composed:
        """Condition on target row `t`: the file holds its key neither in a good record nor in a rejected one."""
        held = sql.SQL("NOT EXISTS (SELECT FROM {} s WHERE {})")
        return sql.SQL(" AND ").join(held.format(table, self.same_key) for table in (self.rows, self.rejected))


def _run(cursor: Cursor, statement: sql.Composed) -> int:
    cursor.execute(statement)
    return cursor.rowcount


def _balance(plan: Plan, loaded: dict[str, int], applied: Applied) -> dict[str, int]:
    counts = {
        **{name: loaded[name] for name in ("read", "rejected")},
        "inserted": applied.inserted,
        "updated": applied.updated,
        "unchanged": applied.unchanged + loaded["known"],
        "superseded": loaded["superseded"] + applied.stale,
        "stale": applied.stale,
        "deleted": applied.deleted,
    }
    accounted = sum(counts[name] for name in ("inserted", "updated", "unchanged", "superseded", "rejected"))
    if accounted != loaded["read"] or min(counts.values()) < 0:
        raise AccountMismatch(f"run {plan.run_id} does not balance: {counts}; rolled back")
    return counts
