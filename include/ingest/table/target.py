"""The target table: what it is, whether it fits the dataset, and how to make or replace it.

Names never reach SQL but through `psycopg.sql`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from psycopg import Cursor, sql

from include.ingest.dataset.definition import Dataset
from include.ingest.errors import TargetMismatch
from include.ingest.table.name import TableName

PROCESSED_AT = "processed_at"
SOURCE_VERSION = "source_version"
MOST_COLUMNS = 1_597  # PostgreSQL's tables have up to 1,600; the merge's list of changes has three of its own


@dataclass(frozen=True)
class Target:
    """A table as the catalogue describes it."""

    oid: int
    columns: dict[str, str]  # name -> type as format_type prints it
    demanding: tuple[str, ...]  # columns that want a value: not null, no default
    unique_keys: tuple[frozenset[str], ...]
    plain: bool  # nothing hangs on the table itself, so that a new table may take its place
    keeps_rows: bool  # an ordinary table without triggers or rules, so that a row stands as it was written
    generated: tuple[str, ...]  # columns that take no value: the table always generates it
    blurred: tuple[str, ...]  # columns of a nondeterministic collation, which takes different texts for equal


def identifier(dataset: Dataset) -> TableName:
    """The target's qualified name."""
    return TableName(dataset.schema_name, dataset.table_name)


def system_columns(dataset: Dataset) -> dict[str, str]:
    """The columns that Millrace keeps beside the dataset's own, with their types."""
    columns = {PROCESSED_AT: "timestamp with time zone"}
    if dataset.mode == "upsert" and dataset.version == "data_interval":
        columns[SOURCE_VERSION] = "timestamp with time zone"
    return columns


_DESCRIBE = """
SELECT c.oid, c.relkind::text,
    ARRAY(
        SELECT ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod)] FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
    ARRAY(
        SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''),
    ARRAY(
        SELECT jsonb_build_array(i.indkey::int[], (
            SELECT jsonb_agg(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY(i.indkey)))
        FROM pg_index i
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
            AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts),
    c.relkind = 'r' AND c.relpersistence = 'p' AND NOT c.relhastriggers AND NOT c.relhasrules
        AND NOT c.relrowsecurity AND NOT c.relhassubclass AND NOT c.relispartition
        AND c.reltablespace = 0 AND c.reloptions IS NULL AND c.relreplident = 'd' AND c.reloftype = 0
        AND c.relowner = current_user::regrole::oid
        AND has_schema_privilege(c.relnamespace, 'CREATE')
        AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
                AND d.classid NOT IN (
                    'pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_type'::regclass, 'pg_class'::regclass))
        AND NOT EXISTS (
            SELECT FROM pg_depend d JOIN pg_class o ON d.classid = 'pg_class'::regclass AND o.oid = d.objid
            WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND o.relkind NOT IN ('i', 't'))
        AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.refclassid = 'pg_type'::regclass AND d.refobjid = c.reltype
                AND d.classid <> 'pg_type'::regclass)
        AND NOT EXISTS (
            SELECT FROM pg_constraint k
            WHERE (k.conrelid = c.oid AND k.contype IN ('f', 'x')) OR k.confrelid = c.oid)
        AND NOT EXISTS (
            SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
                AND (a.attisdropped OR a.attidentity <> '' OR a.attgenerated <> '' OR a.attacl IS NOT NULL))
        AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid)
        AND NOT EXISTS (
            SELECT FROM pg_publication_tables p WHERE p.schemaname = n.nspname AND p.tablename = c.relname),
    c.relkind = 'r' AND NOT c.relhasrules AND NOT c.relrowsecurity AND NOT c.relhassubclass
        AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal),
    ARRAY(
        SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND (a.attgenerated <> '' OR a.attidentity = 'a')),
    ARRAY(
        SELECT a.attname::text FROM pg_attribute a JOIN pg_collation l ON l.oid = a.attcollation
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT l.collisdeterministic)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s
"""


def describe(cursor: Cursor, dataset: Dataset) -> Target | None:
    """The target as it is now, or None when there is no such table.

    Raises TargetMismatch when it is no table, and where there can be none.
    """
    row = cursor.execute(_DESCRIBE, [dataset.schema_name, dataset.table_name]).fetchone()
    if row is None:
        _check_place(cursor, dataset)
        return None
    oid, kind, columns, demanding, unique, plain, keeps_rows, generated, blurred = row
    if kind not in ("r", "p"):
        raise TargetMismatch(f"target {dataset.target} is not a table; a load needs a table")
    keys = tuple(frozenset(names) for _, names in unique)
    return Target(oid, dict(columns), tuple(demanding), keys, plain, keeps_rows, tuple(generated), tuple(blurred))


