"""What the tasks of `housekeeping` do, with what they need of Airflow: Connections, and where logs lie."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from airflow.configuration import conf

from include.bridge import WAREHOUSE
from include.bridge.database import connected
from include.ingest.dataset import places
from include.retention import Retention, delete_old_logs, retention
from include.warehouse import notices

APPLICATION = "millrace-housekeeping"
DAY_SECONDS = 86_400
UNKNOWN = (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
TASK_LOGS = "dag_id="  # how the key of a task's log begins; a bucket may hold other things


class NotMigrated(Exception):
    """A database lacks migrations. The message names it, and what applies them."""


def days() -> Retention:
    """How long each is kept."""
    return retention()


def warehouses() -> list[str]:
    """The Connections of all databases that hold a ledger: the warehouse, and those that datasets name."""
    return sorted({WAREHOUSE, *(dataset.postgres_conn_id for dataset in places.read_datasets()[0])})


def forget_ledger(conn_id: str) -> dict[str, int]:
    """Delete what is old in the ledger of one database; returns what and how many.

    Raises NotMigrated where it has no ledger yet, or an older one.
    """
    from include.ingest import retention as ledger

    kept = days()
    with connected(conn_id, APPLICATION) as connection:
        try:
            rejected = ledger.forget_rejected(connection, kept.rejected, kept.open_rejected)
            deleted = {"rejected": rejected, **ledger.forget_runs(connection, kept.runs)}
            if conn_id == WAREHOUSE:  # whoever was told is written down there, whatever database a dataset loads into
                deleted["notices"] = notices.forget(connection, kept.runs)
        except UNKNOWN as error:
            raise NotMigrated(
                f"not all that is old was deleted in the database of Connection {conn_id}, as its tables are not those"
                " of this release. Migrate it, with its URL: python -m include.warehouse.migrate --dsn postgresql://…"
            ) from error
    return deleted


def forget_memory() -> dict[str, int]:
    """Delete what is old of the memory audit."""
    from include.memory import history

    with connected(WAREHOUSE, APPLICATION) as connection:
        return history.forget(connection, days().memory)


def forget_swept() -> dict[str, int]:
    """Delete what is remembered of files whose pictures are gone."""
    from include.images import tidy

    with connected(WAREHOUSE, APPLICATION) as connection:
        return {"swept": tidy.forget_swept(connection)}


def total(deleted: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of what all tasks deleted."""
    summed: Counter[str] = Counter()
    for one in deleted:
        summed.update(one)
    return dict(summed)


def forget_logs() -> dict[str, int]:
    """Delete logs that nothing was written to for so many days, in the folder of this machine and in the bucket."""
    kept = days().logs
    if not kept:
        return {"files": 0, "objects": 0}
    files = delete_old_logs(Path(conf.get_mandatory_value("logging", "base_log_folder")), kept)
    return {"files": files, "objects": _old_objects(kept)}


def _old_objects(kept: int) -> int:
    url = os.environ.get("MILLRACE_LOGS")
    if not url:
        return 0
    from include.bridge.bucket import Bucket

    return Bucket(url.rstrip("/")).delete_older(TASK_LOGS, datetime.now(UTC) - timedelta(days=kept))
