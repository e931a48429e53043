"""What the tasks of `ingest_file` need to know of their run, and how they tell what they found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias, get_current_context

from include.bridge import WAREHOUSE, ingest, log, reasons
from include.bridge.database import connected
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import IngestError, SourceMissing, StorageAway
from include.ingest.infer.said import ORDERS, Said, columns_in
from include.own_folders import inbox, own_folders

if TYPE_CHECKING:
    from pathlib import Path

    from include.ingest.ledger import Account
    from include.ingest.new_dataset.draft import Asked, Draft
    from include.ingest.plan import Order
    from include.ingest.preview.result import Preview

AS_FOUND = "as found"
DATES = {AS_FOUND: "", **{f"{first} first": order for first, order in ORDERS.items()}}
MARKS = {AS_FOUND: "", "point": ".", "comma": ","}
LOOK, CREATE, INGEST = "look", "create", "ingest"
loaded = AssetAlias("ingest_file")  # stands for the tables that its runs load


def action() -> str:
    """What the form asks to be done."""
    return str(get_current_context()["params"]["action"])


def asked() -> Asked:
    """What the form asks for. Raises IngestError for what is no place of a file, or no name."""
    from include.ingest.new_dataset.draft import asked_for

    params = get_current_context()["params"]
    file = params["file"].strip()
    if "://" in file or file.startswith("/"):  # else it is refused for that
        ingest.storage().check(file)  # first: of what may not be read, not even whether it is a folder is told
    said = Said(columns_in(params["key"] or ""), DATES[params["dates"]], MARKS[params["decimal_mark"]])
    return asked_for(file, params["name"], said, accept=bool(params["accept"]), append=bool(params["append"]))


def order(asked: Asked, dataset: Dataset) -> Order:
    """The file as a run's: the same for every task and every retry."""
    from include.ingest.new_dataset.draft import version_of
    from include.ingest.plan import Order
    from include.ingest.source.storage import place_of

    dag_run = get_current_context()["dag_run"]
    version = version_of(asked.file, dataset, dag_run.run_after)
    name = f"{dag_run.dag_id}/{dag_run.run_id}"
    return Order(ingest.run_id(), place_of(asked.file), version, False, name, ingest.storage())


def describe() -> bool:
    """Look at the file, tell what was found, and make the dataset where the form says so. Whether to load the file."""
    from include.ingest.new_dataset import creation, told
    from include.ingest.new_dataset.draft import draft
    from include.ingest.preview.look import preview
    from include.ingest.preview.page import page

    with _stopping():
        wanted = asked()
        found = draft(wanted, ingest.storage(), inbox())
        # One entry of the log, so that it can be copied without the times that stand before each.
        log.info("%s.yaml, the dataset file of what was found:\n\n%s", found.dataset.name, found.text)
        with connected(found.dataset.postgres_conn_id, "millrace") as connection:
            shown = preview(connection, found.dataset, order(wanted, found.dataset))
            for line in (*page(shown).splitlines(), "", *told.findings(wanted, found, shown)):
                log.info(line)
            file = None
            if action() != LOOK:
                creation.check(connection, found, shown, wanted)
                file = creation.create(connection, found, own_folders(), table=action() == CREATE)
    _tell(wanted, found, shown, file)
    return action() == INGEST


def _tell(wanted: Asked, found: Draft, shown: Preview, file: Path | None) -> None:
    from include.ingest.new_dataset import creation, told

    other = creation.existing(found, own_folders())
    task = get_current_context()["ti"]
    task.xcom_push("found", told.values(found, shown, file))
    task.xcom_push(reasons.TOLD, told.note(wanted, found, shown, file, other))


def dataset() -> Dataset:
    """The dataset that `describe` has made, as its file is now."""
    from include.ingest.dataset import places
    from include.ingest.dataset_file import load_dataset

    try:
        return load_dataset(places.find(asked().name))
    except IngestError as error:
        raise reasons.stop(
            f"{error}. Task `describe` wrote its file: do all workers share the folders of dataset files?"
        ) from None


def publish(account: Account) -> None:
    """Tell of the loaded file: in the note of the run, and as an event of the table's asset."""
    from include.ingest.new_dataset import told

    get_current_context()["ti"].xcom_push(reasons.TOLD, told.loaded(account))
    table = Asset(f"{WAREHOUSE}.{account.target}")  # that of the table's own DAG
    get_current_context()["outlet_events"][loaded].add(table, extra=account.as_dict())


def say(context: Any) -> None:
    """Log the note once more, below everything that Airflow says of the end. An `on_success_callback`."""
    task = context["ti"]
    note = task.xcom_pull(key=reasons.TOLD, task_ids=task.task_id)
    log.info("::endgroup::")  # else it would be folded away
    for line in reasons.readable(str(note)):
        log.info(line)


@contextmanager
def _stopping() -> Iterator[None]:
    """An error that no retry can help fails the task at once. Unlike a run by schedule, this one waits for no file."""
    try:
        yield
    except IngestError as error:
        file = str(get_current_context()["params"]["file"])
        gone = isinstance(error, SourceMissing) or (isinstance(error, StorageAway) and "://" not in file)
        if error.retryable and not gone and not ingest.last_try():
            raise
        raise reasons.stop(str(error)) from None
