"""Columns that runs add to the target, and the ledger of them: `millrace.added_column`.

A column is added in the merge's own transaction: it is there with the rows that brought it, or not at all. That keeps
readers waiting until the merge has ended, but only on the day of a new column. The ledger knows a table by its name, as
it then speaks of the same table after a promotion, and after a dump that was restored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from psycopg import Cursor, sql

from include.ingest.dataset.definition import Dataset
from include.ingest.drift.rescued_cells import TEXT
from include.ingest.drift.shape import Drift, absent_of, shaped
from include.ingest.errors import TargetMismatch
from include.ingest.table import target as targets
from include.ingest.table.name import TableName

KIND = TEXT.sql_type.name


def added_before(cursor: Cursor, dataset: Dataset) -> dict[str, str]:
    """Columns that earlier runs of the dataset added, each with its name in the file.

    Not those that the target has lost since, or that somebody has made something else of.
    """
    if dataset.unknown_columns != "add":
        return {}
    name = targets.identifier(dataset)
    return dict(
        cursor.execute(
            "SELECT c.column_name, c.header_name FROM millrace.added_column c JOIN pg_attribute a"
            " ON a.attrelid = to_regclass(%s) AND a.attname = c.column_name AND NOT a.attisdropped"
            " AND NOT a.attnotnull AND format_type(a.atttypid, a.atttypmod) = %s"
            " WHERE c.target = %s AND c.dataset = %s ORDER BY 1",
            [name.as_string(cursor), KIND, _target(dataset), dataset.name],
        ).fetchall()
    )


def check_added(cursor: Cursor, dataset: Dataset, target: targets.Target, drift: Drift) -> None:
    """Raise TargetMismatch where the columns that a file brings can't be added, or are somebody else's."""
    lacks = [name for name, _ in drift.added if name not in target.columns]
    why = lacks and _why_not(cursor, target)
    if why:
        statement = _statement(targets.identifier(dataset), lacks).as_string(cursor)
        raise TargetMismatch(
            f"target {dataset.target}: the file brings {_listed(drift, lacks)}, which can't be added: {why}. Let it be"
            f" done by hand: {statement}; an empty column of that type is taken as it is. Or"
            f" set `unknown_columns` in {dataset.name}.yaml to rescue or ignore. Then clear `plan`"
        )
    taken = [name for name, _ in drift.added if name in target.columns and not _is_free(cursor, dataset, target, name)]
    if taken:
        kinds = ", ".join(f"{name} ({target.columns[name]})" for name in taken)
        raise TargetMismatch(
            f"target {dataset.target}: the file brings {_listed(drift, taken)}, and the table's column of that name is"
            f" taken: {kinds}. It would have to be {KIND}, and empty or one that Millrace has added. Name it under"
            f" `columns` in {dataset.name}.yaml, with its type, or rename the table's column"
        )


def _listed(drift: Drift, columns: Sequence[str]) -> str:
    """The columns as the file names them."""
    return ", ".join(name for column, name in drift.added if column in columns)


def _why_not(cursor: Cursor, target: targets.Target) -> str:
    """What forbids to alter the table; empty where nothing does."""
    row = cursor.execute(
        "SELECT current_user, c.relowner::regrole::text, pg_has_role(c.relowner, 'USAGE'),"
        " (SELECT string_agg(DISTINCT p.pubname, ', ') FROM pg_publication_tables p"
        "  WHERE p.schemaname = n.nspname AND p.tablename = c.relname)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s",
        [target.oid],
    ).fetchone()
    assert row is not None
    role, owner, may_alter, published = row
    if not may_alter:
        return f"the table is {owner}'s, and role {role} may not alter it"
    if published:
        return f"the table is published by {published}, and its subscribers would stop until they have the column too"
    return ""


def _is_free(cursor: Cursor, dataset: Dataset, target: targets.Target, column: str) -> bool:
    """Whether a column of the table may take what a file brings: an earlier run added it, or it holds nothing."""
    if target.columns[column] != KIND or column in target.generated or column in target.demanding:
        return False
    known = cursor.execute(
        "SELECT 1 FROM millrace.added_column WHERE target = %s AND column_name = %s LIMIT 1", [_target(dataset), column]
    ).fetchone()
    holds = sql.SQL("SELECT 1 FROM {} WHERE {} IS NOT NULL LIMIT 1")
    return (
        known is not None
        or cursor.execute(holds.format(targets.identifier(dataset), sql.Identifier(column))).fetchone() is None
    )


def add_columns(cursor: Cursor, dataset: Dataset, target: targets.Target, drift: Drift) -> None:
    """Add what the target lacks of the columns that a file brings. Raises TargetMismatch where that can't be done."""
    check_added(cursor, dataset, target, drift)
    new = [name for name, _ in drift.added if name not in target.columns]
    try:
        add_to(cursor, targets.identifier(dataset), new)
    except psycopg.ProgrammingError as error:
        raise TargetMismatch(
            f"target {dataset.target}: the file brings {_listed(drift, new)}, which can't be added:"
            f" {error.diag.message_primary}. Nothing was changed. Set `unknown_columns` in {dataset.name}.yaml to"
            " rescue or ignore"
        ) from error
    cursor.execute(  # of a column that somebody has dropped since it was added
        "DELETE FROM millrace.added_column WHERE target = %s AND column_name = ANY (%s)", [_target(dataset), new]
    )


def add_to(cursor: Cursor, table: TableName, names: Sequence[str]) -> None:
    """Add columns of the kind to a table; no row is rewritten."""
    if names:
        cursor.execute(_statement(table, names))


def _statement(table: TableName, names: Sequence[str]) -> sql.Composed:
    clauses = (sql.SQL("ADD COLUMN {} {}").format(sql.Identifier(name), sql.SQL(KIND)) for name in names)
    return sql.SQL("ALTER TABLE {} {}").format(table, sql.SQL(", ").join(clauses))


def note_added(cursor: Cursor, dataset: Dataset, target: targets.Target, drift: Drift) -> list[str]:
    """Enter the columns that a run brought to the target; returns those that are new there."""
    found = []
    for column, name in drift.added:
        if column in target.columns:
            row = cursor.execute(
                "INSERT INTO millrace.added_column (target, dataset, column_name, header_name) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING RETURNING column_name",
                [_target(dataset), dataset.name, column, name],
            ).fetchone()
            found += [column] if row else []
    return found


def caught_up(cursor: Cursor, dataset: Dataset, drift: Drift, rows: TableName) -> Dataset:
    """The run's dataset with columns that other runs have added since it was planned: null in its staged rows.

    Only under the lock of the target, as more may come until then.
    """
    earlier: Mapping[str, str] = added_before(cursor, dataset)
    late = absent_of(dataset, list(dataset.columns), earlier)
    add_to(cursor, rows, late)
    return shaped(dataset, Drift(absent=late))


def _target(dataset: Dataset) -> str:
    return f"{dataset.schema_name}.{dataset.table_name}"
