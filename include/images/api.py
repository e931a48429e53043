"""The HTTP interface: `POST /images` answers 202 once the file and its row are on disk; no pixel is decoded here.

Airflow is not imported: who may do what is decided by the guards that the plugin hands in.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from psycopg_pool import AsyncConnectionPool
from starlette.requests import ClientDisconnect

from include.images import catalogue, undo
from include.images.answers.described import (
    DELETE,
    FETCH,
    FILE,
    FILES,
    ORIGINAL,
    PATCH,
    SIMILAR,
    UPLOAD,
    Counts,
    Deletion,
    Fetch,
    Image,
    Page,
    Restored,
    Retried,
    answers,
)  # fmt: skip
from include.images.answers.original import attachment, media_of_source
from include.images.answers.serve import SAFE, Read, media_of, send
from include.images.answers.shown import show
from include.images.callbacks import Callbacks
from include.images.doorbell import CHANNEL
from include.images.errors import RecipeError
from include.images.find import similar
from include.images.find.labels import Labels, Unfit
from include.images.find.requests import Given, Limit, Meant, patch, similar_place
from include.images.inbox import HOLD
from include.images.limits import LIMITS, Limits
from include.images.links.keyring import Keyring
from include.images.recipes import Choice, Point, Recipes, recipes_now
from include.images.store import NotStored, Store, StoreFault, StoreFull
from include.images.upload.by_url import Sources, fetch
from include.images.upload.checked_file import Intake, Refused
from include.images.upload.request_files import Receiver, receive
from include.pages.same_site import same_site

Set = Annotated[str | None, Query(max_length=100, description="The set of recipes, instead of the user's own")]
_SHARE = r"(0(\.[0-9]{1,20})?|1(\.0{1,20})?)"
Focal = Annotated[
    str | None,
    Query(pattern=f"^{_SHARE},{_SHARE}$", description="What `crop: focal` keeps, as 0.3,0.7: shares from left and top"),
]
RETRY_SECONDS = 30
CONNECTIONS, STORING = 8, 5  # connections of the pool, and how many of them uploads may hold
FETCHING = 8  # pictures that are fetched from URLs at a time; each may hold its place for half a minute
LOAD_SECONDS = 5.0  # for so long the answer to "is there room?" is used again
log = logging.getLogger(__name__)


@dataclass
class Service:
    """What the routes work with. `reading`, if given, serves what only reads, by a role that can do no more.

    `base_url` is the address of `/millrace` as users reach it; without it, links are for the host that was asked.
    """

    pool: AsyncConnectionPool[Any]
    store: Store
    limits: Limits = LIMITS
    callbacks: Callable[[], Callbacks] = Callbacks  # asked when needed, as the Connection may change; blocks
    reading: AsyncConnectionPool[Any] | None = None
    sources: Callable[[], Sources] = Sources  # as `callbacks`
    recipes: Callable[[], Recipes] = recipes_now  # blocks
    links: Keyring = field(default_factory=Keyring)
    base_url: str = ""
    _load: dict[str, tuple[float, int, int]] = field(default_factory=dict)
    # Who stores holds a connection, perhaps for long: others must find one meanwhile.
    storing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STORING))
    fetching: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(FETCHING))

    @property
    def reader(self) -> AsyncConnectionPool[Any]:
        """The connections of what only reads."""
        return self.reading or self.pool

    async def check_room(self, owner: str) -> None:
        """Raise HTTPException when the queue or the owner's share is full."""
        known = self._load.get(owner)
        if known is None or time.monotonic() - known[0] > LOAD_SECONDS:
            async with self.pool.connection() as connection:
                known = (time.monotonic(), *await catalogue.load(connection, owner))
            self._load[owner] = known
        if known[1] >= self.limits.waiting_files:
            raise HTTPException(503, f"{known[1]:,} pictures are already waiting; try again later", _later())
        if known[2] >= self.limits.owner_bytes:
            most = self.limits.owner_bytes / 1e9
            raise HTTPException(429, f"you keep {most:g} GB of pictures; delete some first", _later())


@dataclass(frozen=True)
class Guards:
    """Dependencies that let a request pass or answer 401 or 403; `owner` gives the user's name.

    `original` is for the files as they were uploaded, which have in them what renditions leave out.
    """

    read: Callable[..., Any]
    write: Callable[..., Any]
    original: Callable[..., Any]
    owner: Callable[..., Any]


