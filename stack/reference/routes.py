"""The HTTP routes under `/millrace`, from the applications that answer them."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from include.images import api as images
from include.images.links import api as links
from include.ingest import api as ingest
from include.ingest import replay_api
from include.ingest.editor import api as editor
from include.memory import api as memory
from stack.reference.markdown import code, kind, page, table

PREFIX = "/millrace"


def view_images() -> None:
    """View runs of `resize_images`."""


def start_images() -> None:
    """Start runs of `resize_images`."""


def change_images() -> None:
    """Change runs of `resize_images`."""


def view_ingest() -> None:
    """View runs of `ingest_<dataset>`."""


def start_ingest() -> None:
    """Start runs of `ingest_<dataset>`."""


def view_memory() -> None:
    """View runs of `audit_memory`."""


def write() -> str:
    """The page."""
    readers = ingest.Guards(enter=view_ingest, sees=_nobody)
    guards = images.Guards(read=view_images, write=start_images, original=change_images, owner=view_images)
    return page(
        "HTTP routes",
        "All are part of Airflow's API server. A request carries a token of Airflow (`POST /auth/token`) as a bearer"
        " token, or the cookie of its login; `/metrics` has a token of its own. Without a login the answer is 401,"
        " without the permission 403. `GET /millrace/docs` is the OpenAPI page.",
        "## Ingest",
        "[The page](../how-to/fix-a-failed-run.md#on-the-page-ingest) shows the same. Lists hold what one may see.",
        _routes(ingest.router(_nobody, readers)),
        "[Work with rejected rows](../how-to/work-with-rejected-rows.md#correct-rows-and-replay-them) explains these.",
        _routes(replay_api.router(_nobody, replay_api.Rights(view_ingest, _nobody, start_ingest, _nobody))),
        "The page's editor of dataset files:",
        _routes(editor.router(_nobody, readers, start_ingest)),
        'A body is `{"text": "…"}`, the dataset file as edited. Neither `check` nor `preview` keeps it.',
        "## Images",
        "[Upload pictures](../how-to/upload-pictures.md) has examples and the answers.",
        _routes(images.router(_nobody, guards)),
        "[Links](../how-to/use-in-a-web-app.md) show renditions without a login.",
        _routes(links.router(_nobody, guards)),
        "## Memory",
        "[Find a leak](../how-to/find-a-leak.md) explains the figures.",
        _routes(memory.router(_nobody, view_memory)),
        "## Metrics",
        "[The metrics](metrics.md).",
        _routes(_metrics()),
    )


def _nobody() -> Any:
    raise AssertionError("nothing is asked here")


def _metrics() -> APIRouter:
    from include.bridge.web import metrics

    os.environ[metrics.TOKEN] = "documented"
    nothing: Any = None
    (router,) = metrics.routers(nothing, nothing)
    return router


def _routes(*routers: APIRouter) -> str:
    app = FastAPI()
    for router in routers:
        app.include_router(router)
    described = app.openapi()["paths"]
    rows = []
    for route in (route for router in routers for route in router.routes):
        assert isinstance(route, APIRoute)
        (method,) = route.methods
        known = described.get(route.path, {}).get(method.lower(), {}).get("parameters", [])
        given = "; ".join(_parameter(one) for one in known if one["in"] == "query")
        said = inspect.getdoc(route.endpoint) or ""
        rows.append(
            [
                code(f"{method} {PREFIX}{route.path}"),
                ", ".join(_needs(route)),
                given,
                str(route.status_code or 200),
                said,
            ]
        )
    return table(["route", "needs", "query", "answer", "what it does"], rows)


def _parameter(one: dict[str, Any]) -> str:
    schema = one["schema"]
    usual = f" ({schema['default']})" if schema.get("default") is not None else ""
    return f"{code(one['name'])}: {_without_null(schema)}{usual}"


def _without_null(schema: dict[str, Any]) -> str:
    found = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    (one,) = found
    words = re.fullmatch(r"\^\(([\w|]+)\)\$", one.get("pattern", ""))
    return ", ".join(map(code, words[1].split("|"))) if words else kind(one)


def _needs(route: APIRoute) -> Iterator[str]:
    calls = [depends.call for depends in route.dependant.dependencies]
    found = [
        call
        for call in (change_images, start_images, start_ingest, view_memory, view_images, view_ingest)
        if call in calls
    ]
    if "GET" in route.methods:  # it tells whether one may change, too
        found = [call for call in found if call is not start_ingest]
    if not found:
        yield "a signed link, and no login" if route.path.startswith("/shared/") else "`MILLRACE_METRICS_TOKEN`"
    else:
        said = inspect.getdoc(found[0]) or ""
        yield said[0].lower() + said[1:].rstrip(".")
