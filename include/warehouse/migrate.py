"""Applies the numbered SQL files of `migrations/` to the warehouse, each once, whoever comes first.

`python -m include.warehouse.migrate [--dsn DSN]` does it from the shell; without `--dsn`, libpq's
environment variables say where the warehouse is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import psycopg

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x4D494C4C  # "MILL": one migration at a time in a database


def apply(connection: psycopg.Connection) -> list[str]:
    """Apply what is missing, in one transaction, and return the names applied."""
    with connection.transaction(), connection.cursor() as cursor:
        # Several services may start at once. An advisory lock, as the table that could be locked is not there yet.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute("CREATE SCHEMA IF NOT EXISTS millrace")
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS millrace.schema_migration"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = {name for (name,) in cursor.execute("SELECT name FROM millrace.schema_migration")}
        missing = [file for file in sorted(MIGRATIONS.glob("*.sql")) if file.stem not in applied]
        for file in missing:
            cursor.execute(file.read_bytes())
            cursor.execute("INSERT INTO millrace.schema_migration (name) VALUES (%s)", [file.stem])
    return [file.stem for file in missing]


def main() -> None:
    """Apply the migrations and say which."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dsn", default="")
    with psycopg.connect(parser.parse_args().dsn) as connection:
        print("applied:", ", ".join(apply(connection)) or "nothing, the warehouse is current")


if __name__ == "__main__":
    main()
