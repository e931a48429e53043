"""The routes of links: who may upload makes and revokes them, and anybody may follow one.

`GET /shared/{token}/{file}` is the one route that asks for no login. It sends renditions only, never an original or a
picture's name, and answers the same whatever is wrong with a link.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from include.images import catalogue
from include.images.answers.described import REVOKE, SHARED, Links, answers
from include.images.answers.serve import MEDIA, SAFE, media_of, send
from include.images.answers.shown import with_urls
from include.images.api import Guards, Service, away
from include.images.errors import SettingError
from include.images.limits import LIMITS
from include.images.links.signing import CONNECTION, TOKEN, Keys, Link
from include.images.store import NotStored, StoreFault
from include.pages.same_site import same_site

USUAL_SECONDS = 3600
CACHED_SECONDS = 3600  # a revoked link may be shown by caches for so long
FILE = re.compile(rf"[a-z0-9_]{{1,40}}\.({'|'.join(MEDIA)})")  # names of recipes are such
# A page of any other site may show it and draw it on a canvas, and a script may read it in parts.
ANYWHERE = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Range, ETag",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
Seconds = Annotated[int, Query(ge=1, le=LIMITS.link_seconds, description="How long the links are good for")]


def router(service: Callable[[], Service], guards: Guards) -> APIRouter:
    """The routes. Include them before those of `include.images.api`, whose files are below `/images/{image_id}` too."""
    routes = APIRouter(tags=["images"], generate_unique_id_function=lambda route: route.name)
    may_write = [Depends(guards.write), Depends(same_site)]

    @routes.post("/images/{image_id}/links", dependencies=may_write, **answers(200, Links, 404, 409))
    async def make_links(request: Request, image_id: UUID, seconds: Seconds = USUAL_SECONDS) -> dict[str, Any]:
        """Make links to a picture's renditions that anybody can follow without a login, for so many seconds."""
        here = service()
        keys = await _keys(here)
        async with here.pool.connection() as connection:
            row = await catalogue.find(connection, image_id)
        if row is None:
            raise HTTPException(404, f"there is no image {image_id}")
        if not row["renditions"]:
            raise HTTPException(409, f"image {image_id} is {row['state']}; it has no renditions to link to")
        ends = int(time.time()) + seconds
        token = keys.sign(Link(image_id, row["links_mark"], ends))
        base = here.base_url or str(request.base_url).rstrip("/")
        return {
            "id": str(image_id),
            "expires_at": datetime.fromtimestamp(ends, UTC).isoformat(),
            **with_urls(row, lambda one: f"{base}/shared/{token}/{one['file']}"),
        }

    @routes.delete("/images/{image_id}/links", status_code=204, dependencies=may_write, **REVOKE)
    async def revoke_links(image_id: UUID) -> Response:
        """Revoke all links to a picture that were made until now."""
        async with service().pool.connection() as connection:
            found = await catalogue.revoke_links(connection, image_id)
        if not found:
            raise HTTPException(404, f"there is no image {image_id}")
        return Response(status_code=204)

    @routes.get("/shared/{token}/{file}", response_class=Response, **SHARED)
    async def get_shared(request: Request, token: str, file: str) -> Response:
        """A rendition's file, for whoever has a link to it. A link that is wrong, over or revoked leads nowhere."""
        here = service()
        # What can be no link costs no database a question, and what was not signed none of the warehouse's.
        keys = await here.links.recent() if TOKEN.fullmatch(token) and FILE.fullmatch(file) else None
        link, now = keys.read(token) if keys else None, time.time()
        if link is None or link.ends <= now:
            raise _nowhere()
        async with here.reader.connection() as connection:
            row = await catalogue.rendition(connection, link.image_id, file)
        if row is None or row["links_mark"] != link.mark:
            raise _nowhere()
        return await _file(request, here, row, int(link.ends - now))

    return routes


async def _keys(here: Service) -> Keys:
    """What signs. Answers 409 where links are off."""
    try:
        keys = await here.links.fresh()
    except SettingError as fault:
        raise HTTPException(409, str(fault)) from fault
    if keys is None:
        raise HTTPException(409, f"links are off: make the Connection {CONNECTION}, whose password signs them")
    return keys


async def _file(request: Request, here: Service, row: dict[str, Any], left_seconds: int) -> Response:
    # Airflow may renew a login by a cookie in any answer to one who has it: no cache may give that to others.
    whose = "private" if "cookie" in request.headers else "public"
    headers = {
        "ETag": f'"{row["sha256"]}"',
        "Cache-Control": f"{whose}, max-age={min(left_seconds, CACHED_SECONDS)}",
        **SAFE,
        **ANYWHERE,
    }
    read = partial(here.store.read_rendition, row["digest"], row["recipe"], row["file"])
    try:
        return await send(request, read, row["bytes"], headers=headers, media_type=media_of(row["file"]))
    except NotStored:
        raise _nowhere() from None
    except StoreFault as fault:
        raise away(fault) from fault


def _nowhere() -> HTTPException:
    """The same whatever is wrong, and as for a path that no route has, so that nothing can be learnt by trying."""
    return HTTPException(404, headers={"Cache-Control": "no-store", **ANYWHERE})
