"""From this machine's spool to the warehouse, and orders for profiles back: a short-lived child of the watcher.

`python -m include.memory.shipping.ship` finds the warehouse by $AIRFLOW_CONN_WAREHOUSE. Every record enters in a
transaction of its own and is removed then, and entering one twice changes nothing: killed anywhere, the next child goes
on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from include.memory.errors import MemoryAuditError
from include.memory.shipping import entries, orders, task_rows
from include.memory.shipping.orders import Order
from include.memory.watcher import exchange, probe, spool, suspects
from include.memory.watcher.sample import host, incarnation_of, lives
from include.warehouse.address import conninfo, of_url

CONNECTION, APPLICATION = "AIRFLOW_CONN_WAREHOUSE", "millrace-watch"
REFUSED = "refused"  # the folder of what the warehouse can't take


def main() -> int:
    """Bring what waits, take the orders of this machine, bring what they found."""
    where = warehouse()
    if where is None:
        print(f"{CONNECTION} is not set, so samples stay on this machine", file=sys.stderr)
        return 1
    try:
        # Samples wait in the spool, and the next child tries again.
        with psycopg.connect(where, autocommit=True, connect_timeout=10) as connection:
            work(connection, exchange.default_folder())
    except psycopg.OperationalError as error:
        print(f"the warehouse is down, samples are kept until it is back: {error}", file=sys.stderr)
        return 1
    return 0


def work(connection: psycopg.Connection[Any], folder: Path) -> None:
    """One visit."""
    bring(connection, folder)
    entries.note_ended(connection, host(), lives)
    suspects.write(folder, entries.suspects(connection))
    while order := orders.take(connection, host()):
        fill(order, folder)
        bring(connection, folder)


def bring(connection: psycopg.Connection[Any], folder: Path) -> int:
    """Enter all that waits, the oldest first. Returns how many files. Raises psycopg.OperationalError."""
    done = 0
    for file in spool.waiting(folder):
        try:
            with connection.transaction():
                ENTER[file.suffix](connection, json.loads(exchange.read(file, (os.getuid(),))))
        except FileNotFoundError:  # the oldest went, as there were too many
            continue
        except (
            psycopg.DataError,
            psycopg.IntegrityError,
            KeyError,
            TypeError,
            ValueError,
            OSError,
            MemoryAuditError,
        ) as error:
            print(f"{file.name} can't be entered and was put aside: {error!r}", file=sys.stderr)
            aside = folder / REFUSED
            aside.mkdir(mode=0o700, exist_ok=True)
            file.replace(aside / file.name)
            continue
        file.unlink(missing_ok=True)
        done += 1
    return done


def fill(order: Order, folder: Path) -> None:
    """Profile the process that an order names; what was found, or why nothing was, goes into the spool."""
    process, found, fault = order.process, None, None
    try:
        if incarnation_of(process.pid) != process:
            fault = f"process {process.pid} has ended"
        else:
            found = probe.profile(process, seconds=order.seconds, frames=order.frames)
    except MemoryAuditError as error:
        fault = str(error)
    spool.put("evidence", {"order_id": order.order_id, "evidence": found, "fault": fault}, folder)


def warehouse() -> str | None:
    """psycopg's connection string by $AIRFLOW_CONN_WAREHOUSE, a URL or Airflow's JSON; None where it is not set."""
    text = os.environ.get(CONNECTION, "")
    if not text.startswith("{"):
        return of_url(APPLICATION, text) if text else None
    named = json.loads(text)
    extra = named.get("extra") or {}
    parts = {name: named.get(name) for name in ("host", "port", "login", "password", "schema")}
    return conninfo(APPLICATION, **parts, extra=json.loads(extra) if isinstance(extra, str) else extra)


ENTER: dict[str, Callable[[psycopg.Connection[Any], dict[str, Any]], None]] = {
    ".samples": entries.add_samples,
    ".evidence": orders.fill,
    ".task": task_rows.add_task,
}

if __name__ == "__main__":
    sys.exit(main())
