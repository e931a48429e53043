"""Every route of Millrace but one asks who it is; what changes something asks for more, and where it comes from."""

from __future__ import annotations

from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute

from include.images import api as images
from include.images import pages as images_pages
from include.images.links import api as links
from include.ingest import api as ingest
from include.ingest import pages as ingest_pages
from include.ingest import replay_api
from include.memory import api as memory
from include.memory import pages as memory_pages
from include.pages.methods import add_methods
from include.pages.same_site import same_site

OPEN = {"/shared/{token}/{file}"}  # a link is signed


def may_read() -> None:
    """Stands for Airflow's check."""


def may_write() -> None:
    """Stands for Airflow's stricter check."""


def may_have() -> None:
    """Stands for Airflow's check of originals."""


def nobody() -> str:
    return ""


def test_every_route_is_guarded() -> None:
    guards = images.Guards(may_read, may_write, may_have, nobody)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    service = cast("Any", lambda: None)
    for router in (
        links.router(service, guards), images.router(service, guards), images_pages.router(guards),
        memory.router(service, may_read), memory_pages.router(may_read),
        ingest.router(service, ingest.Guards(may_read, nobody)), ingest_pages.router(may_read),
        # What the user may do with a dataset is asked for once it is known of which one a row is.
        replay_api.router(service, replay_api.Rights(may_read, nobody, may_write, nobody)),
    ):  # fmt: skip
        app.include_router(router)
    add_methods(app)
    found = {}
    for route in app.routes:
        assert isinstance(route, APIRoute), f"{route} has no guard"
        asked = {one.call for one in route.dependant.dependencies}
        for method in route.methods:
            found[method, route.path] = asked
    assert len(found) > 15
    for (method, path), asked in found.items():
        if method == "OPTIONS":  # tells the methods of a path and nothing else
            continue
        if path in OPEN:
            assert (method in ("GET", "HEAD"), asked) == (True, set())
            continue
        reads = {may_have} if path.endswith("/original") else {may_read}
        wanted = reads if method in ("GET", "HEAD") else {may_write, same_site}
        assert wanted <= asked, (method, path)
    assert {path for _, path in found} >= OPEN
