"""Sends a stored file: all of it or the range that was asked for, a block at a time, off the event loop."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from include.images.store import NotStored

BLOCK_BYTES = 1 << 20
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
MEDIA = {"jpg": "image/jpeg", "webp": "image/webp", "avif": "image/avif", "png": "image/png"}
# A file is what we say it is, and runs nothing where a browser opens it as a page.
SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}

Read = Callable[[int, int], bytes]  # first byte, length


class Unsatisfiable(Exception):
    """The range lies outside the file."""


def wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the length that a Range header asks for. Raises Unsatisfiable.

    None, for the whole file, without a header and for what a server may pass over (RFC 9110, 14.2): another unit,
    several ranges, or no sense.
    """
    match = RANGE.fullmatch((header or "").replace(" ", ""))
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        if not length:
            raise Unsatisfiable
        return size - length, length
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    return int(first), min(int(last) if last else size, size - 1) + 1 - int(first)


async def send(request: Request, read: Read, size: int, *, headers: dict[str, str], media_type: str) -> Response:
    """A response with the file, or 206 with a part of it, 304 or 416. `headers` has the strong ETag.

    The first block is read before anything is answered, so that what `read` raises can still be told.
    """
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if known & {headers["ETag"], "*"}:
        return Response(status_code=304, headers=headers)
    headers = {**headers, "Accept-Ranges": "bytes"}
    condition = request.headers.get("if-range")
    try:
        part = wanted(request.headers.get("range"), size) if condition in (None, headers["ETag"]) else None
    except Unsatisfiable:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    first, length = part or (0, size)
    if part is not None:
        headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{size}"
    status = 200 if part is None else 206
    block = await _block(read, first, min(length, BLOCK_BYTES))
    if len(block) == length:
        return Response(block, status, headers, media_type)
    headers["Content-Length"] = str(length)
    return StreamingResponse(_blocks(read, block, first, length), status, headers, media_type)


def media_of(file: str) -> str:
    """The media type of a rendition's file."""
    return MEDIA[file.rpartition(".")[2]]


async def _blocks(read: Read, block: bytes, first: int, length: int) -> AsyncIterator[bytes]:
    yield block
    end, first = first + length, first + len(block)
    while first < end:
        block = await _block(read, first, min(end - first, BLOCK_BYTES))
        yield block
        first += len(block)


async def _block(read: Read, first: int, length: int) -> bytes:
    block = await run_in_threadpool(read, first, length)
    if len(block) != length:
        raise NotStored("the file in the store is not as long as it was")
    return block
