"""What the interface answers, for its OpenAPI page: what a generated client is made of. Nothing is validated by it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

State = Literal["accepted", "resizing", "done", "failed"]


class Fetch(BaseModel):
    """Where a picture is to be fetched from."""

    url: str = Field(max_length=4000, description="Of an origin that the Connection image_sources lists.")


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


class Taken(BaseModel):
    """A picture that was taken in."""

    id: UUID
    file_name: str
    state: State
    bytes: int
    url: str


class NotTaken(BaseModel):
    """A file of the request that was refused."""

    file_name: str
    code: str
    reason: str


class Upload(BaseModel):
    """What became of a request's files; `ignored` are fields of its form that mean nothing here."""

    images: list[Taken]
    refused: list[NotTaken]
    ignored: list[str] = []


class Refusal(Problem):
    """Why no file of a request was taken in, and of each file, where it came so far."""

    images: list[Taken] = []
    refused: list[NotTaken] = []


class Invalid(BaseModel):
    """What is wrong with a request: a sentence, or each parameter that is not as it should be."""

    detail: str | list[dict[str, Any]]


class Source(BaseModel):
    """The picture as it came; what it is, is known once it was decoded."""

    digest: str
    bytes: int
    format: str | None
    width: int | None
    height: int | None
    frames: int | None


class Task(BaseModel):
    """The task of Airflow that had the picture last."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None


class Rendition(BaseModel):
    """A file that was made of the picture."""

    name: str
    format: str
    width: int
    height: int
    bytes: int
    animated: bool
    target_reached: bool | None
    url: str


class Facts(BaseModel):
    """What the bytes show. `taken_at` has an offset from UTC if the camera says one."""

    taken_at: str | None
    camera_make: str | None
    camera_model: str | None
    lens: str | None
    latitude: float | None
    longitude: float | None
    profile: str | None
    transparent: bool
    colours: list[str]
    perceptual_hash: str | None


class Image(BaseModel):
    """A picture: its state, what it is, and its renditions. One that failed has a code and a reason."""

    id: UUID
    state: State
    code: str | None = None
    reason: str | None = None
    can_retry: bool | None = None
    file_name: str
    owner: str
    created_at: datetime
    finished_at: datetime | None
    tags: list[str]
    metadata: dict[str, Any]
    source: Source
    facts: Facts | None
    task: Task | None
    only_first_frame: bool | None
    salvaged: bool
    recipes: str
    focal: tuple[float, float] | None
    placeholder: str | None
    original: str
    renditions: list[Rendition]
    srcset: dict[str, str]


class Links(BaseModel):
    """Renditions of a picture with URLs that anybody can follow until then."""

    id: UUID
    expires_at: datetime
    renditions: list[Rendition]
    srcset: dict[str, str]


class Page(BaseModel):
    """Pictures, and what leads to those after them."""

    images: list[Image]
    next: str | None


class Like(Image):
    """A picture that looks like the one that was asked for, and in how many of 64 bits it differs."""

    distance: int


class Similar(BaseModel):
    """Pictures that look alike, and what leads to those after them."""

    images: list[Like]
    next: str | None


class Counts(BaseModel):
    """How many pictures are in each state."""

    accepted: int
    resizing: int
    done: int
    failed: int


class Deletion(BaseModel):
    """How many pictures were deleted, and what restores them until when."""

    images: int
    undo: UUID
    until: datetime | None


class Restored(BaseModel):
    """How many pictures were restored."""

    images: int


class Retried(BaseModel):
    """How many pictures are tried again, and how many would fail the same way again."""

    again: int
    left: int


_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "type": "object",
    "properties": {
        "file": {"type": "array", "items": _BYTES["schema"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "metadata": {"type": "string", "description": "A JSON object of texts, numbers, true and false"},
    },
}
PATCH: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A JSON merge patch: `tags` replaces them; of `metadata`, keys are set, and go where null.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"tags": {"type": "array", "items": {"type": "string"}},
                                   "metadata": {"type": "object"}},
                }
            }
        },
    }
}  # fmt: skip
FILES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A picture as the body, named by the header X-File-Name, or several as a form.",
        "content": {"application/octet-stream": _BYTES, "multipart/form-data": {"schema": _FORM}},
    }
}
_WHY = {
    401: "No login.",
    403: "No permission, or a request from another site with this one's cookie.",
    404: "There is no such picture or file, or it is too late.",
    409: "It has not failed, has no renditions yet, or links are off.",
    413: "The body is too large.",
    422: "A parameter or field is not as it should be, or names what is not allowed or not there.",
    429: "This user's share is full; Retry-After says when to retry.",
    502: "The other server can't be reached, answered with an error, or broke off.",
    503: "The queue is full, or the store can't be reached; Retry-After says when to retry.",
    504: "The other server took too long.",
    507: "The disk is full.",
}


def answers(status: int, model: type[BaseModel], *faults: int) -> dict[str, Any]:
    """Of a route: what it answers when all is well, and the faults that it answers besides no login and such."""
    return {"response_model": None, "responses": {status: {"model": model}, **_refusals(*faults)}}


def _refusals(*faults: int) -> dict[int | str, dict[str, Any]]:
    models = {422: Invalid}
    return {code: {"model": models.get(code, Problem), "description": _WHY[code]} for code in (401, 403, 422, *faults)}


UPLOAD = answers(202, Upload, 429, 503, 507)
UPLOAD["responses"] |= {
    400: {"model": Refusal, "description": "No file, an empty one, or a broken form."},
    413: {"model": Refusal, "description": "Over a limit."},
    415: {"model": Refusal, "description": "No type of picture that is taken."},
}
FETCH = answers(202, Upload, 429, 502, 503, 504, 507)
FETCH["responses"] |= {code: UPLOAD["responses"][code] for code in (400, 413, 415)}
SIMILAR = answers(200, Similar, 404, 409)
SIMILAR["responses"][409]["description"] = "It has no perceptual hash, or none yet."
DELETE: dict[str, Any] = {
    "response_model": None,
    "responses": {
        200: {"model": Deletion, "description": "With `undo`."},
        202: {"model": Problem, "description": "It is deleted; the daily run removes its files from the store."},
        **_refusals(404),
    },
}
REVOKE: dict[str, Any] = {"response_model": None, "responses": _refusals(404)}


def _file(kind: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"content": {kind: _BYTES}},
        206: {"content": {kind: _BYTES}, "description": "The range that was asked for."},
        304: {"description": "It is as If-None-Match has it."},
        416: {"description": "The range lies outside the file."},
    }


FILE: dict[str, Any] = {"response_model": None, "responses": {**_file("image/*"), **_refusals(404, 503)}}
ORIGINAL: dict[str, Any] = {"response_model": None, "responses": {**_file("*/*"), **_refusals(404, 503)}}
SHARED: dict[str, Any] = {
    "response_model": None,
    "responses": {
        **_file("image/*"),
        404: {"model": Problem, "description": "The link is wrong, over or revoked, or leads to nothing any more."},
        503: {"model": Problem, "description": "The store can't be reached; Retry-After says when to retry."},
    },
}
