"""Polars reads the file, ADBC copies it into a staging table, one statement upserts it."""

from __future__ import annotations

import json
import os

import adbc_driver_postgresql.dbapi
import polars as pl
import psycopg

BATCH_ROWS = 500_000
TYPES = json.loads(os.environ["BENCH_TYPES"])
READ_AS = {"bigint": pl.Int64, "integer": pl.Int32, "boolean": pl.Boolean, "date": pl.Date}  # all else as text
CAST = {"placed_at": "placed_at::timestamptz", "amount": "amount::numeric"}


def stage(dsn: str, file: str) -> None:
    """Copy the file into `orders_new`, batch by batch."""
    with adbc_driver_postgresql.dbapi.connect(dsn) as connection:
        mode = "replace"
        columns = {name: READ_AS.get(kind, pl.String) for name, kind in TYPES.items()}
        batches = pl.scan_csv(file, schema_overrides=columns).collect_batches(
            chunk_size=BATCH_ROWS, maintain_order=True
        )
        for frame in batches:
            frame.write_database("orders_new", connection, engine="adbc", if_table_exists=mode)
            mode = "append"
        connection.commit()


def upsert(dsn: str) -> None:
    """Bring the staged rows into the table."""
    staged, cast = ", ".join(TYPES), ", ".join(CAST.get(name, name) for name in TYPES)
    statement = os.environ["BENCH_UPSERT"].replace(f"{staged} FROM", f"{cast} FROM")
    with psycopg.connect(dsn) as connection:
        connection.execute("SET work_mem = '256MB'")
        connection.execute(statement)
        connection.execute("DROP TABLE orders_new")


if __name__ == "__main__":
    stage(os.environ["BENCH_DSN"], os.environ["BENCH_FILE"])
    upsert(os.environ["BENCH_DSN"])