def router(service: Callable[[], Service], guards: Guards) -> APIRouter:
    """The routes. `service` is asked at each request, as it is made when the server starts."""
    # Names for a generated client; by default they would hold the path.
    routes = APIRouter(tags=["images"], generate_unique_id_function=lambda route: route.name)
    may_read, may_write = [Depends(guards.read)], [Depends(guards.write), Depends(same_site)]
    may_have = [Depends(guards.original)]
    named = Depends(guards.owner)

    @routes.post("/images", status_code=202, dependencies=may_write, openapi_extra=FILES, **UPLOAD)
    @routes.post("/upload", status_code=202, dependencies=may_write, include_in_schema=False)
    async def upload(
        request: Request, labels: Given, owner: str = named, callback_url: str | None = None, recipes: Set = None,
        focal: Focal = None,
    ) -> JSONResponse:  # fmt: skip
        """Take in one picture as the body, or several as multipart/form-data; all get the tags and metadata."""
        here = service()
        asked = await _asked(here, owner, callback_url, recipes, focal, labels)
        return await _take_in(request, here, asked, partial(receive, request))

    @routes.post("/images/fetch", status_code=202, dependencies=may_write, **FETCH)
    async def fetch_image(
        request: Request, wanted: Fetch, labels: Given, owner: str = named, callback_url: str | None = None,
        recipes: Set = None, focal: Focal = None,
    ) -> JSONResponse:  # fmt: skip
        """Fetch a picture from a URL of an allowed origin, and take it in."""
        here = service()
        sources = await check_source(here, wanted.url)
        asked = await _asked(here, owner, callback_url, recipes, focal, labels)
        if here.fetching.locked():
            raise HTTPException(503, "too many pictures are being fetched; try again later", _later())
        async with here.fetching:
            return await _take_in(request, here, asked, lambda to: fetch(wanted.url, sources, to, here.limits))

    @routes.get("/images", dependencies=may_read, **answers(200, Page))
    async def list_images(
        request: Request, state: Annotated[str | None, Query(pattern="^(accepted|resizing|done|failed)$")] = None,
        *, which: Meant, after: str | None = None, limit: Limit = catalogue.PAGE,
    ) -> dict[str, Any]:  # fmt: skip
        """Pictures, the newest first, that have a part of the name, all tags and all metadata that are asked for.

        `next` leads to the page after this one.
        """
        async with service().reader.connection() as connection:
            found = await catalogue.page(connection, after=_place(after), state=state, wanted=which, limit=limit)
        shown = [show(request, row) for row in found[:limit]]
        more = (
            f"{found[limit - 1]['created_at'].isoformat()}_{found[limit - 1]['image_id']}"
            if len(found) > limit
            else None
        )
        return {"images": shown, "next": more}

    @routes.get("/counts", dependencies=may_read, **answers(200, Counts))
    async def get_counts() -> dict[str, int]:
        """How many pictures are in each state; the same bytes uploaded twice count once."""
        async with service().reader.connection() as connection:
            return await catalogue.counts(connection)

    @routes.get("/images/{image_id}", dependencies=may_read, **answers(200, Image, 404))
    async def get_image(request: Request, image_id: UUID) -> dict[str, Any]:
        """One picture: its state, what it is, and its renditions."""
        async with service().reader.connection() as connection:
            row = await catalogue.find(connection, image_id)
        if row is None:
            raise HTTPException(404, f"there is no image {image_id}")
        return show(request, row)

    @routes.patch("/images/{image_id}", dependencies=may_write, openapi_extra=PATCH, **answers(200, Image, 404, 413))
    async def change_image(request: Request, image_id: UUID) -> Any:
        """Change a picture's tags and metadata, by a JSON merge patch (RFC 7396)."""
        try:
            change = await patch(request)
            async with service().pool.connection() as connection, connection.transaction():
                if not await catalogue.relabel(connection, image_id, change):
                    raise HTTPException(404, f"there is no image {image_id}")
                return show(request, await catalogue.find(connection, image_id) or {})
        except Unfit as fault:
            raise HTTPException(422, str(fault)) from fault
        except ClientDisconnect:
            return JSONResponse({"detail": "the client left before all had come"}, 400)  # for the access log

    # Before the renditions' route, which takes any word in this place.
    @routes.get("/images/{image_id}/similar", dependencies=may_read, **SIMILAR)
    async def list_similar(
        request: Request, image_id: UUID,
        distance: Annotated[int, Query(ge=0, le=similar.MOST_DISTANCE)] = similar.DISTANCE,
        after: str | None = None, limit: Limit = catalogue.PAGE,
    ) -> dict[str, Any]:  # fmt: skip
        """Other pictures that look like this one, the nearest first: up to `distance` of the 64 bits of a hash differ.

        Found are copies that were resized, encoded anew or changed a little; not those cropped, turned or mirrored.
        """
        place = similar_place(after)
        async with service().reader.connection() as connection:
            row = await catalogue.find(connection, image_id)
            if row is None:
                raise HTTPException(404, f"there is no image {image_id}")
            if row["perceptual_hash"] is None:
                raise HTTPException(409, similar.no_hash(row))
            found = await similar.page(
                connection, image_id, row["perceptual_hash"], distance=distance, after=place, limit=limit
            )
        shown = [{**show(request, one), "distance": one["distance"]} for one in found[:limit]]
        last = found[limit - 1] if len(found) > limit else None
        more = last and str(similar.Place(last["distance"], last["created_at"], last["image_id"]))
        return {"images": shown, "next": more}

    # Before the renditions: none of them is called so, as each has a suffix.
    @routes.get("/images/{image_id}/original", dependencies=may_have, response_class=Response, **ORIGINAL)
    async def get_original(request: Request, image_id: UUID) -> Response:
        """The file as it was uploaded, with its place, camera and all else that renditions leave out."""
        here = service()
        async with here.reader.connection() as connection:
            row = await catalogue.find(connection, image_id)
        if row is None:
            raise HTTPException(404, f"there is no image {image_id}")
        return await _original(request, here.store, row)

    @routes.get("/images/{image_id}/{file}", dependencies=may_read, response_class=Response, **FILE)
    async def get_rendition(request: Request, image_id: UUID, file: str, v: str | None = None) -> Response:
        """A rendition's file. With `v`, as in the URLs of the renditions, it may be kept for ever."""
        here, row = service(), None
        if "\0" not in file:  # which PostgreSQL takes in no text
            async with here.reader.connection() as connection:
                row = await catalogue.rendition(connection, image_id, file)
        if row is None:
            raise HTTPException(404, f"image {image_id} has no rendition {file}")
        return await _rendition(request, here.store, row, v)

    @routes.delete("/images", dependencies=may_write, **answers(200, Deletion))
    async def delete_failed(state: Literal["failed"], which: Meant) -> dict[str, Any]:
        """Delete all failed pictures, or those that are meant as in a list; `undo` restores them for ten minutes."""
        async with service().pool.connection() as connection:
            return (await undo.delete_failed(connection, which)).told()

    @routes.delete("/images/{image_id}", status_code=204, dependencies=may_write, **DELETE)
    async def delete_image(image_id: UUID, undo: bool = False) -> Response:
        """Delete a picture and its renditions, unless somebody else uploaded the same.

        With `undo`, the answer is 200 and has what restores it for ten minutes; then it goes for good.
        """
        here = service()
        if undo:
            return await _delete_for_now(here, image_id)
        async with here.pool.connection() as connection, connection.transaction():
            gone, digest = await catalogue.delete(connection, image_id)
            if digest is not None:
                await catalogue.note_deleted(connection, digest)
        if not gone:
            raise HTTPException(404, f"there is no image {image_id}")
        if digest is not None:
            try:
                async with here.pool.connection() as connection, connection.transaction():
                    await lock(connection, [digest])
                    if not await catalogue.is_kept(connection, digest):
                        await asyncio.to_thread(here.store.drop, digest)
            except StoreFault:
                log.exception("the files of %s stay until a daily run", digest)
                return JSONResponse({"detail": "it is deleted; the daily run removes its files from the store"}, 202)
        return Response(status_code=204)

    @routes.post("/undo/{deletion}", dependencies=may_write, **answers(200, Restored, 404))
    async def undo_deletion(deletion: UUID) -> dict[str, int]:
        """Restore what was deleted with `undo`."""
        async with service().pool.connection() as connection:
            images = await undo.restore(connection, deletion)
        if not images:
            raise HTTPException(404, "it is too late to undo this: what was deleted is gone for good")
        return {"images": images}

    @routes.post("/images/retry", status_code=202, dependencies=may_write, **answers(202, Retried))
    async def retry_failed(which: Meant) -> dict[str, int]:
        """Try all failed pictures again, or those that are meant as in a list.

        `left` counts those whose bytes would fail the same way again; each of them can be retried alone.
        """
        async with service().pool.connection() as connection, connection.transaction():
            again, left = await catalogue.retry_all(connection, which)
            await connection.execute("SELECT pg_notify(%s, '')", [CHANNEL])
        return {"again": again, "left": left}

    @routes.post("/images/{image_id}/retry", status_code=202, dependencies=may_write, **answers(202, Image, 404, 409))
    async def retry_image(request: Request, image_id: UUID) -> dict[str, Any]:
        """Try a failed picture again."""
        async with service().pool.connection() as connection, connection.transaction():
            again = await catalogue.retry(connection, image_id)
            row = await catalogue.find(connection, image_id)
            await connection.execute("SELECT pg_notify(%s, '')", [CHANNEL])
        if row is None:
            raise HTTPException(404, f"there is no image {image_id}")
        if not again:
            raise HTTPException(409, f"image {image_id} is {row['state']}; only a failed image can be retried")
        return show(request, row)

    return routes


