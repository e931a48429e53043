"""The databases in the server: Airflow's metadata and the warehouse, apart from each other.

Role `airflow` owns database `airflow`, role `ingest` owns `warehouse`; neither may connect to the other's.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from include.warehouse import migrate, roles

OWNERS = {"airflow": "airflow", "warehouse": "ingest"}


def prepare(superuser_dsn: str, passwords: Mapping[str, str]) -> None:
    """Make roles and databases where they miss, set the passwords, close each database to the others.

    `passwords` holds one for each role. Safe to run at every start.
    """
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        for database, role in OWNERS.items():
            roles.ensure_role(connection, role, passwords[role])
            roles.ensure_database(connection, database, role)
        for database in roles.CLOSED:
            roles.close(connection, database)


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
