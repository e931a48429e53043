"""The ingest's routes with Airflow's own login.

Who may see the runs of `ingest_<dataset>` sees what they came to; who may start them corrects and replays their
rejected rows, and previews an edited dataset file.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any
from uuid import UUID

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.exceptions import DagRunAlreadyExists
from airflow.models.dag import DagModel
from airflow.utils.types import DagRunTriggeredByType
from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from include.bridge.ingest import storage
from include.bridge.replays import DAG
from include.bridge.web.pool import Pool
from include.ingest import api, pages, replay_api
from include.ingest.editor import api as editor
from include.ingest.errors import ReplayRefused
from include.ingest.replay.desk import Desk
from include.ingest.report.catalogue import Catalogue
from include.own_folders import own_folders

CONNECTIONS = api.CONNECTIONS
enter = requires_access_dag("GET", DagAccessEntity.RUN)  # the runs of some DAG; of which ones, `_sees` says


def _sees(user: GetUserDep) -> api.Seen:
    return _asking(user, "GET")


def _changes(user: GetUserDep) -> api.Seen:
    return _asking(user, "POST")


def _who(user: GetUserDep) -> str:
    return str(user.get_name())


def _asking(user: Any, method: Any) -> api.Seen:
    async def seen(names: Collection[str]) -> set[str]:
        return await run_in_threadpool(_permitted, user, method, names)  # it may ask Airflow's database

    return seen


def _permitted(user: Any, method: Any, names: Collection[str]) -> set[str]:
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


def start_replay(request_id: UUID, who: str) -> None:
    """Begin the run of Airflow that does a request, unless it has begun. Raises ReplayRefused where there is no DAG."""
    found = DagModel.get_current(DAG)
    if found is None or found.is_stale:
        raise ReplayRefused(f"the DAG {DAG} is not there: look for an import error in Airflow")
    if found.is_paused:
        raise ReplayRefused(f"the DAG {DAG} is paused: unpause it in Airflow")
    with suppress(DagRunAlreadyExists):
        trigger_dag(
            DAG, triggered_by=DagRunTriggeredByType.UI, triggering_user_name=who,
            run_id=replay_api.run_name(request_id), conf={"request": str(request_id)},
        )  # fmt: skip


GUARDS = api.Guards(enter=enter, sees=_sees)
RIGHTS = replay_api.Rights(enter=enter, sees=_sees, changes=_changes, who=_who)


def routers(pool: Pool, reading: Pool) -> list[APIRouter]:
    """The routes and the page. Corrections of rejected rows write, by `pool`."""
    known = Catalogue(own_folders())
    service = api.Service(reading, known)
    desk = Desk(reading.address, pool.address, known, start_replay, DAG, storage())
    return [
        api.router(lambda: service, GUARDS),
        replay_api.router(lambda: desk, RIGHTS),
        editor.router(lambda: service, GUARDS, _changes, "include.bridge.storage:connect"),
        pages.router(enter),
    ]
