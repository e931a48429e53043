"""The memory audit's routes with Airflow's own login: who may see the runs of `audit_memory` sees what it found."""

from __future__ import annotations

import os
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter
from psycopg_pool import AsyncConnectionPool

from include.bridge.memory import limit_bytes
from include.memory import api, pages
from include.memory.sample import host

DAG = "audit_memory"
CONNECTIONS = api.CONNECTIONS
may_read = requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=DAG)


def limit_of(name: str) -> float | None:
    """What a process of that host may take: what is configured, or this host's control group's limit."""
    return limit_bytes() if os.environ.get("MILLRACE_MEMORY_LIMIT_MB") or name == host() else None


def routers(pool: AsyncConnectionPool[Any]) -> list[APIRouter]:
    """The routes and the page."""
    service = api.Service(pool, limit_of)
    return [api.router(lambda: service, may_read), pages.router(may_read)]
