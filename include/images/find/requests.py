"""What requests say of the pictures that they mean, and of tags and metadata; 422 where that is not as it should be."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Query, Request

from include.images import catalogue
from include.images.find import similar
from include.images.find.labels import Labels, Unfit, labels, pairs, parsed
from include.images.find.wanted import Wanted, wanted

PATCH_BYTES = 200_000  # more than all labels that a picture may have, each character as \uXXXX
Name = Annotated[str | None, Query(max_length=255, pattern=r"^[^\x00]*$", description="A part of the file name")]
Tags = Annotated[list[str] | None, Query(description="A tag, as often as needed")]
Pairs = Annotated[list[str] | None, Query(description="key:value of the own metadata, as often as needed")]
Limit = Annotated[int, Query(ge=1, le=catalogue.LARGEST_PAGE)]


def meant(name: Name = None, tag: Tags = None, metadata: Pairs = None) -> Wanted:
    """Which pictures a request means: they have the part of the name, all the tags and all the metadata."""
    try:
        return wanted(name, tag or (), metadata or ())
    except Unfit as fault:
        raise HTTPException(422, str(fault)) from fault


def given(tag: Tags = None, metadata: Pairs = None) -> Labels:
    """Tags and metadata of what is uploaded, by query parameters."""
    try:
        return labels(tag or [], pairs(metadata or ()))
    except Unfit as fault:
        raise HTTPException(422, str(fault)) from fault


Meant = Annotated[Wanted, Depends(meant)]
Given = Annotated[Labels, Depends(given)]


async def patch(request: Request) -> dict[str, Any]:
    """The body, an object. Raises Unfit, and HTTPException when it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > PATCH_BYTES:
            raise HTTPException(413, f"the body is larger than {PATCH_BYTES:,} bytes")
    found = parsed(bytes(body), "body")
    if not isinstance(found, dict):
        raise Unfit("body: must be a JSON object")
    return found


def similar_place(after: str | None) -> similar.Place | None:
    """Where a page of pictures that look alike begins."""
    try:
        return None if after is None else similar.place(after)
    except ValueError:
        raise HTTPException(422, "after must be the `next` of an earlier page") from None
