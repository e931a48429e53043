"""The page as Airflow serves it, without Airflow: the same routes below /millrace, on a port of this machine.

Beside it stand the two routes of Airflow's interface that the page's buttons call. They check what comes by Airflow's
own models, and keep it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import psycopg
from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunClearBody, TriggerDAGRunPostBody
from fastapi import APIRouter, FastAPI, Header
from fastapi.responses import HTMLResponse
from psycopg_pool import AsyncConnectionPool

from include.ingest import api, pages, replay_api
from include.ingest.dataset_file import load_dataset
from include.ingest.editor import api as editor
from include.ingest.errors import ReplayRefused
from include.ingest.replay import requests
from include.ingest.replay.desk import Desk
from include.ingest.report.catalogue import Catalogue

ALL: Callable[[str], bool] = lambda name: True  # noqa: E731


def guards(may: Callable[[str], bool] = ALL, enter: Callable[[], None] = lambda: None) -> api.Guards:
    """Lets a user see the datasets of which `may` is true."""

    async def seen(names: Collection[str]) -> set[str]:
        return {name for name in names if may(name)}

    return api.Guards(enter=enter, sees=lambda: seen)


def rights(
    may: Callable[[str], bool] = ALL, sees: Callable[[str], bool] = ALL, enter: Callable[[], None] = lambda: None
) -> replay_api.Rights:
    """Lets a user change rows of the datasets of which `may` is true; the header X-User says who it is."""
    allowed = guards(sees, enter)

    async def changes(names: Collection[str]) -> set[str]:
        return {name for name in names if may(name)}

    def who(x_user: Annotated[str, Header()] = "eve") -> str:
        return x_user

    return replay_api.Rights(enter=allowed.enter, sees=allowed.sees, changes=lambda: changes, who=who)


@dataclass
class Replays:
    """Airflow as it does replays: a request is begun, and done when the test says so, or at once."""

    dsn: str
    folder: Path
    at_once: bool = False
    begun: list[tuple[UUID, str]] = field(default_factory=list)
    refused: str | None = None

    def start(self, request_id: UUID, who: str) -> None:
        """Begin a request, once."""
        if self.refused:
            raise ReplayRefused(self.refused)
        if request_id not in [begun for begun, _ in self.begun]:
            self.begun.append((request_id, who))
            if self.at_once:
                self.do(request_id)

    def do(self, request_id: UUID) -> None:
        """What the task does."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            request = requests.request_of(connection, request_id)
            dataset = load_dataset(self.folder / f"{request.dataset}.yaml")
            requests.work(connection, request, dataset, f"replay_rejected/{replay_api.run_name(request_id)}")


def triggers(may: Callable[[str], bool] = ALL) -> Callable[[], api.Seen]:
    """Lets a user trigger the datasets of which `may` is true."""
    return guards(may).sees


EVERYTHING = triggers()


def application(
    dsn: str, folder: Path, allowed: api.Guards, beside: APIRouter | None = None,
    changing: tuple[replay_api.Rights, Replays] | None = None,
    may_trigger: Callable[[], api.Seen] = EVERYTHING,
) -> FastAPI:  # fmt: skip
    """The routes and the page's files below /millrace."""
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(dsn, min_size=0, max_size=api.CONNECTIONS, open=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pool:
            yield
        await desk.checker.end()

    known = Catalogue((folder,))
    service = api.Service(pool, known)
    may, replays = changing or (rights(enter=allowed.enter), Replays(dsn, folder))
    desk = Desk(lambda: dsn, lambda: dsn, known, replays.start, "replay_rejected")
    app = FastAPI(lifespan=lifespan)
    app.include_router(api.router(lambda: service, allowed), prefix="/millrace")
    app.include_router(replay_api.router(lambda: desk, may), prefix="/millrace")
    app.include_router(editor.router(lambda: service, allowed, may_trigger), prefix="/millrace")
    app.include_router(pages.router(allowed.enter), prefix="/millrace")
    if beside is not None:
        app.include_router(beside)
    return app


@dataclass
class Airflow:
    """What Airflow's interface was asked, and its own frame around the page."""

    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    conf: dict[str, Any] = field(default_factory=dict)

    def router(self) -> APIRouter:
        """The routes."""
        routes = APIRouter()
        run = "/api/v2/dags/{dag_id}/dagRuns/{run_id}"

        @routes.get(run)
        def get_run(dag_id: str, run_id: str) -> dict[str, Any]:
            return {"dag_id": dag_id, "dag_run_id": run_id, "conf": self.conf}

        @routes.post(f"{run}/clear")
        def clear(dag_id: str, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
            DAGRunClearBody.model_validate(body)
            self.asked.append((f"clear {dag_id}/{run_id}", body))
            return {}

        @routes.post("/api/v2/dags/{dag_id}/dagRuns")
        def trigger(dag_id: str, body: dict[str, Any]) -> dict[str, Any]:
            TriggerDAGRunPostBody.model_validate(body)
            self.asked.append((f"trigger {dag_id}", body))
            return {"dag_run_id": "manual__new"}

        @routes.get("/plugin/ingest")
        def frame(theme: str = "light") -> HTMLResponse:
            # The sandbox is Airflow's own.
            return HTMLResponse(
                f'<!doctype html><html lang="en" class="{theme}"><title>Airflow</title>'
                "<style>iframe { border: 0; width: 98vw; height: 96vh }</style>"
                '<iframe title="Ingest" sandbox="allow-scripts allow-same-origin allow-forms allow-downloads"'
                ' src="/millrace/ingest/ingest.html"></iframe></html>'
            )

        return routes
