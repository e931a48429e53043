"""What the ingest's tasks need to know of their run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

import psycopg
from airflow.sdk import get_current_context, get_parsing_context
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError, ErrorType
from jinja2 import TemplateError

from include.bridge import log, reasons, report
from include.bridge.database import connected
from include.ingest import ledger
from include.ingest.dataset import interval, places
from include.ingest.dataset.definition import Dataset, DeleteLimit, RejectLimit
from include.ingest.dataset.interval import Interval
from include.ingest.dataset.rendering import dates, rendered
from include.ingest.errors import (
    IngestError,
    SourceAbsent,
    SourceLate,
    SourceMissing,
    SourceRefused,
    SourceUnnamed,
    StorageAway,
)  # fmt: skip
from include.own_folders import inbox
from include.roots import roots

if TYPE_CHECKING:
    from include.ingest.plan import Order, Plan
    from include.ingest.source.storage import Storage

MISSING = (ErrorType.VARIABLE_NOT_FOUND, ErrorType.CONNECTION_NOT_FOUND)


def datasets() -> list[Dataset]:
    """Those whose DAGs are asked for: in a task its own, as to read the files of a hundred others takes seconds."""
    dag = get_parsing_context().dag_id
    return places.read_datasets(only=dag and dag.removeprefix("ingest_"))[0]


def run_id() -> UUID:
    """The ledger's id of this DAG run: the same for every task and every retry."""
    dag_run = get_current_context()["dag_run"]
    return uuid5(NAMESPACE_URL, f"airflow:{dag_run.dag_id}/{dag_run.run_id}")


def look(dataset: Dataset) -> Order | None:
    """What this run is asked to ingest; None while its file has not come. The ledger has the run from now on.

    A warehouse that is away for a while does not end the wait.
    """
    from include.ingest.plan import begun, wait

    order, fault = _order(dataset)
    try:
        with warehouse(dataset) as connection, begun(connection, dataset, order):
            if fault is not None:
                raise fault
            if has_come(order):
                return order
            _check_typed(order)
            wait(connection, dataset, order)
            _check_wait(dataset, order)
    except psycopg.OperationalError as error:
        if fault is not None or has_come(order):
            raise
        log.warning("the ledger could not record that the run is waiting, as the warehouse is down: %s", error)
    report("waiting", file=order.path, timeout_seconds=dataset.wait_timeout_seconds)
    return None


def _order(dataset: Dataset) -> tuple[Order, SourceUnnamed | None]:
    """The form's path, or the dataset's source for the data interval; and why that has no name, where it has none.

    The interval is that of the dataset's schedule, not what Airflow inferred: for a run by hand that depends on the
    door it came through. A run without a logical date has the version of the last complete interval.
    """
    from include.ingest.plan import Order  # here, as DAG files import this module and need no engine
    from include.ingest.source.storage import place_of

    context = get_current_context()
    dag_run, params = context["dag_run"], context["params"]
    if dag_run.logical_date is None:
        found = interval.last_complete(dataset.schedule, dag_run.run_after)
    else:
        found = interval.holding(dataset.schedule, dag_run.logical_date)
    place, fault = params["path"], None
    try:
        if not place and dag_run.logical_date is None:
            raise SourceUnnamed("this run has no logical date, so its file has no name: give a date or a path")
        place = place_of(place or _rendered(dataset, found))
    except SourceUnnamed as error:
        place, fault = dataset.source, error
    name = f"{dag_run.dag_id}/{dag_run.run_id}"
    return Order(run_id(), place, found.start, bool(params["force"]), name, storage()), fault


def _rendered(dataset: Dataset, found: Interval) -> str:
    """The source for an interval, by Airflow's own templates."""
    context: dict[str, Any] = dict(get_current_context())
    try:
        return str(context["task"].render_template(dataset.source, {**context, **dates(found), "inbox": inbox()}))
    except Exception as error:
        if not _is_final(error):
            raise
        raise SourceUnnamed(
            f"dataset {dataset.name}: source {dataset.source!r} can't be rendered: {error}. Fix the field `source`"
        ) from error


