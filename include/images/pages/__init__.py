"""The page Images and the interface's own documentation, each behind the login."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from include import pages
from include.images.api import Guards

FILES = ("images.html", "images.css", "images.js", "images.svg", "images-dark.svg")


def router(guards: Guards) -> APIRouter:
    """The page's files and the OpenAPI page."""
    routes = APIRouter(dependencies=[Depends(guards.read)], include_in_schema=False)

    @routes.get("/openapi.json")
    async def openapi(request: Request) -> dict[str, Any]:
        # Where the routes are, is known by who asks: Airflow itself may be below a path.
        return {**request.app.openapi(), "servers": [{"url": request.scope["root_path"] or "/"}]}

    @routes.get("/docs")
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(openapi_url="openapi.json", title="Millrace")

    routes.include_router(pages.router(Path(__file__).parent, FILES, guards.read))
    return routes