def _check_place(cursor: Cursor, dataset: Dataset) -> None:
    """Raise TargetMismatch where a missing target can't be created."""
    schema, count = dataset.schema_name, len(dataset.columns) + len(system_columns(dataset))
    row = cursor.execute(
        "SELECT current_user, current_database(),"
        " (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = %s)",
        [schema],
    ).fetchone()
    assert row is not None
    role, database, may_create = row
    if may_create is None:
        raise TargetMismatch(
            f"target {dataset.target}: there is no schema {schema} in database {database}. Create it and let role"
            f" {role} create tables there, or change `target` in {dataset.name}.yaml."
        )
    if not may_create:
        raise TargetMismatch(
            f"target {dataset.target} does not exist, and role {role} may not create it: GRANT CREATE ON SCHEMA"
            f" {schema} TO {role}, or create the table."
        )
    if count > MOST_COLUMNS:
        raise TargetMismatch(f"target {dataset.target} can't be created: {_too_many(count)}")


def _too_many(count: int) -> str:
    return (
        f"{count:,} columns with Millrace's own are over the {MOST_COLUMNS:,} that a load can have."
        " Leave columns out of the dataset, or split it into several"
    )


def check(target: Target, dataset: Dataset, to_add: Collection[str] = ()) -> None:
    """Raise TargetMismatch, with every difference, when the dataset's rows can't go into this table.

    The columns `to_add` may be missing: the merge will add them.
    """
    faults = []
    for name, column in dataset.columns.items():
        have = target.columns.get(name)
        if have is None and name in to_add:
            continue
        if have is None:
            faults.append(f"column {name}: the dataset has it ({column.sql_type.name}), the table does not")
        elif have != column.sql_type.name:
            faults.append(f"column {name}: {column.sql_type.name} in the dataset, {have} in the table")
        if name in target.generated:
            faults.append(
                f"column {name}: the table always generates its value (GENERATED ALWAYS). Leave it out of the dataset,"
                f" or ALTER TABLE {dataset.target} ALTER COLUMN {name} DROP EXPRESSION (of an identity: SET GENERATED"
                " BY DEFAULT)"
            )
        if name in dataset.key and name in target.blurred:
            faults.append(
                f"column {name}: its collation is nondeterministic, so the table takes different texts for one key, and"
                " a file's records do not: give the key another collation"
            )
    count = len({*target.columns, *dataset.columns, *system_columns(dataset)})
    if count > MOST_COLUMNS:
        faults.append(_too_many(count))
    for name, kind in system_columns(dataset).items():
        if target.columns.get(name, kind) != kind:
            faults.append(f"column {name}: Millrace keeps {kind} there, the table has {target.columns[name]}")
    ours = set(dataset.columns) | set(system_columns(dataset))
    faults += [
        f"column {name}: the table requires a value (NOT NULL without a default), the dataset has none"
        for name in target.demanding
        if name not in ours
    ]
    if dataset.key and frozenset(dataset.key) not in target.unique_keys:
        faults.append(f"key ({', '.join(dataset.key)}): the table has no unique index on just these columns")
    if faults:
        raise TargetMismatch(
            f"target {dataset.target} does not fit dataset {dataset.name}:\n  "
            + "\n  ".join(faults)
            + "\nChange the dataset file or the table."
        )


def create(cursor: Cursor, dataset: Dataset, name: TableName, *, bare: bool = False) -> None:
    """Create a table that fits the dataset, without its key; `bare`: without Millrace's own columns too."""
    columns = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(column_name),
            sql.SQL(column.sql_type.name),
            sql.SQL("" if column.nullable else " NOT NULL"),
        )
        for column_name, column in dataset.columns.items()
    ]
    for system, kind in ({} if bare else system_columns(dataset)).items():
        tail = " NOT NULL DEFAULT now()" if system == PROCESSED_AT else ""
        columns.append(sql.SQL("{} {}").format(sql.Identifier(system), sql.SQL(kind + tail)))
    cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join(columns)))
    said = " ".join(dataset.description.split())
    comment = f"{said}{'' if said.endswith('.') or not said else '.'} Filled by Millrace from dataset {dataset.name}."
    cursor.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name, sql.Literal(comment.strip())))


def interferers(cursor: Cursor, target: Target) -> str:
    """What of the target may keep a row from standing as it was written; empty where there is nothing of the kind."""
    found = cursor.execute(
        "WITH tables AS (SELECT %(oid)s::oid AS oid UNION SELECT relid FROM pg_partition_tree(%(oid)s::oid::regclass))"
        " SELECT 'trigger ' || g.tgname FROM pg_trigger g JOIN tables t ON t.oid = g.tgrelid WHERE NOT g.tgisinternal"
        " UNION SELECT 'rule ' || r.rulename FROM pg_rewrite r JOIN tables t ON t.oid = r.ev_class"
        " UNION SELECT 'row security' FROM pg_class c JOIN tables t USING (oid) WHERE c.relrowsecurity ORDER BY 1",
        {"oid": target.oid},
    )
    return ", ".join(name for (name,) in found)


