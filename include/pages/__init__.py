"""What the pages in Airflow's navigation share: how their files are served, and how they look.

No framework and nothing from another server. `base.css` has the colours of both themes, `theme.js` follows Airflow's
theme, and `page.js` makes elements and fetches JSON.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Response
from fastapi.responses import FileResponse, HTMLResponse

HERE = Path(__file__).parent
SHARED = ("base.css", "theme.js", "page.js")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
    " script-src 'self'; connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
}
LASTING = {"Cache-Control": "private, max-age=31536000, immutable"}


def router(folder: Path, files: Sequence[str], may_read: Callable[..., Any], prefix: str = "") -> APIRouter:
    """A page's own files and the shared ones, side by side behind a login.

    The page itself is asked for at each visit. It names its files below a mark of what they hold, so that a browser
    keeps them until an upgrade: each of some twenty requests waits for Airflow to say who asks.
    """
    places = {name: HERE / name for name in SHARED} | {name: folder / name for name in files}
    routes = APIRouter(prefix=prefix, dependencies=[Depends(may_read)], include_in_schema=False)

    @routes.get("/{file}")
    async def page(file: str) -> Response:
        place = found(file)
        if place.suffix == ".html":
            return HTMLResponse(_marked(place.read_text(), places), headers=HEADERS)
        return FileResponse(place, headers=HEADERS)

    @routes.get("/files-{mark}/{file}")
    async def part(mark: str, file: str) -> Response:
        # A page from before an upgrade gets what is there now, and does not keep it.
        return FileResponse(found(file), headers=HEADERS | (LASTING if mark == _mark(places) else {}))

    def found(file: str) -> Path:
        if file not in places:
            raise HTTPException(404, f"there is no page {file}")
        return places[file]

    return routes


def _marked(text: str, places: Mapping[str, Path]) -> str:
    """The page with the files that it names below the mark; what these name of each other is beside them."""
    mark = _mark(places)

    def named(part: re.Match[str]) -> str:
        return f'{part[1]}="files-{mark}/{part[2]}"' if part[2] in places else part[0]

    return re.sub(r'\b(href|src)="([\w.-]+)"', named, text)


def _mark(places: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for place in places.values():
        digest.update(place.read_bytes())
    return digest.hexdigest()[:16]
