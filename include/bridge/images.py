"""What the image tasks and routes need from Airflow, in plain values."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from airflow.sdk import Connection, get_current_context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from include.bridge import dsn
from include.images.callbacks import Callbacks
from include.images.doorbell import rings
from include.images.store import FolderStore

WAREHOUSE, CALLBACKS = "warehouse", "image_callbacks"


def store() -> FolderStore:
    """Where pictures lie: $MILLRACE_IMAGES."""
    return FolderStore(Path(os.environ.get("MILLRACE_IMAGES", "/var/lib/millrace/images")))


def inbox() -> Path:
    """The folder that the daily run sweeps."""
    return Path(os.environ.get("MILLRACE_INBOX", "/var/lib/millrace/inbox")) / "images"


def lanes() -> int:
    """Tasks that resize at the same time: $MILLRACE_IMAGE_LANES, or one for each core of this machine."""
    return int(os.environ.get("MILLRACE_IMAGE_LANES") or os.cpu_count() or 1)


def callbacks() -> Callbacks:
    """Where callbacks may go, from Connection `image_callbacks`: its password signs, its extra lists the `origins`."""
    try:
        found = Connection.get(CALLBACKS)
    except AirflowNotFoundException:
        return Callbacks()
    return Callbacks(found.password or "", tuple((found.extra_dejson or {}).get("origins", ())))


def base_url() -> str:
    """The address of the images' interface."""
    return f"{conf.get('api', 'base_url').rstrip('/')}/millrace"


@contextmanager
def warehouse() -> Iterator[psycopg.Connection]:
    """An open connection to the warehouse."""
    with psycopg.connect(
        dsn(Connection.get(WAREHOUSE), "millrace-images"), autocommit=True, connect_timeout=30
    ) as connection:
        yield connection


def take_in(connection: psycopg.Connection) -> dict[str, int]:
    """Take in the form's folder, or on a daily run the inbox; mark stored pictures for new recipes. Returns counts."""
    from include.images import inbox as list_of_work
    from include.images import sweep
    from include.images.recipes import load_recipes

    context: dict[str, Any] = dict(get_current_context())
    params = context["params"]
    folder = Path(params["path"]) if params["path"] else None
    if folder is not None and not folder.is_dir():
        raise AirflowFailException(f"there is no folder {folder}: trigger the run again with another path")
    if folder is None and context["dag_run"].run_type == "scheduled" and inbox().is_dir():
        folder = inbox()
    counts = sweep.sweep(connection, store(), folder, owner="sweep") if folder else {}
    if params["everything"]:
        counts["remade"] = list_of_work.remake(connection, load_recipes().identity)
    return counts


def share(connection: psycopg.Connection) -> list[dict[str, Any]]:
    """What waits, shared among the mapped tasks: the batch's id, its number, and how many there are."""
    from include.images import inbox as list_of_work

    found = list_of_work.open_batches(connection, lanes())
    return [{"id": str(batch), "number": n, "batches": len(found)} for n, batch in enumerate(found, start=1)]


class ImagesWaiting(BaseEventTrigger):
    """Fires when pictures wait. The event is only a doorbell: what there is to do, the task finds in the database."""

    def __init__(self, conn_id: str = WAREHOUSE) -> None:
        super().__init__()
        self.conn_id = conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How the triggerer makes it again."""
        return "include.bridge.images.ImagesWaiting", {"conn_id": self.conn_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ring whenever pictures wait."""
        found = await Connection.async_get(self.conn_id)
        async for _ in rings(dsn(found, "millrace-doorbell")):
            yield TriggerEvent({})
