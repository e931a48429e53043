"""Orders for profiles: the audit asks, and the watcher of that machine brings the evidence, whatever the executor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from include.memory.shipping import entries
from include.memory.watcher.sample import Incarnation

WANTED_MINUTES = 15  # an order that nobody has taken for so long is not wanted any more


@dataclass(frozen=True)
class Order:
    """A profile that is asked of the watcher of the process's machine."""

    order_id: int
    process: Incarnation
    seconds: float
    frames: int


def add(connection: Connection[Any], process: Incarnation, seconds: float, frames: int) -> int:
    """Ask the process's machine for a profile. Returns the order's id."""
    row = connection.execute(
        "INSERT INTO millrace.memory_order (host, pid, start_ticks, seconds, frames) VALUES (%s, %s, %s, %s, %s)"
        " RETURNING order_id",
        [*entries.key_of(process), seconds, frames],
    ).fetchone()
    assert row is not None
    return int(row[0])


def take(connection: Connection[Any], host: str) -> Order | None:
    """The oldest order for a machine that nobody has taken and that is still wanted."""
    # One that another child is taking is passed over: waited for, it would be taken twice.
    row = connection.execute(
        "UPDATE millrace.memory_order SET taken_at = clock_timestamp() WHERE order_id = ("
        "  SELECT order_id FROM millrace.memory_order WHERE host = %s AND taken_at IS NULL"
        "  AND ordered_at > clock_timestamp() - %s * interval '1 minute' ORDER BY order_id LIMIT 1"
        "  FOR UPDATE SKIP LOCKED)"
        " RETURNING order_id, host, pid, start_ticks, seconds, frames",
        [host, WANTED_MINUTES],
    ).fetchone()
    return Order(row[0], Incarnation(*row[1:4]), row[4], row[5]) if row else None


def fill(connection: Connection[Any], record: Mapping[str, Any]) -> None:
    """Keep what an order brought: `evidence`, or the `fault`."""
    row = connection.execute(
        "UPDATE millrace.memory_order SET done_at = clock_timestamp(), fault = %s"
        " WHERE order_id = %s AND done_at IS NULL RETURNING host, pid, start_ticks",
        [record["fault"], record["order_id"]],
    ).fetchone()
    if row and record["evidence"]:
        entries.add_evidence(connection, Incarnation(*row), record["evidence"])


def done(connection: Connection[Any], order_id: int) -> tuple[bool, str | None]:
    """Whether an order is filled, and the fault if there was one."""
    row = connection.execute(
        "SELECT done_at IS NOT NULL, fault FROM millrace.memory_order WHERE order_id = %s", [order_id]
    ).fetchone()
    return (bool(row[0]), row[1]) if row else (True, "the order is gone")
