"""Promotion: the run's own table takes the place of an empty target, so that rows are written only once.

Only a plain table is replaced (see `target.describe`): no view, trigger, foreign key, policy, publication or
other object hangs on it. Columns, defaults, checks, indexes, comments, owner and grants stay as they were; the
table's oid changes. Readers wait only while names are exchanged, after the indexes are built.
"""

from __future__ import annotations

import re
from uuid import UUID

from psycopg import Cursor, sql

from include.ingest import ledger
from include.ingest.dataset.definition import Dataset
from include.ingest.table import staging
from include.ingest.table import target as targets
from include.ingest.table.name import TableName

# What pg_get_indexdef says before " USING ": quoted names may hold that word, too.
_UP_TO_USING = re.compile(r'(?s)\A(?:[^"]|"(?:[^"]|"")*")*?(?= USING )')


def promote(cursor: Cursor, dataset: Dataset, run_id: UUID) -> bool:
    """Put the run's table in the target's place; False, with nothing done, when the target is no longer empty."""
    name = targets.identifier(dataset)
    before = targets.describe(cursor, dataset)
    rows = staging.rows_table(run_id)
    if before is None:
        if targets.is_published(cursor, dataset):
            return False
        targets.add_key(cursor, dataset, rows)
        _add_constants(cursor, rows, run_id, targets.system_columns(dataset), {targets.PROCESSED_AT})
        _take_place(cursor, dataset, rows)
        _restore_defaults(cursor, dataset, {targets.PROCESSED_AT: "now()"})
        _grant_as_created(cursor, dataset, run_id)
        return True
    if not _fits(cursor, dataset, before):
        return False
    last = targets.trailing(cursor, dataset, before)
    if targets.columns_of(cursor, rows) != [(name, kind) for name, kind in before.columns.items() if name not in last]:
        return False  # the table was changed since the file was planned
    system = targets.system_columns(dataset)
    constants = {name: system[name] for name in [*last, *(name for name in system if name not in before.columns)]}
    _add_constants(cursor, rows, run_id, constants, targets.not_null(cursor, before))
    indexes = _indexes(cursor, before.oid)
    _build(cursor, rows, indexes)
    # Only now, as readers wait from here on; and looked at again, as until now it may have got a row or a trigger.
    cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(name))
    if not _fits(cursor, dataset, before):
        return False
    defaults = _defaults(cursor, before.oid)
    grants = _grants(cursor, before.oid)
    comment = cursor.execute("SELECT obj_description(%s, 'pg_class')", [before.oid]).fetchone()
    cursor.execute(sql.SQL("DROP TABLE {}").format(name))
    _take_place(cursor, dataset, rows)
    _rename(cursor, dataset, indexes)
    _restore_defaults(cursor, dataset, defaults)
    after = targets.describe(cursor, dataset)
    assert after is not None
    ledger.move_facts(cursor, before.oid, after.oid)
    for privilege, grantee, option in grants:
        cursor.execute(
            sql.SQL("GRANT {} ON {} TO {}{}").format(sql.SQL(privilege), name, sql.SQL(grantee), sql.SQL(option))
        )
    if comment and comment[0]:
        cursor.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name, sql.Literal(comment[0])))
    return True


def _grant_as_created(cursor: Cursor, dataset: Dataset, run_id: UUID) -> None:
    """Give the target the privileges of a table that this role creates in its schema.

    Default privileges are given when a table is created, and this one was created in the staging schema. A table that
    is made for the purpose has what PostgreSQL gives by the defaults of the role and of the schema.
    """
    name = targets.identifier(dataset)
    model = TableName(dataset.schema_name, f"millrace_{run_id.hex}")
    cursor.execute(sql.SQL("CREATE TABLE {} ()").format(model))
    query = "SELECT relacl::text FROM pg_class WHERE oid = %s::regclass"
    wanted, given = (cursor.execute(query, [table.as_string(cursor)]).fetchone() for table in (model, name))
    if wanted != given:
        _revoke_all(cursor, name)
        for privilege, grantee, option in _privileges(cursor, model):
            cursor.execute(
                sql.SQL("GRANT {} ON {} TO {}{}").format(sql.SQL(privilege), name, sql.SQL(grantee), sql.SQL(option))
            )
    cursor.execute(sql.SQL("DROP TABLE {}").format(model))


def _revoke_all(cursor: Cursor, name: TableName) -> None:
    grantees = {grantee for _, grantee, _ in _privileges(cursor, name)}
    for grantee in grantees:
        cursor.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(name, sql.SQL(grantee)))