def trailing(cursor: Cursor, dataset: Dataset, target: Target) -> list[str]:
    """Which of Millrace's own columns come last in the target, with nothing hanging on them, in their order there."""
    hung_on = {
        name
        for (name,) in cursor.execute(
            "SELECT a.attname FROM pg_attribute a WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND ("
            " col_description(a.attrelid, a.attnum) IS NOT NULL OR EXISTS (SELECT FROM pg_constraint k"
            "  WHERE k.conrelid = a.attrelid AND k.contype <> 'n' AND a.attnum = ANY (k.conkey)))",
            {"oid": target.oid},
        )
    }
    found: list[str] = []
    for name in reversed(target.columns):
        if name in hung_on or name not in system_columns(dataset):
            break
        found.insert(0, name)
    return found


def columns_of(cursor: Cursor, table: TableName) -> list[tuple[str, str]]:
    """Names and types of a table's columns, in order."""
    return cursor.execute(
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        [table.as_string(cursor)],
    ).fetchall()


def is_published(cursor: Cursor, dataset: Dataset) -> bool:
    """Whether a table of the target's schema is published because it is there: a new one is, too.

    So is what a run stages, where a publication is FOR ALL TABLES: only unlogged tables escape it.
    """
    query = "SELECT puballtables FROM pg_publication WHERE puballtables LIMIT 1"
    if cursor.execute(query).fetchone() is not None:
        return True
    if cursor.connection.info.server_version < 15_00_00:  # which publishes no schemas
        return False
    query = (
        "SELECT 1 FROM pg_publication_namespace p JOIN pg_namespace n ON n.oid = p.pnnspid WHERE n.nspname = %s LIMIT 1"
    )
    return cursor.execute(query, [dataset.schema_name]).fetchone() is not None


def not_null(cursor: Cursor, target: Target) -> set[str]:
    """The target's columns that demand a value."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND attnotnull"
    return {name for (name,) in cursor.execute(query, [target.oid])}


def add_key(cursor: Cursor, dataset: Dataset, name: TableName) -> None:
    """Give a table that `create` made its primary key, where the dataset has one."""
    if dataset.key:
        key = sql.SQL(", ").join(map(sql.Identifier, dataset.key))
        cursor.execute(
            sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})").format(
                name, sql.Identifier(f"{dataset.table_name}_pkey"[-63:]), key
            )
        )


def add_columns(cursor: Cursor, target: Target, dataset: Dataset, table: TableName) -> None:
    """Add to `table`, built as `target`, what it lacks of the dataset's columns, as nullable; no row is rewritten."""
    for name, column in dataset.columns.items():
        if name not in target.columns:
            statement = sql.SQL("ALTER TABLE {} ADD COLUMN {} {}")
            cursor.execute(statement.format(table, sql.Identifier(name), sql.SQL(column.sql_type.name)))


def add_system_columns(cursor: Cursor, dataset: Dataset, target: Target, table: TableName) -> None:
    """Add to `table`, built as `target`, what it lacks of Millrace's own columns; no row is rewritten."""
    for name, kind in system_columns(dataset).items():
        if name not in target.columns:
            cursor.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(table, sql.Identifier(name), sql.SQL(kind))
            )


def shape(cursor: Cursor, dataset: Dataset) -> str:
    """The target's columns as text: number, name and type. A column that is dropped and added anew differs."""
    row = cursor.execute(
        "SELECT string_agg(format('%%s %%s %%s %%s', attnum, attname, atttypid, atttypmod), ',' ORDER BY attnum)"
        " FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        [identifier(dataset).as_string(cursor)],
    ).fetchone()
    assert row is not None
    return str(row[0])


def is_empty(cursor: Cursor, dataset: Dataset) -> bool:
    """Whether no row can be seen in the target."""
    row = cursor.execute(sql.SQL("SELECT NOT EXISTS (SELECT FROM {})").format(identifier(dataset))).fetchone()
    return bool(row and row[0])


def queue_up(cursor: Cursor, dataset: Dataset) -> None:
    """Wait for the runs that are writing to the target; others wait for this one until its transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_lock_name(dataset)])


def is_idle(cursor: Cursor, dataset: Dataset) -> bool:
    """Whether no run is writing to the target; then those that want to wait until the transaction ends."""
    query = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
    row = cursor.execute(query, [_lock_name(dataset)]).fetchone()
    return bool(row and row[0])


def _lock_name(dataset: Dataset) -> str:
    # By name: the table may not be there yet, and a promotion puts another one in its place.
    return f"millrace target {dataset.schema_name}.{dataset.table_name}"
