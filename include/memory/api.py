"""The HTTP interface under /memory: every figure of the page Memory as JSON. It only reads.

Airflow is not imported: who may read is decided by the guard that the bridge hands in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from pydantic import Field, StringConstraints

from include.memory.report import difference, processes, profiles, tasks, timeline
from include.memory.watcher.sample import Incarnation

CONNECTIONS = 2  # of the pool, that may be held at a time: a long look back must not keep uploads waiting
MARKED_TASKS = 300
Hours = Annotated[float, Query(gt=0, le=720, description="How far to look back")]
Host = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00]+$")]
Number = Annotated[int, Field(ge=0, lt=2**31)]
LongNumber = Annotated[int, Field(ge=0, lt=2**63)]
PROCESS = "/processes/{host}/{pid}/{start_ticks}"


@dataclass
class Service:
    """What the routes work with."""

    pool: AsyncConnectionPool[Any]
    _reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection whose queries see one state, and may only read."""
        async with self._reading, self.pool.connection() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await connection.execute("SET LOCAL jit = off")  # many small look-ups: to compile them takes longer
            yield connection


def named(host: Host, pid: Number, start_ticks: LongNumber) -> Incarnation:
    """The process that a path names."""
    return Incarnation(host, pid, start_ticks)


Process = Annotated[Incarnation, Depends(named)]


def router(service: Callable[[], Service], may_read: Callable[..., Any]) -> APIRouter:
    """The routes. `service` is asked at each request."""
    routes = APIRouter(prefix="/memory", dependencies=[Depends(may_read)], tags=["memory"])

    @routes.get("/processes")
    async def list_processes(hours: Hours = 48, ended: bool = False) -> dict[str, Any]:
        """Every process with its last verdict: leaks first, then what is watched, then the others by growth."""
        async with service().connection() as connection:
            found = await processes.processes(connection, hours, ended)
        return {"hours": hours, "at": datetime.now(UTC), "processes": found}

    @routes.get(PROCESS)
    async def get_process(key: Process, hours: Hours = 48) -> dict[str, Any]:
        """One process: verdict, what it took, what happened meanwhile, and its profiles."""
        async with service().connection() as connection:
            found = await _known(connection, key)
            return await _story(connection, found, hours)

    @routes.get(PROCESS + "/evidence/{evidence_id}")
    async def get_evidence(key: Process, evidence_id: LongNumber) -> dict[str, Any]:
        """A profile: the lines that allocate what stays, the growing types, and the chains to what holds them."""
        async with service().connection() as connection:
            return await _profile(connection, key, evidence_id)

    @routes.get(PROCESS + "/difference")
    async def get_difference(key: Process, after: LongNumber, before: LongNumber | None = None) -> dict[str, Any]:
        """What changed between two profiles, or without `before` between the two ends of one."""
        async with service().connection() as connection:
            last = await _profile(connection, key, after)
            if before is None:
                return difference.within(last)
            return difference.between(await _profile(connection, key, before), last)

    @routes.get("/tasks")
    async def list_tasks(
        hours: Hours = 48, order: tasks.Order = "grown", limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        host: Host | None = None, pid: Number | None = None, start_ticks: LongNumber | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Tries of tasks with their peak and retained memory, and how much their worker grew meanwhile."""
        now = datetime.now(UTC)
        worker = _worker(host, pid, start_ticks)
        async with service().connection() as connection:
            since = now - timedelta(hours=hours)
            found = await tasks.tasks(connection, since, now, order=order, worker=worker, limit=limit)
        return {"hours": hours, **found}

    return routes


async def _known(connection: AsyncConnection[Any], key: Incarnation) -> dict[str, Any]:
    found = await processes.process(connection, key)
    if found is None:
        raise HTTPException(404, f"there was no process {key.pid} on {key.host} that began at {key.start_ticks}")
    return found


async def _profile(connection: AsyncConnection[Any], key: Incarnation, evidence_id: int) -> dict[str, Any]:
    found = await profiles.profile(connection, key, evidence_id)
    if found is None:
        raise HTTPException(404, f"process {key.pid} on {key.host} has no profile {evidence_id}")
    return found


async def _story(connection: AsyncConnection[Any], process: dict[str, Any], hours: float) -> dict[str, Any]:
    key = timeline.key_of(process)
    stretch = timeline.stretch_of(process, hours)
    others = await timeline.kin(connection, process, stretch)
    earlier = timeline.before(process, others)
    curve = await timeline.points(connection, key, stretch)
    lives = []
    for one in earlier:
        past = await timeline.points(connection, timeline.key_of(one), stretch, counted=False)
        lives.append({**one, "points": past.points})
    ran = await tasks.tasks(connection, stretch.since, stretch.until, worker=key, limit=MARKED_TASKS)
    return {
        "process": processes.measured(process, curve.by_anonymous),
        "hours": hours, "since": stretch.since, "until": stretch.until, "step_seconds": stretch.step_seconds,
        "points": curve.points, "earlier": lives,
        "starts": timeline.starts(process, others, stretch),
        "deploys": await timeline.deploys(connection, [*earlier, process], stretch),
        "tasks": ran["tasks"], "tasks_total": ran["total"],
        "profiles": await profiles.profiles(connection, key), "order": await profiles.order(connection, key),
    }  # fmt: skip


def _worker(host: str | None, pid: int | None, start_ticks: int | None) -> Incarnation | None:
    if host is None and pid is None and start_ticks is None:
        return None
    if host is None or pid is None or start_ticks is None:
        raise HTTPException(422, "a process is told by host, pid and start_ticks together")
    return Incarnation(host, pid, start_ticks)