def _privileges(cursor: Cursor, name: TableName) -> list[tuple[str, str, str]]:
    """All privileges on a table, its owner's too."""
    return cursor.execute(
        "SELECT a.privilege_type, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,"
        " CASE WHEN a.is_grantable AND a.grantee <> c.relowner THEN ' WITH GRANT OPTION' ELSE '' END"
        " FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a WHERE c.oid = %s::regclass",
        [name.as_string(cursor)],
    ).fetchall()


def _add_constants(cursor: Cursor, rows: TableName, run_id: UUID, columns: dict[str, str], not_null: set[str]) -> None:
    """Add columns that hold the same value in every row: PostgreSQL keeps it in the catalogue and writes no row."""
    found = cursor.execute("SELECT now(), version FROM millrace.ingest_run WHERE run_id = %s", [run_id]).fetchone()
    assert found is not None
    values = dict(zip((targets.PROCESSED_AT, targets.SOURCE_VERSION), found, strict=True))
    for name, kind in columns.items():
        tail = " NOT NULL" if name in not_null else ""
        cursor.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN {} {} DEFAULT {}").format(
                rows, sql.Identifier(name), sql.SQL(kind + tail), sql.Literal(values[name])
            )
        )


def _fits(cursor: Cursor, dataset: Dataset, before: targets.Target) -> bool:
    now = targets.describe(cursor, dataset)
    return now == before and before.plain and targets.is_empty(cursor, dataset)


def _take_place(cursor: Cursor, dataset: Dataset, rows: TableName) -> None:
    moved = TableName(dataset.schema_name, rows.table)
    cursor.execute(sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(rows, sql.Identifier(dataset.schema_name)))
    cursor.execute(sql.SQL("ALTER TABLE {} RESET (autovacuum_enabled)").format(moved))
    cursor.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(moved, sql.Identifier(dataset.table_name)))


def _defaults(cursor: Cursor, oid: int) -> dict[str, str]:
    """The system columns' own defaults, as SQL."""
    return dict(
        cursor.execute(
            "SELECT a.attname, pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_attrdef d"
            " ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attrelid = %s",
            [oid],
        ).fetchall()
    )


def _restore_defaults(cursor: Cursor, dataset: Dataset, defaults: dict[str, str]) -> None:
    for column in targets.system_columns(dataset):
        change = f"SET DEFAULT {defaults[column]}" if column in defaults else "DROP DEFAULT"
        cursor.execute(
            sql.SQL("ALTER TABLE {} ALTER COLUMN {} {}").format(
                targets.identifier(dataset), sql.Identifier(column), sql.SQL(change)
            )
        )


Index = tuple[str, str, str | None]  # name, definition up to its own name, definition of its constraint


def _indexes(cursor: Cursor, oid: int) -> list[Index]:
    return cursor.execute(
        "SELECT c.relname, pg_get_indexdef(c.oid), pg_get_constraintdef(k.oid)"
        " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.conrelid = i.indrelid"
        " WHERE i.indrelid = %s ORDER BY i.indisprimary DESC, c.relname",
        [oid],
    ).fetchall()


def _build(cursor: Cursor, rows: TableName, indexes: list[Index]) -> None:
    """Build each index on the run's table under a passing name."""
    for number, (_, definition, constraint) in enumerate(indexes):
        passing = sql.Identifier(f"millrace_{number}_{rows.table}"[:63])
        if constraint:
            statement = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(rows, passing, sql.SQL(constraint))
        else:
            unique = "UNIQUE " if definition.startswith("CREATE UNIQUE") else ""
            tail = _UP_TO_USING.sub("", definition, count=1)
            statement = sql.SQL("CREATE {}INDEX {} ON {}{}").format(sql.SQL(unique), passing, rows, sql.SQL(tail))
        cursor.execute(statement)


def _rename(cursor: Cursor, dataset: Dataset, indexes: list[Index]) -> None:
    """Give the indexes their lasting names, and with them the constraints that they carry."""
    found = cursor.execute(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = %s::regclass AND c.relname LIKE 'millrace\\_%%'",
        [targets.identifier(dataset).as_string(cursor)],
    ).fetchall()
    for (passing,) in found:
        name = indexes[int(passing.split("_")[1])][0]
        cursor.execute(
            sql.SQL("ALTER INDEX {} RENAME TO {}").format(
                sql.Identifier(dataset.schema_name, passing), sql.Identifier(name)
            )
        )


def _grants(cursor: Cursor, oid: int) -> list[tuple[str, str, str]]:
    """Privileges of others than the owner: what, to whom, and whether they may pass it on."""
    return cursor.execute(
        "SELECT a.privilege_type, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,"
        " CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END"
        " FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = %s AND a.grantee <> c.relowner",
        [oid],
    ).fetchall()