async def _delete_for_now(here: Service, image_id: UUID) -> Response:
    async with here.pool.connection() as connection:
        deleted = await undo.delete(connection, image_id)
    if not deleted.images:
        raise HTTPException(404, f"there is no image {image_id}")
    return JSONResponse(deleted.told())


@dataclass(frozen=True)
class _Asked:
    """For whom pictures come in, what is called back, which renditions they get, and what they are labelled with."""

    owner: str
    callback_url: str | None
    recipes: str
    labels: Labels


async def _asked(
    here: Service, owner: str, callback_url: str | None, recipes: str | None, focal: str | None, labels: Labels
) -> _Asked:
    """What an upload asks for. Raises HTTPException where that can't be, or there is no room."""
    await check_callback(here, callback_url)
    choice = await _choose(here, owner, recipes, focal)
    await here.check_room(owner)
    return _Asked(owner, callback_url, str(choice), labels)


async def _choose(here: Service, owner: str, recipes: str | None, focal: str | None) -> Choice:
    try:
        known = await asyncio.to_thread(here.recipes)
    except RecipeError as fault:  # nobody's upload is at fault
        log.exception("no upload can be taken in")
        raise HTTPException(503, "the recipe file is wrong; the API server's log says how", _later()) from fault
    point = None
    if focal is not None:
        x, _, y = focal.partition(",")
        point = Point(x=float(x), y=float(y))
    try:
        return known.choose(owner, recipes, point)
    except RecipeError as fault:
        raise HTTPException(422, str(fault)) from fault