def shown_source(dataset: Dataset) -> str:
    """The dataset's source with the real folder in it, for the trigger form."""
    return re.sub(r"\{\{\s*inbox\s*\}\}", lambda _: inbox(), dataset.source)


def shown_example(dataset: Dataset) -> str:
    """Which file and version a run for one date has, for the trigger form: noon of the day on which the DAG begins.

    A date that moves on would change the DAG, and so make a new version of it, every day.
    """
    noon = datetime.combine(dataset.start_date, time(12), UTC)
    found = interval.holding(dataset.schedule, noon)
    try:
        file = f"takes {rendered(dataset, found)} and "
    except SourceUnnamed:  # what only Airflow knows is in it
        file = ""
    return f"So a run for {noon:%Y-%m-%d %H:%M} UTC {file}has version {found.start:%Y-%m-%d %H:%M} UTC."


def _is_final(error: Exception) -> bool:
    """Whether rendering once more would fail in the same way, unlike when Airflow's API can't be reached."""
    if isinstance(error, AirflowRuntimeError):
        return error.error.error in MISSING
    known = (TemplateError, TypeError, ValueError, LookupError, AttributeError, AirflowNotFoundException)
    return isinstance(error, known)


def storage() -> Storage:
    """How tasks reach files below the roots: by Airflow's connections, unpacked in $MILLRACE_SCRATCH where packed."""
    from include.bridge.storage import connect
    from include.ingest.source.storage import Storage, scratch_of

    return Storage(scratch_of(os.environ), connect, roots())


def has_come(order: Order) -> bool:
    """Whether the file is there, or one of a folder or pattern."""
    try:
        order.look()
    except SourceMissing:
        return False
    except StorageAway as fault:
        if _is_typed() and "://" not in str(order.path):  # a folder that is closed to the worker stays so
            raise SourceAbsent(f"{fault}. Trigger a run with another path") from fault
        raise
    return True


def _is_typed() -> bool:
    return bool(get_current_context()["params"].get("path"))  # the form of `ingest_file` has no such field


def _check_typed(order: Order) -> None:
    """Raise SourceAbsent for a path of the form. Only what the schedule expects is waited for: it will come.

    A typing error never will, and four runs that wait for one would hold up all others of the dataset.
    """
    if _is_typed():
        raise SourceAbsent(
            f"{order.path} is not there, and a path that was given is not waited for: trigger a run with another path,"
            " or deliver the file and clear task `plan`"
        )


def _check_wait(dataset: Dataset, order: Order) -> None:
    """Raise SourceLate when the run has waited for its file as long as the dataset says."""
    began = get_current_context()["dag_run"].start_date
    if began is not None and datetime.now(UTC) - began >= timedelta(seconds=dataset.wait_timeout_seconds):
        raise SourceLate(
            f"{order.path} did not come within {dataset.wait_timeout_seconds:,} seconds (wait_timeout_seconds of"
            f" dataset {dataset.name}): deliver it and clear task `plan`, or trigger a run with another path"
        )


def with_params(dataset: Dataset) -> Dataset:
    """The dataset with what the trigger form overrides."""
    params = get_current_context()["params"]
    limit, deletes = dataset.reject_limit, dataset.delete_limit
    return dataset.model_copy(
        update={
            "chunk_bytes": params["chunk_bytes"] or dataset.chunk_bytes,
            "reject_limit": RejectLimit(
                rows=limit.rows if params["reject_rows"] is None else params["reject_rows"],
                ratio=limit.ratio if params["reject_ratio"] is None else params["reject_ratio"],
            ),
            "delete_limit": DeleteLimit(  # the form has these in mode `replace` only
                rows=deletes.rows if params.get("delete_rows") is None else params["delete_rows"],
                ratio=deletes.ratio if params.get("delete_ratio") is None else params["delete_ratio"],
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
                mistyped = isinstance(error, SourceAbsent | SourceRefused) and _is_typed()
                ledger.note_reason(cursor, run_id(), str(error), mistyped=mistyped)
            raise reasons.stop(str(error)) from None


def last_try() -> bool:
    """Whether Airflow will not try this task again by itself."""
    task_instance = get_current_context()["ti"]
    return task_instance.try_number > task_instance.max_tries
