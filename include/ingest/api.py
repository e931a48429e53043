"""The HTTP interface under /ingest: every figure of the page Ingest as JSON. It only reads.

Airflow is not imported: which datasets a user may see is decided by the guard that the bridge hands in, once for each
request. What a run or a row belongs to is looked up first, and then asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic import StringConstraints

from include.ingest.report import before, catalogue, datasets, progress, rejected, runs
from include.ingest.report.catalogue import Catalogue, Entry

LOOKS, DOWNLOADS = 2, 1  # that hold a connection at a time: who reads must not keep uploads waiting
CONNECTIONS = LOOKS + DOWNLOADS
QUERY_SECONDS = 10
WAIT_SECONDS = 10  # for a connection
DOWNLOAD_SECONDS = 1800  # so that nobody who stops reading holds the connection for ever

Seen = Callable[[Collection[str]], Awaitable[set[str]]]  # those of the datasets that the user may see
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
Text = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")]
Limit = Annotated[int, Query(ge=1, le=500)]
T = TypeVar("T")


@dataclass(frozen=True)
class Guards:
    """Who may do what, as dependencies of the routes."""

    enter: Callable[..., Any]  # lets in who may see runs at all; the page's files need no more
    sees: Callable[..., Any]  # gives a `Seen`


@dataclass
class Service:
    """What the routes work with."""

    pool: AsyncConnectionPool[Any]
    catalogue: Catalogue
    _looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKS))
    _downloads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DOWNLOADS))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection whose queries see one state, may only read, and end in time."""
        async with self._looks, self._reading() as connection:
            yield connection

    @asynccontextmanager
    async def download(self) -> AsyncIterator[AsyncConnection[Any]]:
        """The same for what may take long. Raises HTTPException when others take it already."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._downloads.acquire()
        except TimeoutError:
            raise HTTPException(503, "another download is under way: try again when it is done") from None
        try:
            async with self._reading(DOWNLOAD_SECONDS) as connection:
                yield connection
        finally:
            self._downloads.release()

    @asynccontextmanager
    async def _reading(self, seconds: int = QUERY_SECONDS) -> AsyncIterator[AsyncConnection[Any]]:
        try:
            async with self.pool.connection(timeout=WAIT_SECONDS) as connection, connection.transaction():
                await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                await connection.execute("SET LOCAL jit = off")  # look-ups: to compile them takes longer
                await connection.execute(f"SET LOCAL statement_timeout = '{seconds}s'")
                yield connection
        except psycopg.errors.QueryCanceled:
            raise HTTPException(503, f"the warehouse took longer than {seconds} seconds: narrow it down") from None
        except (psycopg.OperationalError, PoolTimeout):
            raise HTTPException(503, "the warehouse can't be reached") from None

    async def entries(self) -> dict[str, Entry]:
        """What the dataset files say."""
        return await run_in_threadpool(self.catalogue.entries)


def router(service: Callable[[], Service], guards: Guards) -> APIRouter:
    """The routes. `service` is asked at each request."""
    routes = APIRouter(prefix="/ingest", dependencies=[Depends(guards.enter)], tags=["ingest"])
    _add_datasets(routes, service, guards)
    _add_runs(routes, service, guards)
    _add_rejected(routes, service, guards)
    return routes


def _add_datasets(routes: APIRouter, service: Callable[[], Service], guards: Guards) -> None:
    permitted = Depends(guards.sees)

    @routes.get("/datasets")
    async def list_datasets(after: Name | None = None, limit: Limit = 100, sees: Seen = permitted) -> dict[str, Any]:
        """Every dataset with its last run; those that need a person first. `next` leads to the page after this one."""
        entries = await service().entries()
        async with service().connection() as connection:
            known = await datasets.names(connection)
            seen = await sees({*entries, *known})
            found = await datasets.overview(connection, {name: entries.get(name) for name in seen}, datetime.now(UTC))
        order = [one["name"] for one in found]
        first = order.index(after) + 1 if after in order else 0
        page = found[first : first + limit]
        more = page[-1]["name"] if first + limit < len(found) else None
        return {"at": datetime.now(UTC), "total": len(found), "datasets": page, "next": more}

    @routes.get("/dataset-names")
    async def name_datasets(sees: Seen = permitted) -> dict[str, Any]:
        """The names of all datasets."""
        entries = await service().entries()
        async with service().connection() as connection:
            return {"names": sorted(await sees({*entries, *await datasets.names(connection)}))}

    @routes.get("/datasets/{name}")
    async def get_dataset(name: Name, sees: Seen = permitted) -> dict[str, Any]:
        """One dataset: its last run, its columns, its file, and SQL that shows its table."""
        await allow(sees, name)
        entry = (await service().entries()).get(name)
        async with service().connection() as connection:
            if entry is None and name not in await datasets.names(connection):
                raise HTTPException(404, f"there is no dataset {name}")
            (found,) = await datasets.overview(connection, {name: entry}, datetime.now(UTC))
        return {"at": datetime.now(UTC), **found, **_described(entry)}


def _described(entry: Entry | None) -> dict[str, Any]:
    dataset = entry.dataset if entry else None
    return {
        "description": dataset.description if dataset else "",
        "source": dataset.source if dataset else None,
        "mode": dataset.mode if dataset else None,
        "columns": catalogue.columns_of(dataset) if dataset else [],
        "query": catalogue.query_of(dataset) if dataset else None,
        "file": entry.text if entry else None,
        "place": entry.place if entry else None,
        "fault": entry.fault if entry else None,
    }


def _add_runs(routes: APIRouter, service: Callable[[], Service], guards: Guards) -> None:
    permitted = Depends(guards.sees)

    @routes.get("/runs")
    async def list_runs(
        dataset: Name | None = None, status: runs.Status | None = None,
        rejected: bool = False, replay_of: UUID | None = None,
        after: Text | None = None, limit: Limit = 50,
        sees: Seen = permitted,
    ) -> dict[str, Any]:  # fmt: skip
        """Runs, the newest first; `rejected`: those with rejected rows. `next` leads to the page after this one."""
        last = _read(runs.After.read, after)
        async with service().connection() as connection:
            names = await _named(connection, sees, dataset)
            return await runs.runs(connection, names, limit, status, last, rejected, replay_of)

    @routes.get("/runs/of-airflow")
    async def find_run(dag_id: Text, dag_run_id: Text, sees: Seen = permitted) -> dict[str, Any]:
        """The ledger's run that a DAG run of Airflow is."""
        async with service().connection() as connection:
            found = await runs.of_airflow(connection, f"{dag_id}/{dag_run_id}")
        if found is None:
            raise HTTPException(404, f"the ledger knows no run {dag_run_id} of {dag_id}")
        await allow(sees, found["dataset"])
        return found

    @routes.get("/runs/{run_id}")
    async def get_run(run_id: UUID, sees: Seen = permitted) -> dict[str, Any]:
        """One run: its account, how far it is, where its time went, and what changed from the run before."""
        async with service().connection() as connection:
            found = await _run(connection, sees, run_id)
            done = await progress.progress(connection, found)
            changed = await before.changes(connection, found)
        return {"at": datetime.now(UTC), "run": found, "progress": done, "changes": changed}

    @routes.get("/runs/{run_id}/chunks")
    async def list_chunks(run_id: UUID, after: int = -1, limit: Limit = 100, sees: Seen = permitted) -> dict[str, Any]:
        """The run's chunks, and how far those are that load now; `next` leads to the page after this one."""
        async with service().connection() as connection:
            await _run(connection, sees, run_id)
            return await progress.chunks(connection, run_id, after, limit)