async def _take_in(
    request: Request, here: Service, asked: _Asked, fill: Callable[[Receiver], Awaitable[None]]
) -> JSONResponse:
    """Take in what `fill` puts into a receiver, and say what became of each file."""
    with Receiver(here.store, here.limits) as receiver:
        try:
            await fill(receiver)
            asked = replace(asked, labels=asked.labels.with_(receiver.fields.labels(), here.limits))
            async with here.storing:
                taken = await _enter(here, receiver.kept, asked)
        except Unfit as fault:
            raise HTTPException(422, str(fault)) from fault
        except Refused as fault:
            raise HTTPException(fault.status, str(fault)) from fault
        except StoreFull as fault:
            raise HTTPException(507, str(fault)) from fault
        except StoreFault as fault:
            raise away(fault) from fault
        except ClientDisconnect:
            return JSONResponse({"detail": "the client left before all had come"}, 400)  # for the access log
    for one in taken:
        one["url"] = str(request.url_for("get_image", image_id=one["id"]).path)
    refused = [{"file_name": name, "code": fault.code, "reason": str(fault)} for name, fault in receiver.refused]
    answer: dict[str, Any] = {"images": taken, "refused": refused}
    if receiver.fields.ignored:
        answer["ignored"] = receiver.fields.ignored
    if not taken:
        if not refused:
            raise HTTPException(400, "the request holds no file")
        return JSONResponse({"detail": refused[0]["reason"], **answer}, receiver.refused[0][1].status)
    return JSONResponse(answer, 202, {"Location": taken[0]["url"]})


