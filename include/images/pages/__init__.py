"""The page Images and the interface's own documentation, each behind the login."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from include.images.api import Guards

FOLDER = Path(__file__).parent
FILES = ("images.html", "images.css", "images.js")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
    " script-src 'self'; connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
}


def router(guards: Guards) -> APIRouter:
    """The page's files and the OpenAPI page."""
    routes = APIRouter(dependencies=[Depends(guards.read)], include_in_schema=False)

    @routes.get("/openapi.json")
    async def openapi(request: Request) -> dict[str, Any]:
        return dict(request.app.openapi())

    @routes.get("/docs")
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(openapi_url="openapi.json", title="Millrace images")

    @routes.get("/{file}")
    async def page(file: str) -> FileResponse:
        if file not in FILES:
            raise HTTPException(404, f"there is no page {file}")
        return FileResponse(FOLDER / file, headers=HEADERS)

    return routes
