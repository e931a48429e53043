"""The databases in the server: Airflow's metadata and the warehouse, apart from each other.

Role `airflow` owns database `airflow`, role `ingest` owns `warehouse`; neither may connect to the other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import Connection, sql

from include.warehouse import migrate

OWNERS = {"airflow": "airflow", "warehouse": "ingest"}
CLOSED = ("postgres", "template1")


def prepare(superuser_dsn: str, passwords: Mapping[str, str]) -> None:
    """Make roles and databases where they miss, set the passwords, close each database to the others.

    `passwords` holds one for each role. Safe to run at every start.
    """
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        connection.execute("SET log_statement = 'none'")
        for database, role in OWNERS.items():
            _ensure_role(connection, role, passwords[role])
            _ensure_database(connection, database, role)
        for database in CLOSED:
            _close(connection, database)


def migrate_warehouse(dsn: str) -> None:
    """Bring the warehouse's own tables up to date."""
    with psycopg.connect(dsn) as connection:
        migrate.apply(connection)


def metadata_revision(dsn: str) -> str:
    """The revision of Airflow's tables, or an empty string when there are none yet."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL").fetchone()
        if not row or not row[0]:
            return ""
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found[0]) if found else ""


def _ensure_role(connection: Connection[Any], role: str, password: str) -> None:
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = sql.SQL("ALTER" if exists else "CREATE")
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), sql.Literal(password))
    )


def _ensure_database(connection: Connection[Any], database: str, owner: str) -> None:
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(owner))
        )
    _close(connection, database)


def _close(connection: Connection[Any], database: str) -> None:
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
