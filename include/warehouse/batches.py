"""Deletes much in small transactions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from psycopg import Connection

BATCH_ROWS = 5_000  # some ten milliseconds: whoever waits for one of these rows waits no longer


def delete(
    connection: Connection[Any], table: LiteralString, which: LiteralString, values: Mapping[str, Any],
    batch_rows: int = BATCH_ROWS,
) -> int:  # fmt: skip
    """Delete the rows of a table, as `t`, for which `which` holds; returns how many. Each batch is a transaction.

    The connection must be in autocommit. Killed anywhere, the batches before stay deleted, and the next call goes on.
    """
    one_batch, total, last = statement(table, which), 0, batch_rows
    while last == batch_rows:
        last = connection.execute(one_batch, {**values, "batch_rows": batch_rows}).rowcount
        total += last
    return total


def statement(table: LiteralString, which: LiteralString) -> LiteralString:
    """What deletes one batch."""
    # Rows that somebody has locked are passed over, and left to the next day: nobody waits for anybody.
    return (
        f"DELETE FROM {table} WHERE ctid = ANY (ARRAY("
        f" SELECT t.ctid FROM {table} AS t WHERE {which} LIMIT %(batch_rows)s FOR UPDATE OF t SKIP LOCKED))"
    )


def days_ago(days: int) -> datetime:
    """So long ago, as a value to compare with: clock_timestamp() is volatile, so no index is searched for it."""
    return datetime.now(UTC) - timedelta(days=days)
