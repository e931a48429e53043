"""What Millrace serves in Airflow's API server: one pool of connections for the routes and pages of every domain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from airflow.sdk import Connection
from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool

from include.bridge import WAREHOUSE, dsn, images_web, memory_web

PARTS = (images_web, memory_web)


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[None]:
    """Add the routes and keep the pool while the server runs."""
    where = dsn(Connection.get(WAREHOUSE), "millrace-api")
    most = sum(part.CONNECTIONS for part in PARTS)
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(where, min_size=0, max_size=most, open=False)
    await pool.open(wait=False)
    for part in PARTS:
        for routes in part.routers(pool):
            app.include_router(routes)
    try:
        yield
    finally:
        await pool.close()
