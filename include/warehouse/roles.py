"""Roles and databases: each role owns one database or may only read, and may not connect to another's.

| role | database | may |
| --- | --- | --- |
| `airflow` | `airflow`, Airflow's metadata | everything there |
| `ingest` | `warehouse` | everything there |
| `pages` | `warehouse` | read the schema `millrace` |
"""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import Connection, sql

CLOSED = ("postgres", "template1")
READING: tuple[LiteralString, ...] = (
    "GRANT CONNECT ON DATABASE {database} TO {role}",
    "GRANT USAGE ON SCHEMA millrace TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA millrace TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA millrace GRANT SELECT ON TABLES TO {role}",
)


def ensure_role(connection: Connection[Any], role: str, password: str) -> None:
    """Make the role where it misses, and set its password; `connection` is a superuser's."""
    connection.execute("SET log_statement = 'none'")
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = sql.SQL("ALTER" if exists else "CREATE")
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), sql.Literal(password))
    )


def ensure_database(connection: Connection[Any], database: str, owner: str) -> None:
    """Make the database where it misses, and close it to everybody but its owner."""
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(owner))
        )
    close(connection, database)


def close(connection: Connection[Any], database: str) -> None:
    """Let nobody connect to the database who was not told by name."""
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))


def let_read(connection: Connection[Any], role: str) -> None:
    """Let a role read what Millrace keeps, and nothing else; `connection` is the owner's. Safe to repeat."""
    names = {"database": sql.Identifier(connection.info.dbname), "role": sql.Identifier(role)}
    for statement in READING:
        connection.execute(sql.SQL(statement).format(**names))
