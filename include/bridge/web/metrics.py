"""`GET /millrace/metrics`: figures for Prometheus, of Millrace's warehouse and of Airflow's metadata.

There is no such route without `MILLRACE_METRICS_TOKEN`; with it, whoever asks has to bring it as a bearer token. It
reads at each request and keeps nothing, so every API server tells the same.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Header, HTTPException, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy.exc import SQLAlchemyError

from include.bridge.web import airflow_figures
from include.images import figures as of_images
from include.ingest import figures as of_ingest
from include.memory import figures as of_memory
from include.warehouse.figures import WAIT_SECONDS, families, read

TOKEN = "MILLRACE_METRICS_TOKEN"
CONNECTIONS = 1  # of the pool: all figures are read on one
FIGURES = (*of_ingest.FIGURES, *of_images.FIGURES, *of_memory.FIGURES)
ANSWERED = {"source_up": "1 where the figures of this source were read, 0 where they could not be"}


def routers(pool: AsyncConnectionPool[Any], reading: AsyncConnectionPool[Any]) -> list[APIRouter]:
    """The route, where there is a token."""
    token = os.environ.get(TOKEN)
    return [_router(token, reading)] if token else []


def _router(token: str, reading: AsyncConnectionPool[Any]) -> APIRouter:
    routes = APIRouter(tags=["monitoring"])

    @routes.get("/metrics")
    async def get_metrics(authorization: Annotated[str, Header()] = "") -> Response:
        """Everything, in Prometheus' text format. A source that is away is told by `millrace_source_up`."""
        scheme, _, brought = authorization.partition(" ")  # the scheme may be written in any case (RFC 9110)
        known = secrets.compare_digest(brought.strip().encode(), token.encode())
        if scheme.lower() != "bearer" or not known:
            raise HTTPException(401, "the metrics token is missing or wrong", {"WWW-Authenticate": "Bearer"})
        return Response(_text(await _all(reading)), media_type=CONTENT_TYPE_LATEST)

    return routes


async def _all(reading: AsyncConnectionPool[Any]) -> list[Metric]:
    found: list[Metric] = []
    answered = {"warehouse": 1, "airflow": 1}
    try:
        async with reading.connection(timeout=WAIT_SECONDS) as connection:
            found += await read(connection, FIGURES)
    except (psycopg.Error, PoolTimeout):
        answered["warehouse"] = 0
    try:
        found += await run_in_threadpool(airflow_figures.read)
    except SQLAlchemyError:
        answered["airflow"] = 0
    return [*found, *families("millrace", ANSWERED, [{"source": k, "source_up": v} for k, v in answered.items()])]


class _Found(Collector):
    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _text(found: list[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Found(found))
    return bytes(generate_latest(registry))
