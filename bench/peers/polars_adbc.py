"""Polars reads the file, ADBC copies it into a staging table, one statement upserts it."""

from __future__ import annotations

import os

import adbc_driver_postgresql.dbapi
import polars as pl
import psycopg

BATCH_ROWS = 500_000
TYPES = {
    "order_id": pl.Int64, "customer_id": pl.Int32, "placed_at": pl.String, "status": pl.String,
    "currency": pl.String, "amount": pl.String, "quantity": pl.Int32, "sku": pl.String, "email": pl.String,
    "express": pl.Boolean, "ship_date": pl.Date, "note": pl.String,
}  # fmt: skip


def stage(dsn: str, file: str) -> None:
    """Copy the file into `orders_new`, batch by batch."""
    with adbc_driver_postgresql.dbapi.connect(dsn) as connection:
        mode = "replace"
        batches = pl.scan_csv(file, schema_overrides=TYPES).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        for frame in batches:
            frame.write_database("orders_new", connection, engine="adbc", if_table_exists=mode)
            mode = "append"
        connection.commit()


def upsert(dsn: str) -> None:
    """Bring the staged rows into the table."""
    names = ", ".join(TYPES)
    casts = {"placed_at": "placed_at::timestamptz", "amount": "amount::numeric"}
    values = ", ".join(casts.get(name, name) for name in TYPES)
    changes = ", ".join(f"{name} = excluded.{name}" for name in list(TYPES)[1:])
    with psycopg.connect(dsn) as connection:
        connection.execute("SET work_mem = '256MB'")
        connection.execute(
            f"INSERT INTO orders ({names}) SELECT DISTINCT ON (order_id) {values} FROM orders_new"
            f" ORDER BY order_id, ctid DESC ON CONFLICT (order_id) DO UPDATE SET {changes}, processed_at = now()"
        )
        connection.execute("DROP TABLE orders_new")


if __name__ == "__main__":
    stage(os.environ["BENCH_DSN"], os.environ["BENCH_FILE"])
    upsert(os.environ["BENCH_DSN"])
