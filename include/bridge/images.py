"""What the image tasks and routes need from Airflow, in plain values."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from airflow.sdk import Connection
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from include.images.doorbell import rings
from include.images.store import FolderStore

WAREHOUSE = "warehouse"


def store() -> FolderStore:
    """Where pictures lie: $MILLRACE_IMAGES."""
    return FolderStore(Path(os.environ.get("MILLRACE_IMAGES", "/var/lib/millrace/images")))


def inbox() -> Path:
    """The folder that the daily run sweeps."""
    return Path(os.environ.get("MILLRACE_INBOX", "/var/lib/millrace/inbox")) / "images"


def dsn(found: Any, name: str = "millrace-images") -> str:
    """A connection string for psycopg from an Airflow Connection."""
    return psycopg.conninfo.make_conninfo(
        host=found.host, port=found.port, user=found.login, password=found.password, dbname=found.schema,
        application_name=name, keepalives_idle=30, **(found.extra_dejson or {}),
    )  # fmt: skip


@contextmanager
def warehouse() -> Iterator[psycopg.Connection]:
    """An open connection to the warehouse."""
    with psycopg.connect(dsn(Connection.get(WAREHOUSE)), autocommit=True, connect_timeout=30) as connection:
        yield connection


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
        async for waiting in rings(dsn(found, "millrace-doorbell")):
            yield TriggerEvent({"waiting": waiting})
