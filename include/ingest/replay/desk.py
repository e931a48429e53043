"""What serves the routes that correct and replay: connections for short work, the dataset files, and the checker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from fastapi import HTTPException
from fastapi.concurrency import run_in_threadpool
from psycopg import Connection

from include.ingest.dataset.definition import Dataset
from include.ingest.replay.checker import Checker
from include.ingest.report.catalogue import Catalogue
from include.ingest.source.storage import LOCAL, Storage

AT_ONCE = 2  # connections that all who ask hold together
QUERY_SECONDS = 10
LOCK_SECONDS = 5  # a replay locks its rows until it ends
T = TypeVar("T")
Address = Callable[[], str]  # the connection string, for the next connection


@dataclass
class Desk:
    """What the routes work with. `start` begins the replay of a request: it raises IngestError where it can't."""

    reading: Address
    writing: Address
    catalogue: Catalogue
    start: Callable[[UUID, str], None]
    dag: str  # that does replays
    storage: Storage = LOCAL
    checker: Checker = field(default_factory=Checker)
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def read(self, what: Callable[[Connection[Any]], T]) -> T:
        """Do it on a connection that may only read."""
        return await self._do(self.reading, what, {"default_transaction_read_only": "on"})

    async def write(self, what: Callable[[Connection[Any]], T]) -> T:
        """Do it on a connection that may write."""
        return await self._do(self.writing, what, {})

    async def dataset(self, name: str) -> Dataset:
        """The dataset as its file says now. Raises HTTPException where there is no good file."""
        entry = (await run_in_threadpool(self.catalogue.entries)).get(name)
        if entry is None or entry.dataset is None:
            fault = entry.fault if entry else f"there is no dataset file {name}.yaml any more"
            raise HTTPException(409, f"without its dataset file a row can't be checked: {fault}")
        return entry.dataset

    async def dsn(self) -> str:
        """Where what writes connects to."""
        return await run_in_threadpool(self.writing)

    async def _do(self, address: Address, what: Callable[[Connection[Any]], T], more: dict[str, str]) -> T:
        settings = {"statement_timeout": f"{QUERY_SECONDS}s", "lock_timeout": f"{LOCK_SECONDS}s", **more}

        def done() -> T:
            with psycopg.connect(address(), autocommit=True) as connection:
                for name, value in settings.items():
                    connection.execute("SELECT set_config(%s, %s, false)", [name, value])
                return what(connection)

        try:
            async with self._turns:
                return await run_in_threadpool(done)
        except psycopg.errors.LockNotAvailable:
            raise HTTPException(409, "this row is being replayed or changed at this moment: try again soon") from None
        except psycopg.errors.QueryCanceled:
            raise HTTPException(503, f"the warehouse took longer than {QUERY_SECONDS} seconds") from None
        except psycopg.OperationalError:
            raise HTTPException(503, "the warehouse can't be reached") from None
