"""Airflow's own access log, around Millrace's application as Airflow mounts it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import httpx
import pytest
import structlog
from airflow.api_fastapi.common.http_access_log import HttpAccessLogMiddleware
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response

from include.images.links.unlogged import Unlogged
from tests.images.links.outside import KEY, token
from tests.images.test_api import PHOTO, TOKEN, Here
from tests.served import served
from tests.waiting import until

pytestmark = pytest.mark.airflow


@pytest.fixture
def airflow(here: Here) -> Iterator[str]:
    """An application as Airflow's, with what stands between its log and ours."""

    async def passes(request: Request, go_on: object) -> Response:
        found: Response = await go_on(request)  # type: ignore[operator]
        return found

    here.app.add_middleware(Unlogged)
    app = FastAPI(lifespan=here.app.router.lifespan_context)
    app.mount("/millrace", here.app)
    app.add_middleware(BaseHTTPMiddleware, dispatch=passes)
    app.add_middleware(GZipMiddleware)
    app.add_middleware(HttpAccessLogMiddleware)
    with served(app) as address:
        yield address


def finished(logged: list[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """The events of requests."""
    return [one for one in logged if one["event"] == "request finished"]


def test_a_link_is_not_in_the_access_log(airflow: str, here: Here) -> None:
    answer = httpx.post(f"{airflow}/millrace/images", content=PHOTO, headers=TOKEN)
    here.resize()
    link = token(answer.json()["images"][0]["id"])
    with structlog.testing.capture_logs() as logged, httpx.Client(base_url=f"{airflow}/millrace") as anybody:
        assert anybody.get(f"/shared/{link}/large.jpg").status_code == 200
        assert anybody.head(f"/shared/{link}/large.jpg").status_code == 200
        for method, path in (("GET", "/none.jpg"), ("POST", "/large.jpg"), ("OPTIONS", "/large.jpg"), ("GET", "")):
            anybody.request(method, f"/shared/{link}{path}")
        anybody.get("/counts?x=1")
        until(lambda: len(finished(logged)) == 7, "the log, which is written after the answer")
    paths = [one["path"] for one in finished(logged)]
    ends = ("/large.jpg", "/large.jpg", "/none.jpg", "/large.jpg", "/large.jpg", "")
    assert paths == [*(f"/millrace/shared/...{end}" for end in ends), "/millrace/counts"]
    assert link[:20] not in str(logged)
    assert KEY not in str(logged)
