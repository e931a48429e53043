"""A dataset against a warehouse: its target, and whether the login may do what a run does. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from include.ingest.check.result import Checked
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset_file import place_in
from include.ingest.errors import TargetMismatch
from include.ingest.table import target as targets

SCHEMAS = ("millrace", "millrace_staging")


def check_target(connection: psycopg.Connection, found: Checked) -> None:
    """Add how the target stands, what does not fit, and each right that the login lacks."""
    dataset = found.dataset
    assert dataset is not None
    where = f"{connection.info.dbname}, as {connection.info.user}"
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        lacking = list(_lacking_in_database(cursor))
        try:
            target = targets.describe(cursor, dataset)
            if target is not None:
                targets.check(target, dataset)
        except TargetMismatch as fault:
            found.facts["target"] = f"{dataset.target} in {where}: does not fit"
            found.faults += [f"{place_in(found.file, ('target',))}: {line}" for line in _lines(fault)]
        else:
            said = "does not exist, a run creates it" if target is None else f"fits, {len(target.columns)} columns"
            found.facts["target"] = f"{dataset.target} in {where}: {said}"
            if target is not None:
                lacking += _lacking_on_target(cursor, dataset, target)
    found.faults += [f"{place_in(found.file, ('target',))}: {text}" for text in lacking]


def _lines(fault: TargetMismatch) -> list[str]:
    """Each difference of its own; the text that introduces them, and the way out, go with none."""
    lines = [line.strip() for line in str(fault).splitlines()]
    return lines[1:-1] if len(lines) > 2 else lines


def _lacking_in_database(cursor: psycopg.Cursor) -> Iterator[str]:
    """Rights on Millrace's own schemas, which a first run makes."""
    user, database = cursor.connection.info.user, cursor.connection.info.dbname
    for schema in SCHEMAS:
        row = cursor.execute(
            "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'),"
            " pg_has_role(n.nspowner, 'USAGE') FROM pg_namespace n WHERE nspname = %s",
            [schema],
        ).fetchone()
        made = cursor.execute("SELECT has_database_privilege(current_database(), 'CREATE')").fetchone()
        if row is None and made and not made[0]:
            yield (
                f"schema {schema} is not there, and role {user} may not make it: GRANT CREATE ON DATABASE {database}"
                f" TO {user}"
            )
        elif row is not None and not (row[0] and row[1]):
            yield f"role {user} does not own schema {schema}: run as its owner, as migrations of it need that"
    row = cursor.execute("SELECT has_database_privilege(current_database(), 'TEMPORARY')").fetchone()
    if row and not row[0]:
        yield f"role {user} may not make temporary tables: GRANT TEMPORARY ON DATABASE {database} TO {user}"


def _lacking_on_target(cursor: psycopg.Cursor, dataset: Dataset, target: targets.Target) -> Iterator[str]:
    """Rights on the target, by the dataset's mode."""
    user = cursor.connection.info.user
    # UPDATE also for `append`: PostgreSQL wants it, or DELETE, of whoever locks a table against other writers.
    wanted = ["SELECT", "INSERT", "UPDATE", *(["DELETE"] if dataset.mode == "replace" else [])]
    row = cursor.execute(
        "SELECT ARRAY(SELECT w FROM unnest(%(wanted)s::text[]) w WHERE NOT has_table_privilege(%(oid)s::oid, w)),"
        " (SELECT has_schema_privilege(relnamespace, 'USAGE') FROM pg_class WHERE oid = %(oid)s),"
        " (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %(oid)s)",
        {"wanted": wanted, "oid": target.oid},
    ).fetchone()
    assert row is not None
    lacking, may_use, owns = row
    if not may_use:
        schema = dataset.schema_name
        yield f"role {user} may not use schema {schema}: GRANT USAGE ON SCHEMA {schema} TO {user}"
    if lacking:
        rights = ", ".join(lacking)
        yield f"role {user} lacks {rights} on {dataset.target}: GRANT {rights} ON {dataset.target} TO {user}"
    columns = [name for name in targets.system_columns(dataset) if name not in target.columns]
    if columns and not owns:
        added = ", ".join(f"ADD COLUMN {name} {targets.system_columns(dataset)[name]}" for name in columns)
        yield (
            f"role {user} does not own {dataset.target}, so a run can't add what it lacks of Millrace's columns: ALTER"
            f" TABLE {dataset.target} {added}"
        )
