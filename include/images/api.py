"""The HTTP interface: `POST /images` answers 202 once the file and its row are on disk; no pixel is decoded here.

Airflow is not imported: who may do what is decided by the guards that the plugin hands in.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
    FILE,
    FILES,
    ORIGINAL,
    UPLOAD,
    Counts,
    Deletion,
    Image,
    Page,
    Restored,
    Retried,
    answers,
)  # fmt: skip
from include.images.answers.original import attachment, media_of_source
from include.images.answers.serve import SAFE, Read, media_of, send
from include.images.answers.shown import with_urls
from include.images.callbacks import Callbacks
from include.images.doorbell import CHANNEL
from include.images.errors import FINAL
from include.images.inbox import HOLD, SALVAGED
from include.images.limits import LIMITS, Limits
from include.images.links.keyring import Keyring
from include.images.store import NotStored, Store, StoreFault, StoreFull
from include.images.upload.checked_file import Intake, Refused
from include.images.upload.request_files import Receiver, receive
from include.pages.same_site import same_site

DAG = "resize_images"
Name = Annotated[str | None, Query(max_length=255, pattern=r"^[^\x00]*$", description="A part of the file name")]
RETRY_SECONDS = 30
CONNECTIONS, STORING = 8, 5  # connections of the pool, and how many of them uploads may hold
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
    links: Keyring = field(default_factory=Keyring)
    base_url: str = ""
    _load: dict[str, tuple[float, int, int]] = field(default_factory=dict)
    # Who stores holds a connection, perhaps for long: others must find one meanwhile.
    storing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STORING))

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
        headers = {"Retry-After": str(RETRY_SECONDS)}
        if known[1] >= self.limits.waiting_files:
            raise HTTPException(503, f"{known[1]:,} pictures are already waiting; try again later", headers)
        if known[2] >= self.limits.owner_bytes:
            most = self.limits.owner_bytes / 1e9
            raise HTTPException(429, f"you keep {most:g} GB of pictures; delete some first", headers)


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
    async def upload(request: Request, owner: str = named, callback_url: str | None = None) -> JSONResponse:
        """Take in one picture as the body, or several as multipart/form-data."""
        here = service()
        await check_callback(here, callback_url)
        await here.check_room(owner)
        return await _upload(request, here, owner, callback_url)

    @routes.get("/images", dependencies=may_read, **answers(200, Page))
    async def list_images(
        request: Request, state: Annotated[str | None, Query(pattern="^(accepted|resizing|done|failed)$")] = None,
        name: Name = None, after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=catalogue.LARGEST_PAGE)] = catalogue.PAGE,
    ) -> dict[str, Any]:  # fmt: skip
        """Pictures, the newest first; `name` is a part of the file name. `next` leads to the page after this one."""
        async with service().reader.connection() as connection:
            found = await catalogue.page(connection, after=_place(after), state=state, name=name, limit=limit)
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
    async def delete_failed(state: Literal["failed"], name: Name = None) -> dict[str, Any]:
        """Delete all failed pictures, or those with `name` in the file name; `undo` restores them for ten minutes."""
        async with service().pool.connection() as connection:
            return (await undo.delete_failed(connection, name)).told()

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
    async def retry_failed(name: Name = None) -> dict[str, int]:
        """Try all failed pictures again, or those with `name` in the file name.

        `left` counts those whose bytes would fail the same way again; each of them can be retried alone.
        """
        async with service().pool.connection() as connection, connection.transaction():
            again, left = await catalogue.retry_all(connection, name)
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


async def _upload(request: Request, here: Service, owner: str, callback_url: str | None) -> JSONResponse:
    with Receiver(here.store, here.limits) as receiver:
        try:
            await receive(request, receiver)
            async with here.storing:
                taken = await _enter(here, receiver.kept, owner, callback_url)
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
    answer = {"images": taken, "refused": refused}
    if not taken:
        if not refused:
            raise HTTPException(400, "the request holds no file")
        return JSONResponse({"detail": refused[0]["reason"], **answer}, receiver.refused[0][1].status)
    return JSONResponse(answer, 202, {"Location": taken[0]["url"]})


async def _enter(
    here: Service, kept: list[tuple[Intake, str]], owner: str, callback_url: str | None
) -> list[dict[str, Any]]:
    """Files into the store and rows into the list of work: durable when this returns.

    Deleting a picture takes the same lock, so a file can't vanish between the two.
    """
    if not kept:
        return []
    async with here.pool.connection() as connection, connection.transaction():
        await lock(connection, sorted({intake.digest for intake, _ in kept}))
        uploads = []
        for intake, name in kept:
            await asyncio.to_thread(intake.keep)
            uploads.append(catalogue.Upload(uuid4(), intake.digest, intake.size, owner, name, callback_url))
        await catalogue.accept(connection, uploads)
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


def show(request: Request, row: dict[str, Any]) -> dict[str, Any]:
    """A picture as the interface shows it."""

    def url(one: dict[str, Any]) -> str:
        path = request.url_for("get_rendition", image_id=row["image_id"], file=one["file"]).path
        return f"{path}?v={one['sha256'][:12]}"

    return {
        "id": str(row["image_id"]),
        "state": row["state"],
        **(_failure(row) if row["state"] == "failed" else {}),
        "file_name": row["file_name"],
        "owner": row["owner"],
        "created_at": row["created_at"].isoformat(),
        "finished_at": _finished(row),
        "source": {name: row[name] for name in ("digest", "bytes", "format", "width", "height", "frames")},
        "task": _task(row),
        "only_first_frame": row["still"],
        "salvaged": row["state"] == "done" and row["code"] == SALVAGED[0],
        "placeholder": row["placeholder"],
        # Shown to all: who may not have it is told so when they ask, and nobody's permissions are asked for a list.
        "original": request.url_for("get_original", image_id=row["image_id"]).path,
        **with_urls(row, url),
    }


def _finished(row: dict[str, Any]) -> str | None:
    """When the picture was done; bytes that came before were so from the first moment on."""
    return max(row["finished_at"], row["created_at"]).isoformat() if row["finished_at"] else None


def _failure(row: dict[str, Any]) -> dict[str, Any]:
    """Why it failed, and whether another try of the same bytes may help."""
    return {"code": row["code"], "reason": row["reason"], "can_retry": row["code"] not in FINAL}


def _task(row: dict[str, Any]) -> dict[str, Any] | None:
    """The task that had it last; None where none is known."""
    if row["airflow_run"] is None:
        return None
    return {"dag_id": DAG, "run_id": row["airflow_run"], "task_id": "resize", "map_index": row["map_index"]}


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
    return HTTPException(503, reason, {"Retry-After": str(RETRY_SECONDS)})


def _place(text: str | None) -> catalogue.Place | None:
    if text is None:
        return None
    try:
        at, _, image_id = text.partition("_")
        return catalogue.Place(datetime.fromisoformat(at), UUID(image_id))
    except ValueError:
        raise HTTPException(422, "after must be the `next` of an earlier page") from None
