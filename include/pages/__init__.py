"""What the pages in Airflow's navigation share: how their files are served, and how they look.

No framework and nothing from another server. `base.css` has the colours of both themes, `theme.js` follows Airflow's
theme, and `page.js` makes elements and fetches JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import FileResponse

HERE = Path(__file__).parent
SHARED = ("base.css", "theme.js", "page.js")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
    " script-src 'self'; connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
}


def router(folder: Path, files: Sequence[str], may_read: Callable[..., Any], prefix: str = "") -> APIRouter:
    """A page's own files and the shared ones, side by side behind a login."""
    places = {name: HERE / name for name in SHARED} | {name: folder / name for name in files}
    routes = APIRouter(prefix=prefix, dependencies=[Depends(may_read)], include_in_schema=False)

    @routes.get("/{file}")
    async def page(file: str) -> FileResponse:
        if file not in places:
            raise HTTPException(404, f"there is no page {file}")
        return FileResponse(places[file], headers=HEADERS)

    return routes
