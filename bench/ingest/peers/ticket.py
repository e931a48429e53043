"""The ticket's own script: pandas reads in chunks, four processes clean and append with `to_sql`.

Kept as it was, but for two things without which it does not end: the table is there beforehand (four processes would
race to create it), and each process makes its own engine.
"""

from __future__ import annotations

import os
from multiprocessing import Pool

import pandas as pd
from sqlalchemy import create_engine

CHUNK_ROWS = 100_000
ENGINE_URL = os.environ["BENCH_DSN"].replace("postgresql://", "postgresql+psycopg://", 1)


def process(chunk: pd.DataFrame) -> int:
    """Clean one chunk and append it."""
    chunk["placed_at"] = pd.to_datetime(chunk["placed_at"], utc=True)
    chunk["ship_date"] = pd.to_datetime(chunk["ship_date"]).dt.date
    chunk["amount"] = pd.to_numeric(chunk["amount"])
    chunk["quantity"] = pd.to_numeric(chunk["quantity"])
    chunk["processed_at"] = pd.Timestamp.now(tz="UTC")
    engine = create_engine(ENGINE_URL)
    chunk.to_sql("orders", engine, if_exists="append", index=False)
    engine.dispose()
    return len(chunk)


if __name__ == "__main__":
    with Pool(4) as pool:
        chunks = pd.read_csv(os.environ["BENCH_FILE"], chunksize=CHUNK_ROWS)
        print(sum(pool.imap_unordered(process, chunks)))
