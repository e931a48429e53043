"""Routes of the dataset's page beside /ingest/datasets/NAME: columns over time, the file's schema, check and preview.

An edited file comes as the body. To check it needs no more than to see the dataset; to preview it, which shows records
of a file, what triggering the dataset's DAG needs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from include.ingest.api import WAIT_SECONDS, Guards, Limit, Name, Seen, Service, allow
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset.rendering import interval_for, of_airflow, rendered
from include.ingest.dataset_file import json_schema
from include.ingest.editor.job import LONGEST_TEXT, Failed, answer, job_for
from include.ingest.errors import SourceUnnamed
from include.ingest.report import profile
from include.ingest.report.catalogue import Entry
from include.ingest.source.local import storable
from include.ingest.source.storage import place_of

FILES = """
SELECT file, version FROM (
    SELECT file, version, status, started_at FROM millrace.ingest_run
    WHERE dataset = %s AND replay_of IS NULL ORDER BY started_at DESC LIMIT 50
) run ORDER BY status <> 'waiting', started_at DESC"""
TRIED = 3  # files that are looked for, as the one that is waited for may not have come


@dataclass
class Turns:
    """How many children there are at a time: what is edited must not keep pages and uploads waiting."""

    check: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    preview: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    @asynccontextmanager
    async def of(self, kind: str) -> AsyncIterator[None]:
        """One's turn. Raises HTTPException when others take too long."""
        turn = getattr(self, kind)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await turn.acquire()
        except TimeoutError:
            raise HTTPException(503, f"another {kind} is under way: try again when it is done") from None
        try:
            yield
        finally:
            turn.release()


def router(
    service: Callable[[], Service], guards: Guards, triggers: Callable[..., Any], connect: str | None = None
) -> APIRouter:
    """The routes. `triggers` gives a `Seen` of the datasets whose DAG the user may trigger; `connect`: see Job."""
    routes = APIRouter(prefix="/ingest", dependencies=[Depends(guards.enter)], tags=["ingest"])
    permitted, triggering = Depends(guards.sees), Depends(triggers)
    turns = Turns()

    @routes.get("/dataset-schema")
    async def get_schema() -> dict[str, Any]:
        """The JSON Schema of dataset files."""
        return await run_in_threadpool(json_schema)

    @routes.get("/datasets/{name}/profile")
    async def get_profile(
        name: Name, after: str | None = None, limit: Limit = 100, sees: Seen = permitted
    ) -> dict[str, Any]:
        """What the dataset's columns held in the last runs. `next` leads to the columns after these."""
        await allow(sees, name)
        async with service().connection() as connection:
            return await profile.history(connection, name, limit, after)

    @routes.post("/datasets/{name}/check")
    async def check(name: Name, request: Request, sees: Seen = permitted) -> dict[str, Any]:
        """Check an edited dataset file, which is not kept: its faults, each with line, field and what is wrong."""
        await allow(sees, name)
        text, entry = await _text(request), await _entry(service(), name)
        async with turns.of("check"):
            return await _done(answer, job_for("check", name, text, entry.dataset, []))

    @routes.post("/datasets/{name}/preview")
    async def preview(name: Name, request: Request, sees: Seen = permitted, may: Seen = triggering) -> dict[str, Any]:
        """What the first records of the dataset's file come to by an edited dataset file, which is not kept.

        The file is that of the run that waits, or else of the last run, as far as the stored `source` names it. No
        database is asked, and nothing is written.
        """
        await allow(sees, name)
        await allow(may, name, "trigger")
        text, entry = await _text(request), await _entry(service(), name)
        files = await _files(service(), entry)
        async with turns.of("preview"):
            return await _done(answer, job_for("preview", name, text, entry.dataset, files, connect))

    return routes


async def _done(answer: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    try:
        return await run_in_threadpool(answer, *arguments)
    except Failed as fault:
        raise HTTPException(503, str(fault)) from None


async def _entry(service: Service, name: str) -> Entry:
    entry = (await service.entries()).get(name)
    if entry is None:
        raise HTTPException(404, f"there is no dataset file {name}.yaml")
    return entry


async def _files(service: Service, entry: Entry) -> list[tuple[str, str]]:
    """Files of the dataset's runs, and their versions: those that the stored file names.

    A path that somebody typed into the trigger form is none of them: workers read it, and not the server of the pages,
    on which other files lie.
    """
    if entry.dataset is None:
        raise HTTPException(409, f"the stored file is wrong, so it names no file to try this on: {entry.fault}")
    beyond = of_airflow(entry.dataset)
    if beyond:
        raise HTTPException(
            409,
            f"source names {', '.join(beyond)}, which only a run knows: ./run dataset preview takes the file's path",
        )
    async with service.connection() as connection:
        found = await (await connection.execute(FILES, [entry.name])).fetchall()
    own = [(str(file), version.isoformat()) for file, version in found if file == _named(entry.dataset, version)]
    return own[:TRIED]


def _named(dataset: Dataset, version: datetime) -> str | None:
    try:
        return storable(str(place_of(rendered(dataset, interval_for(dataset, version)))))
    except SourceUnnamed:
        return None


async def _text(request: Request) -> str:
    """The body's `text`. It is JSON by name too: a form of another site can't send that without being asked first."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > 2 * LONGEST_TEXT:
            raise HTTPException(413, f"a dataset file has at most {LONGEST_TEXT:,} bytes")
    try:
        text = json.loads(body)["text"]
    except (ValueError, TypeError, KeyError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise HTTPException(422, 'send {"text": "…"}')
    if len(text) > LONGEST_TEXT:
        raise HTTPException(413, f"a dataset file has at most {LONGEST_TEXT:,} bytes")
    return text
