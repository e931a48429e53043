"""What the tasks of `replay_rejected` need of their run, and how the pages begin one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import psycopg
from airflow.sdk import Asset, get_current_context

from include.bridge import WAREHOUSE, ingest, reasons
from include.bridge.database import connected
from include.ingest.dataset import places
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import IngestError, ReplayRefused
from include.ingest.replay import requests

DAG = "replay_rejected"


def work() -> dict[str, Any]:
    """Replay what was asked for, and say what it came to. An error that no retry can help fails the task at once."""
    context = get_current_context()
    dag_run = context["dag_run"]
    with _warehouse() as connection:
        request = requests.request_of(connection, _request_id())
        dataset = _dataset(request.dataset)
        accounts = requests.work(
            connection, request, dataset, f"{dag_run.dag_id}/{dag_run.run_id}", ingest.storage()
        )  # fmt: skip
        return {
            "dataset": request.dataset, "who": request.who, "asset": _asset_name(dataset),
            "runs": [account.run_id for account in accounts], **requests.sums(connection, request.id),
        }  # fmt: skip


def close() -> dict[str, int]:
    """What it came to; a replay that was not done is marked as failed."""
    with _warehouse() as connection:
        return requests.close(connection, _request_id())


def publish(alias: Any, done: dict[str, Any] | None) -> None:
    """An event of the table's asset, as after a file, where something changed."""
    if done and (done["inserted"] or done["updated"]):
        get_current_context()["outlet_events"][alias].add(Asset(done["asset"]), extra=done)


def _asset_name(dataset: Dataset) -> str:
    return f"{dataset.postgres_conn_id}.{dataset.schema_name}.{dataset.table_name}"


def _request_id() -> UUID:
    return UUID(str(get_current_context()["params"]["request"]))


def _dataset(name: str) -> Dataset:
    """The dataset as its file says now. The page shows the rows of one warehouse, so it must be that one's."""
    dataset = load_dataset(places.find(name))
    if dataset.postgres_conn_id != WAREHOUSE:
        raise ReplayRefused(
            f"{name} loads into the database of Connection {dataset.postgres_conn_id} by now, and these rows were"
            f" rejected in that of {WAREHOUSE}: replay them with `./run ingest replay`"
        )
    return dataset


@contextmanager
def _warehouse() -> Iterator[psycopg.Connection]:
    with connected(WAREHOUSE, "millrace-replay") as connection:
        try:
            yield connection
        except IngestError as error:
            if error.retryable and not ingest.last_try():
                raise
            with suppress(psycopg.OperationalError):
                requests.finish(connection, _request_id(), str(error))
            raise reasons.stop(str(error)) from None
