"""The memory audit's routes with Airflow's own login: who may see the runs of `audit_memory` sees what it found."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter
from psycopg_pool import AsyncConnectionPool

from include.memory import api, pages

DAG = "audit_memory"
CONNECTIONS = api.CONNECTIONS
may_read = requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=DAG)


def routers(pool: AsyncConnectionPool[Any], reading: AsyncConnectionPool[Any]) -> list[APIRouter]:
    """The routes and the page, which only read."""
    service = api.Service(reading)
    return [api.router(lambda: service, may_read), pages.router(may_read)]
