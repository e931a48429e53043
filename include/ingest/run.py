"""A whole ingest in one process: plan, load every chunk, merge, account.

The DAG `ingest_<dataset>` calls the same four steps, with the loads side by side; a small file is loaded and merged by
the task that plans it.
"""

from __future__ import annotations

from uuid import UUID

import psycopg

from include.ingest import ledger
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import IngestError
from include.ingest.ledger import Account
from include.ingest.load import load_chunk
from include.ingest.merge import merge
from include.ingest.plan import Order, Plan, plan
from include.ingest.source.storage import LOCAL, Storage
from include.ingest.table import staging


def run(connection: psycopg.Connection, dataset: Dataset, order: Order) -> Account:
    """Ingest one file; raises what the steps raise, and leaves no staging table behind where the server answers."""
    try:
        return finish(connection, dataset, plan(connection, dataset, order))
    except (Exception, KeyboardInterrupt) as error:
        _give_up(connection, order, error)
        raise


def _give_up(connection: psycopg.Connection, order: Order, error: BaseException) -> None:
    """Tidy up after a run that failed. What fails here is noted on the error, which it must not hide."""
    try:
        order.storage.forget(order.run_id)
    except OSError as other:
        error.add_note(f"what was unpacked could not be removed: {other}")
    try:
        abandon(connection, order.run_id, str(error) or type(error).__name__)
    except psycopg.Error as other:
        error.add_note(f"the run could not be marked as failed, or its tables not be dropped: {other}")


def finish(connection: psycopg.Connection, dataset: Dataset, plan: Plan) -> Account:
    """Load and merge what was planned. Raises what the steps raise."""
    for chunk in plan.chunks:
        load_chunk(connection, dataset, plan, chunk)
    return merge(connection, dataset, plan)


def abandon(connection: psycopg.Connection, run_id: UUID, reason: str) -> None:
    """Give a run up: mark it failed and drop its tables. Its rejected rows stay to be looked at."""
    with connection.transaction(), connection.cursor() as cursor:
        ledger.fail_run(cursor, run_id, reason)
        ledger.forget_losers(cursor, run_id)
        staging.drop(cursor, run_id)


def close(connection: psycopg.Connection, run_id: UUID, storage: Storage = LOCAL) -> Account:
    """The account of a run whose steps have ended. A run that is not done is marked failed and its tables dropped.

    What it has unpacked on this machine is removed.

    Raises IngestError, with the reason, for a failed run.
    """
    storage.forget(run_id)
    with connection.cursor() as cursor:
        status = ledger.status_of(cursor, run_id)
    if status is None:
        raise IngestError("the run ended before its first look for a file: see the log of task `plan`")
    if status not in ("done", "skipped"):
        abandon(connection, run_id, _unexplained(status))
    with connection.cursor() as cursor:
        result = ledger.account(cursor, run_id)
    if result.status == "failed":
        reason = result.reason or ""
        raise IngestError(reason if result.file in reason else f"{result.file} was not ingested: {reason}")
    return result


def _unexplained(status: str) -> str:
    if status == "waiting":
        return "the run ended before its file was planned: see the log of task `plan`"
    return "a step failed: see the log of the failed task"
