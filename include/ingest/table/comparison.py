"""How a row of the file, `s`, is compared with the row of the target that has its key, `t`: the SQL of it.

A merge asks it of what it has staged, and a preview of rows that it sends along.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from psycopg import sql

from include.ingest.dataset.definition import Dataset
from include.ingest.table import target as targets


def same_key(dataset: Dataset, other: str = "t") -> sql.Composed:
    """Whether the two have one key; or the row of the file and one of the alias `other`."""
    return _joined(
        " AND ",
        (sql.SQL("{} = s.{}").format(sql.Identifier(other, name), sql.Identifier(name)) for name in dataset.key),
    )


def differs(dataset: Dataset, lacking: Collection[str] = ()) -> sql.Composable:
    """Whether a column beside the key differs; json has no equality in PostgreSQL and is compared as text.

    The target is `lacking` these columns still, as they will be null there when they are added.
    """
    rest = [(name, column) for name, column in dataset.columns.items() if name not in dataset.key]
    parts = (
        sql.SQL(
            "s.{0} IS NOT NULL"
            if name in lacking
            else "s.{0}::text IS DISTINCT FROM t.{0}::text"
            if column.sql_type.kind == "json"
            else "s.{0} IS DISTINCT FROM t.{0}"
        ).format(sql.Identifier(name))
        for name, column in rest
    )
    return _joined(" OR ", parts) if rest else sql.SQL("false")


def stale(dataset: Dataset, version: sql.Composable) -> sql.Composable:
    """Whether the target's row is newer; `version` is the run's own, for a dataset whose version is the interval."""
    if dataset.mode != "upsert":
        return sql.SQL("false")
    if dataset.version == "data_interval":
        return sql.SQL("coalesce(t.{} > {}, false)").format(sql.Identifier(targets.SOURCE_VERSION), version)
    return sql.SQL("coalesce(t.{0} > s.{0}, false)").format(sql.Identifier(dataset.version))


def _joined(separator: str, parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(separator).join(parts)
