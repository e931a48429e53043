"""The ingest's routes with Airflow's own login: who may see the runs of `ingest_<dataset>` sees what they came to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.dag import DagModel
from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from psycopg_pool import AsyncConnectionPool

from include.ingest import api, pages
from include.ingest.editor import api as editor
from include.ingest.report.catalogue import Catalogue
from include.own_folders import own_folders

CONNECTIONS = api.CONNECTIONS
enter = requires_access_dag("GET", DagAccessEntity.RUN)  # the runs of some DAG; of which ones, `_sees` says


def _sees(user: GetUserDep) -> api.Seen:
    return _asking(user, "GET")


def _triggers(user: GetUserDep) -> api.Seen:
    return _asking(user, "POST")


def _asking(user: Any, method: Literal["GET", "POST"]) -> api.Seen:
    async def seen(names: Collection[str]) -> set[str]:
        return await run_in_threadpool(_permitted, user, names, method)  # it may ask Airflow's database

    return seen


def _permitted(user: Any, names: Collection[str], method: Literal["GET", "POST"]) -> set[str]:
    manager = get_auth_manager()
    dags = {f"ingest_{name}": name for name in names}
    teams = DagModel.get_dag_id_to_team_name_mapping(list(dags))
    return {
        name
        for dag, name in dags.items()
        if manager.is_authorized_dag(
            method=method, access_entity=DagAccessEntity.RUN, details=DagDetails(id=dag, team_name=teams.get(dag)),
            user=user,
        )
    }  # fmt: skip


GUARDS = api.Guards(enter=enter, sees=_sees)


def routers(pool: AsyncConnectionPool[Any], reading: AsyncConnectionPool[Any]) -> list[APIRouter]:
    """The routes and the page, which only read."""
    service = api.Service(reading, Catalogue(own_folders()))
    editing = editor.router(lambda: service, GUARDS, _triggers, "include.bridge.storage:connect")
    return [api.router(lambda: service, GUARDS), editing, pages.router(enter)]
