"""What the ingest's tests share: a dataset from a few lines of YAML, a file from a string, and a run of both."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from include.ingest.dataset.definition import Dataset
from include.ingest.dataset_file import load_dataset
from include.ingest.ledger import Account
from include.ingest.plan import Order
from include.ingest.run import run

HEADER = "id,label,price\n"
DAY = datetime(2026, 3, 1, tzinfo=UTC)
ITEMS = """
name: items
source: "{{ inbox }}/items_{{ ds }}.csv"
target: public.items
key: [id]
columns:
  id: {type: bigint}
  label: {type: text, nullable: true}
  price: {type: "numeric(8,2)", nullable: true, min: 0}
reject_limit: {rows: null, ratio: null}
"""


def make_dataset(folder: Path, text: str = ITEMS, **changes: Any) -> Dataset:
    """The dataset that `text` declares, with fields of the model replaced by `changes`."""
    name = next(line.split(":")[1].strip() for line in text.splitlines() if line.startswith("name:"))
    file = folder / f"{name}.yaml"
    file.write_text(text)
    return load_dataset(file).model_copy(update=changes)


def ingest(
    connection: psycopg.Connection,
    dataset: Dataset,
    data: str | bytes | Path,
    folder: Path,
    *,
    version: datetime = DAY,
    force: bool = False,
    run_id: UUID | None = None,
) -> Account:
    """Write `data` to a file, unless it is one, and ingest it."""
    if not isinstance(data, Path):
        raw = data.encode() if isinstance(data, str) else data
        data = folder / f"{uuid4().hex}.csv"
        data.write_bytes(raw)
    return run(connection, dataset, Order(run_id or uuid4(), data, version, force))


def rows(
    connection: psycopg.Connection, columns: str = "id, label, price", table: str = "items"
) -> list[tuple[Any, ...]]:
    """The table's rows in key order."""
    return connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()


def rejected(connection: psycopg.Connection, account: Account) -> list[tuple[Any, ...]]:
    """(line_number, column_name, value, rule) of a run's rejected rows in file order."""
    return connection.execute(
        "SELECT line_number, column_name, value, rule FROM millrace.rejected_row WHERE run_id = %s"
        " ORDER BY byte_offset",
        [account.run_id],
    ).fetchall()


def counts(account: Account) -> dict[str, int]:
    """The account's counts that are not zero."""
    names = ("read", "inserted", "updated", "unchanged", "superseded", "rejected", "deleted")
    return {name: getattr(account, name) for name in names if getattr(account, name)}


def known(connection: psycopg.Connection, account: Account) -> int:
    """Records of a run that were not loaded."""
    query = "SELECT sum(known)::int FROM millrace.ingest_chunk WHERE run_id = %s"
    row = connection.execute(query, [account.run_id]).fetchone()
    assert row is not None
    return int(row[0])


def staging_tables(connection: psycopg.Connection) -> list[str]:
    """What is left of runs under way: tables in the staging schema, and losers in the ledger."""
    found = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'millrace_staging'::regnamespace"
        " UNION ALL SELECT 'losers of ' || run_id FROM millrace.ingest_loser JOIN millrace.ingest_run r USING (run_id)"
        " WHERE EXISTS (SELECT FROM millrace.ingest_run o WHERE o.target = r.target AND o.finished_at > r.finished_at"
        "  AND o.status = 'done' AND o.confirms IS NULL)"
        " OR r.status <> 'done'"
    )
    return [name for (name,) in found]