def _add_rejected(routes: APIRouter, service: Callable[[], Service], guards: Guards) -> None:
    permitted = Depends(guards.sees)

    async def wanted(
        connection: AsyncConnection[Any], sees: Seen, dataset: str | None, run_id: UUID | None, rule: str | None,
        column: str | None, state: rejected.State | None,
    ) -> rejected.Wanted:  # fmt: skip
        return rejected.Wanted(await _named(connection, sees, dataset), run_id, rule, column, state)

    @routes.get("/rejected")
    async def list_rejected(
        dataset: Name | None = None, run_id: UUID | None = None,
        rule: Text | None = None, column: Text | None = None, state: rejected.State | None = None,
        after: Text | None = None, limit: Limit = 50,
        sees: Seen = permitted,
    ) -> dict[str, Any]:  # fmt: skip
        """Rejected rows of the newest runs, each record cut around its bad value. `column=` is the whole record."""
        last = _read(rejected.After.read, after)
        entries = await service().entries()
        async with service().connection() as connection:
            chosen = await wanted(connection, sees, dataset, run_id, rule, column, state)
            return await rejected.rows(connection, chosen, entries, limit, last)

    @routes.get("/rejected/rules")
    async def count_rejected(
        dataset: Name | None = None, run_id: UUID | None = None, limit: Limit = 100, sees: Seen = permitted
    ) -> dict[str, Any]:  # fmt: skip
        """How many rows broke which rule in which column, the most first: of one run, or of the newest runs."""
        async with service().connection() as connection:
            names = await _named(connection, sees, dataset)
            return {"rules": await rejected.rules(connection, names, run_id, limit)}

    @routes.get("/rejected.csv")
    async def download_rejected(
        dataset: Name | None = None, run_id: UUID | None = None,
        rule: Text | None = None, column: Text | None = None, state: rejected.State | None = None,
        sees: Seen = permitted,
    ) -> StreamingResponse:  # fmt: skip
        """The same rows as CSV, all of them, with their whole records."""
        async with service().connection() as connection:
            chosen = await wanted(connection, sees, dataset, run_id, rule, column, state)
        blocks = _blocks(service(), chosen)
        first = await anext(blocks, b"")  # what goes wrong at first is still an answer with a status
        name = "-".join(["rejected", *filter(None, (dataset, str(run_id) if run_id else None))])
        return StreamingResponse(
            _chained(first, blocks), media_type="text/csv",
            headers={"Content-Disposition": f'attachment; filename="{name}.csv"', "X-Content-Type-Options": "nosniff"},
        )  # fmt: skip


async def _blocks(service: Service, wanted: rejected.Wanted) -> AsyncIterator[bytes]:
    async with service.download() as connection, asyncio.timeout(DOWNLOAD_SECONDS):
        async for block in rejected.as_csv(connection, wanted):
            yield block


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in rest:
        yield block


def _read(how: Callable[[str], T], after: str | None) -> T | None:
    try:
        return None if after is None else how(after)
    except ValueError:
        raise HTTPException(422, "after: take it from `next` of the page before") from None


async def allow(may: Seen, name: str, what: str = "see the runs of") -> None:
    """Raise HTTPException where the user may not do that to the dataset's DAG."""
    if not await may([name]):
        raise HTTPException(403, f"you may not {what} ingest_{name}")


async def _named(connection: AsyncConnection[Any], sees: Seen, dataset: str | None) -> list[str]:
    """The dataset that is asked for, or all that the user may see."""
    if dataset is not None:
        await allow(sees, dataset)
        return [dataset]
    return sorted(await sees(await datasets.names(connection)))


async def _run(connection: AsyncConnection[Any], sees: Seen, run_id: UUID) -> dict[str, Any]:
    found = await runs.run(connection, run_id)
    if found is None:
        raise HTTPException(404, f"the ledger knows no run {run_id}")
    await allow(sees, found["dataset"])
    return found
