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

DSN, FILE = os.environ["BENCH_DSN"], os.environ["BENCH_FILE"]
TYPES = json.loads(os.environ["BENCH_TYPES"])
NAMES = ", ".join(TYPES)
READ = f"SELECT {NAMES} FROM read_csv($file, header = true, columns = {TYPES})"
COPY = "COPY orders_new FROM STDIN WITH (FORMAT csv)"


def stage(base: duckdb.DuckDBPyConnection, connection: psycopg.Connection) -> None:
    """Fill `orders_new`."""
    try:
        base.execute("INSTALL postgres; LOAD postgres")
    except duckdb.Error:
        with tempfile.NamedTemporaryFile(dir=os.environ["BENCH_WORK"], suffix=".csv") as clean:
            base.execute(f"COPY ({READ}) TO '{clean.name}' (FORMAT csv, HEADER false)", {"file": FILE})
            with Path(clean.name).open("rb") as lines, connection.cursor().copy(COPY) as copy:
                while block := lines.read(1 << 20):
                    copy.write(block)
    else:
        base.execute(f"ATTACH '{DSN}' AS target (TYPE postgres)")
        base.execute(f"INSERT INTO target.public.orders_new {READ}", {"file": FILE})


if __name__ == "__main__":
    base = duckdb.connect()
    base.execute("SET TimeZone = 'UTC'")
    with psycopg.connect(DSN, autocommit=True) as connection:
        connection.execute(f"CREATE UNLOGGED TABLE orders_new AS SELECT {NAMES} FROM orders WITH NO DATA")
        stage(base, connection)
        connection.execute("SET work_mem = '256MB'")
        connection.execute(os.environ["BENCH_UPSERT"])
        connection.execute("DROP TABLE orders_new")
