"""dlt with write disposition `merge`: DuckDB reads the file, dlt stages, removes repeats and merges by key.

The later row of a repeated key wins by `dedup_sort` on a line number, the way its documentation says.
dlt makes its own columns and tables, so it fills `bench_dlt.orders` instead of the table that is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import dlt
import duckdb

BATCH_ROWS = 100_000
TYPES = json.loads(os.environ["BENCH_TYPES"])
READ = f"SELECT *, row_number() OVER () AS line FROM read_csv(?, header = true, columns = {TYPES})"


def batches() -> Iterator[Any]:
    """The file in Arrow batches, with a line number."""
    base = duckdb.connect()
    base.execute("SET TimeZone = 'UTC'")
    found = base.execute(READ, [os.environ["BENCH_FILE"]])
    yield from (getattr(found, "to_arrow_reader", None) or found.fetch_record_batch)(BATCH_ROWS)


if __name__ == "__main__":
    last_wins = {"line": {"dedup_sort": "desc"}}
    orders = dlt.resource(batches, name="orders", write_disposition="merge", primary_key="order_id", columns=last_wins)
    to = dlt.destinations.postgres(os.environ["BENCH_DSN"])
    print(dlt.pipeline("bench", destination=to, dataset_name="bench_dlt").run(orders, loader_file_format="csv"))
