"""What Millrace serves in Airflow's API server: the routes and pages of every domain, and their connections.

What only reads does so as the login of the Connection `warehouse_pages`, if there is one; else as `warehouse` too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import FastAPI

from include.bridge import WAREHOUSE
from include.bridge.database import address
from include.bridge.web import images, ingest, memory, metrics
from include.bridge.web.pool import Pool
from include.pages.methods import add_methods

PAGES = "warehouse_pages"
# The pages of images answer whatever nobody before them did.
PARTS = (metrics, ingest, memory, images)


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[None]:
    """Add the routes and keep the connections while the server runs."""
    async with AsyncExitStack() as stack:
        pool = reading = await stack.enter_async_context(_pool(Connection.get(WAREHOUSE)))
        if pages := _find(PAGES):
            reading = await stack.enter_async_context(_pool(pages))
        for part in PARTS:
            for routes in part.routers(pool, reading):
                app.include_router(routes)
        add_methods(app)
        yield


@asynccontextmanager
async def _pool(connection: Any) -> AsyncIterator[Pool]:
    pool = Pool(partial(address, connection, "millrace-api"), sum(part.CONNECTIONS for part in PARTS))
    await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close()


def _find(conn_id: str) -> Any:
    try:
        return Connection.get(conn_id)
    except AirflowNotFoundException:
        return None
