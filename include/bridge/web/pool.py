"""The pages' connections to a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.concurrency import run_in_threadpool
from psycopg_pool import AsyncConnectionPool


class Pool(AsyncConnectionPool[Any]):
    """Connections that are made as they are needed, and none before. Not open yet.

    `address` gives the connection string. It is asked for each connection, as a token in it may be good for minutes.
    """

    def __init__(self, address: Callable[[], str], most: int) -> None:
        self.address = address
        super().__init__(self._ask, min_size=0, max_size=most, open=False)

    async def _ask(self) -> str:
        return await run_in_threadpool(self.address)  # it may ask a service for the token
