"""The images' routes with Airflow's own login: who may see `resize_images` sees pictures, who may run it uploads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.sdk import Connection
from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool

from include.bridge import WAREHOUSE, dsn, images
from include.images import api, pages

DAG = "resize_images"


def _owner(user: GetUserDep) -> str:
    return str(user.get_name())


GUARDS = api.Guards(
    read=requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=DAG),
    write=requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=DAG),
    owner=_owner,
)


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[None]:
    """Mount the routes and keep a pool of connections while the server runs."""
    where = dsn(Connection.get(WAREHOUSE), "millrace-api")
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(where, min_size=0, max_size=api.CONNECTIONS, open=False)
    await pool.open(wait=False)
    service = api.Service(pool, images.store(), callbacks=images.callbacks())
    app.include_router(api.router(lambda: service, GUARDS))
    app.include_router(pages.router(GUARDS))
    try:
        yield
    finally:
        await pool.close()
