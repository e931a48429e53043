"""What the ingest's tasks need to know of their run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

import psycopg
from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from include.bridge import connected
from include.ingest import ledger
from include.ingest.dataset import Dataset, RejectLimit
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import DatasetError, IngestError, SourceMissing

if TYPE_CHECKING:
    from include.ingest.plan import Order, Plan
    from include.ingest.source.storage import Storage

DATASETS = Path(__file__).parents[1] / "datasets"


def read_datasets(folder: Path = DATASETS) -> tuple[list[Dataset], list[DatasetError]]:
    """Every dataset file of the folder: the good ones, and what is wrong with the others."""
    good, faults = [], []
    for file in sorted(folder.glob("*.yaml")):
        try:
            good.append(load_dataset(file))
        except DatasetError as error:
            faults.append(error)
    return good, faults


def run_id() -> UUID:
    """The ledger's id of this DAG run: the same for every task and every retry."""
    dag_run = get_current_context()["dag_run"]
    return uuid5(NAMESPACE_URL, f"airflow:{dag_run.dag_id}/{dag_run.run_id}")


def order(dataset: Dataset) -> Order:
    """What this run is asked to ingest: the form's path, or the dataset's source for the data interval."""
    from include.ingest.plan import Order  # here, as DAG files import this module and need no engine
    from include.ingest.source.storage import place_of

    context: dict[str, Any] = dict(get_current_context())
    params, dag_run = context["params"], context["dag_run"]
    # The logical date, as `ds` has it: a run by hand for a day has the same version as that day's scheduled run.
    version = dag_run.logical_date or dag_run.run_after
    if params["path"]:
        path = params["path"]
    elif dag_run.logical_date is None:
        raise AirflowFailException("this run has no logical date, so its file has no name: give a date or a path")
    else:
        inbox = os.environ.get("MILLRACE_INBOX", "/var/lib/millrace/inbox")
        path = context["task"].render_template(dataset.source, {**context, "inbox": inbox})
    name = f"{dag_run.dag_id}/{dag_run.run_id}"
    return Order(run_id(), place_of(path), version, params["force"], name, storage())


def storage() -> Storage:
    """How tasks reach files: by Airflow's connections; packed ones are unpacked below $MILLRACE_SCRATCH."""
    from include.bridge.storage import connect
    from include.ingest.source.storage import Storage, scratch_of

    return Storage(scratch_of(os.environ), connect)


def has_come(order: Order) -> bool:
    """Whether the file is there, or one of a folder or pattern."""
    try:
        order.look()
    except SourceMissing:
        return False
    return True


def check_wait(dataset: Dataset, path: str | Path) -> None:
    """Fail the task when the run has waited for its file as long as the dataset says."""
    began = get_current_context()["dag_run"].start_date
    if began is not None and datetime.now(UTC) - began >= timedelta(seconds=dataset.wait_timeout_seconds):
        raise AirflowFailException(
            f"{path} did not come within {dataset.wait_timeout_seconds:,} seconds (wait_timeout_seconds of dataset"
            f" {dataset.name}): deliver it and clear task `plan`, or trigger a run with another path"
        )


def with_params(dataset: Dataset) -> Dataset:
    """The dataset with what the trigger form overrides."""
    params = get_current_context()["params"]
    limit = dataset.reject_limit
    return dataset.model_copy(
        update={
            "chunk_bytes": params["chunk_bytes"] or dataset.chunk_bytes,
            "reject_limit": RejectLimit(
                rows=limit.rows if params["reject_rows"] is None else params["reject_rows"],
                ratio=limit.ratio if params["reject_ratio"] is None else params["reject_ratio"],
            ),
        }
    )


def label(plan: Plan, number: int) -> str:
    """What a mapped task of a chunk is called in the grid."""
    chunk = plan.chunks[number]
    return f"chunk {number + 1} of {len(plan.chunks)}: {chunk.length:,} bytes at {chunk.offset:,}"


@contextmanager
def warehouse(dataset: Dataset) -> Iterator[psycopg.Connection]:
    """An open connection to the dataset's warehouse. An error that no retry can help fails the task at once."""
    with connected(dataset.postgres_conn_id, "millrace") as connection:
        try:
            yield connection
        except IngestError as error:
            if error.retryable and not last_try():
                raise
            with suppress(psycopg.OperationalError), connection.cursor() as cursor:
                ledger.note_reason(cursor, run_id(), str(error))
            raise AirflowFailException(str(error)) from error


def last_try() -> bool:
    """Whether Airflow will not try this task again by itself."""
    task_instance = get_current_context()["ti"]
    return task_instance.try_number > task_instance.max_tries
