"""The images' routes with Airflow's own login: who may see `resize_images` sees pictures, who may run it uploads."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter
from psycopg_pool import AsyncConnectionPool

from include.bridge import images
from include.images import api, pages
from include.images.answers import shown

DAG = shown.DAG
CONNECTIONS = api.CONNECTIONS


def _owner(user: GetUserDep) -> str:
    return str(user.get_name())


GUARDS = api.Guards(
    read=requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=DAG),
    write=requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=DAG),
    owner=_owner,
)


def routers(pool: AsyncConnectionPool[Any], reading: AsyncConnectionPool[Any]) -> list[APIRouter]:
    """The routes and the page. Uploads write, by `pool`."""
    service = api.Service(pool, images.store(), callbacks=images.callbacks, sources=images.sources, reading=reading)
    return [api.router(lambda: service, GUARDS), pages.router(GUARDS)]