async def _enter(here: Service, kept: list[tuple[Intake, str]], asked: _Asked) -> list[dict[str, Any]]:
    """Files into the store and rows into the list of work: durable when this returns.

    Deleting a picture takes the same lock, so a file can't vanish between the two.
    """
    if not kept:
        return []
    async with here.pool.connection() as connection, connection.transaction():
        digests = sorted({intake.digest for intake, _ in kept})
        await lock(connection, digests)
        most = here.limits.choices
        if asked.recipes and await catalogue.crowded(connection, digests, asked.recipes, most):
            raise Refused(422, "crowded", f"this picture is kept for {most} sets or focal points already, no more")
        uploads = []
        for intake, name in kept:
            await asyncio.to_thread(intake.keep)
            one = (uuid4(), intake.digest, intake.size, asked.owner, name, asked.callback_url, asked.recipes)
            uploads.append(catalogue.Upload(*one))
        await catalogue.accept(connection, uploads, asked.labels)
    return [
        {"id": str(one.image_id), "file_name": one.file_name, "state": "accepted", "bytes": one.bytes}
        for one in uploads
    ]


async def lock(connection: Any, digests: list[str]) -> None:
    """Hold what happens to these sources until the transaction ends."""
    for digest in digests:
        await connection.execute(HOLD, [digest])


async def check_callback(here: Service, url: str | None) -> None:
    """Answer 422 for a callback to a host that is not allowed."""
    if url is None:
        return
    callbacks = await asyncio.to_thread(here.callbacks)
    if not callbacks.allows(url):
        allowed = ", ".join(callbacks.origins) or "none: set the Connection image_callbacks"
        raise HTTPException(422, f"callback_url must begin with one of: {allowed}")


async def check_source(here: Service, url: str) -> Sources:
    """From where pictures may be fetched. Answers 422 for a URL of another origin."""
    sources = await asyncio.to_thread(here.sources)
    if not sources.allows(url):
        allowed = ", ".join(sources.origins) or "none: set the Connection image_sources"
        raise HTTPException(422, f"its origin is not allowed: url must begin with one of: {allowed}")
    return sources


def _later() -> dict[str, str]:
    return {"Retry-After": str(RETRY_SECONDS)}


async def _rendition(request: Request, store: Store, row: dict[str, Any], version: str | None) -> Response:
    lasting = version == row["sha256"][:12]
    headers = {
        "ETag": f'"{row["sha256"]}"',
        "Cache-Control": f"private, max-age={31_536_000 if lasting else 60}" + (", immutable" if lasting else ""),
        **SAFE,
    }
    read = partial(store.read_rendition, row["digest"], row["recipe"], row["file"])
    return await _stored(request, read, row["bytes"], headers=headers, media_type=media_of(row["file"]))


async def _original(request: Request, store: Store, row: dict[str, Any]) -> Response:
    headers = {
        "ETag": f'"{row["digest"]}"',
        "Cache-Control": "private, no-cache",  # asked for each time, as the permission may be gone
        "Content-Disposition": attachment(row["file_name"]),
        # Airflow packs what it does not know, as TIFF: a download that goes on after a break would have parts of both.
        "Content-Encoding": "identity",
        **SAFE,
    }
    read = partial(store.read_source, row["digest"])
    return await _stored(request, read, row["bytes"], headers=headers, media_type=media_of_source(row["format"]))


async def _stored(request: Request, read: Read, size: int, *, headers: dict[str, str], media_type: str) -> Response:
    try:
        return await send(request, read, size, headers=headers, media_type=media_type)
    except NotStored as fault:
        raise HTTPException(404, str(fault)) from fault
    except StoreFault as fault:
        raise away(fault) from fault


def away(fault: StoreFault) -> HTTPException:
    """503 for a store that can't be reached; what exactly is wrong is for the log."""
    log.error("%s", fault, exc_info=fault)
    reason = "the image store is not reachable at the moment; try again later"
    return HTTPException(503, reason, _later())


def _place(text: str | None) -> catalogue.Place | None:
    if text is None:
        return None
    try:
        at, _, image_id = text.partition("_")
        return catalogue.Place(datetime.fromisoformat(at), UUID(image_id))
    except ValueError:
        raise HTTPException(422, "after must be the `next` of an earlier page") from None
