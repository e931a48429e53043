"""DuckDB reads the file and stages it, one statement upserts.

It stages by its postgres extension where that can be downloaded, else it writes CSV that COPY takes.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import duckdb
import psycopg

TYPES = json.loads(os.environ["BENCH_TYPES"])
NAMES = ", ".join(TYPES)
READ = f"SELECT {NAMES} FROM read_csv($file, header = true, columns = {TYPES})"
COPY = "COPY orders_new FROM STDIN WITH (FORMAT csv)"
MEBIBYTE = 1 << 20


def main() -> None:
    """Load the file."""
    dsn, file = os.environ["BENCH_DSN"], os.environ["BENCH_FILE"]
    base = duckdb.connect()
    base.execute("SET TimeZone = 'UTC'")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE UNLOGGED TABLE orders_new AS SELECT {NAMES} FROM orders WITH NO DATA")
        if not _by_extension(base, dsn, file):
            _by_copy(base, connection, file)
        connection.execute("SET work_mem = '256MB'")
        connection.execute(os.environ["BENCH_UPSERT"])
        connection.execute("DROP TABLE orders_new")


def _by_extension(base: duckdb.DuckDBPyConnection, dsn: str, file: str) -> bool:
    try:
        base.execute("INSTALL postgres; LOAD postgres")
    except duckdb.Error:
        return False
    base.execute(f"ATTACH '{dsn}' AS target (TYPE postgres)")
    base.execute(f"INSERT INTO target.public.orders_new {READ}", {"file": file})
    print("postgres extension")
    return True


def _by_copy(base: duckdb.DuckDBPyConnection, connection: psycopg.Connection, file: str) -> None:
    with tempfile.NamedTemporaryFile(dir=os.environ["BENCH_WORK"], suffix=".csv") as clean:
        base.execute(f"COPY ({READ}) TO '{clean.name}' (FORMAT csv, HEADER false)", {"file": file})
        with Path(clean.name).open("rb") as lines, connection.cursor().copy(COPY) as copy:
            while block := lines.read(MEBIBYTE):
                copy.write(block)
    print("CSV and COPY")


if __name__ == "__main__":
    main()
