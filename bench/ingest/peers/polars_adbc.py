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
STAGED, VALUES = ", ".join(TYPES), ", ".join(CAST.get(name, name) for name in TYPES)

if __name__ == "__main__":
    columns, mode = {name: READ_AS.get(kind, pl.String) for name, kind in TYPES.items()}, "replace"
    frames = pl.scan_csv(os.environ["BENCH_FILE"], schema_overrides=columns)
    with adbc_driver_postgresql.dbapi.connect(os.environ["BENCH_DSN"]) as staging:
        for frame in frames.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
            frame.write_database("orders_new", staging, engine="adbc", if_table_exists=mode)
            mode = "append"
        staging.commit()
    with psycopg.connect(os.environ["BENCH_DSN"]) as connection:
        connection.execute("SET work_mem = '256MB'")
        connection.execute(os.environ["BENCH_UPSERT"].replace(f"{STAGED} FROM", f"{VALUES} FROM"))
        connection.execute("DROP TABLE orders_new")
