"""Steps of a run that brings columns, killed at any moment: the table ends as after a clean run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.ingest.dataset_file import load_dataset
from samples import orders
from tests.ingest.loading import DAY, ingest, staging_tables
from tests.ingest.test_faults import DATASET, Attempts, killer

UNNAMED = ("email", "ship_date", "note")  # columns of the file that the dataset does not name here
CHUNKS = 3


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30,000 orders with repeated keys and bad rows."""
    path = tmp_path_factory.mktemp("orders") / "orders.csv"
    with path.open("wb") as out:
        orders.write(out, orders.Shape(rows=30_000, seed=7))
    return path


def finished(connection: psycopg.Connection[Any]) -> list[object]:
    """The table column by column, the run, and what is left behind."""
    query = (
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
        " WHERE a.attrelid = 'orders'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1"
    )
    names = connection.execute(query).fetchall()
    held = ", ".join(name for name, _ in names if name not in ("processed_at",))
    return [
        names,
        connection.execute(f"SELECT count(*), md5(string_agg(o::text, '' ORDER BY order_id)) FROM (SELECT {held}"
                           " FROM orders WHERE order_id > 0) o").fetchone(),
        connection.execute("SELECT status, read, rejected, unknown_columns, missing_columns, added_columns"
                           " FROM millrace.ingest_run").fetchall(),
        connection.execute("SELECT column_name, header_name FROM millrace.added_column ORDER BY 1").fetchall(),
        staging_tables(connection),
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["add", "rescue\nrescue_column: other"])
def test_steps_killed_at_any_moment(
    warehouse: psycopg.Connection[Any], dsn: str, file: Path, tmp_path: Path, how: str
) -> None:
    lines = [line for line in DATASET.read_text().splitlines() if line.strip().split(":")[0] not in UNNAMED]
    lines.insert(lines.index("columns:") + 1, "  gone: {type: integer, nullable: true}")
    model = tmp_path / "orders.yaml"
    more = f"unknown_columns: {how}\nmissing_columns: null\nchunk_bytes: 1500000\nblock_bytes: 65536\n"
    model.write_text("\n".join([*lines, more]))
    in_the_way = tmp_path / "before.csv"
    with file.open(newline="") as whole:
        header = next(csv.reader(whole))
    named = [name for name in header if name not in UNNAMED]
    in_the_way.write_text(f"{','.join(named)}\n")
    dataset = load_dataset(model)
    unknown = [name for name in header if name not in named]
    assert len(unknown) == len(UNNAMED)

    def start() -> None:
        warehouse.execute("DROP TABLE IF EXISTS orders; DELETE FROM millrace.added_column")
        ingest(warehouse, dataset, in_the_way, tmp_path, version=DAY.replace(year=2025))
        warehouse.execute("CREATE VIEW watched AS SELECT order_id FROM orders")  # so that it is not replaced
        warehouse.execute("DELETE FROM millrace.ingest_run")

    start()
    ingest(warehouse, dataset, file, tmp_path)
    expected = finished(warehouse)
    warehouse.execute("DROP VIEW watched; DELETE FROM millrace.ingest_run")
    start()
    attempts = Attempts(dsn, model, file)
    attempts.run(killer(5), chunks=CHUNKS)
    assert attempts.deaths > 0
    assert finished(warehouse) == expected
    added = warehouse.execute("SELECT column_name FROM millrace.added_column ORDER BY 1").fetchall()
    assert [name for (name,) in added] == (sorted(unknown) if how == "add" else [])
