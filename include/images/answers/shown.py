"""A picture as the interface shows it, and its renditions, each with its URL, ready for a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request

from include.images.errors import FINAL
from include.images.find import facts
from include.images.inbox import SALVAGED
from include.images.recipes import DEFAULT, Choice

DAG = "resize_images"
FIELDS = ("name", "format", "width", "height", "bytes", "animated")


def show(request: Request, row: dict[str, Any]) -> dict[str, Any]:
    """Of a row of the catalogue."""

    def url(one: dict[str, Any]) -> str:
        path = request.url_for("get_rendition", image_id=row["image_id"], file=one["file"]).path
        return f"{path}?v={one['sha256'][:12]}"

    choice = Choice.of(row["recipes"])
    return {
        "id": str(row["image_id"]),
        "state": row["state"],
        **(_failure(row) if row["state"] == "failed" else {}),
        "file_name": row["file_name"],
        "owner": row["owner"],
        "created_at": row["created_at"].isoformat(),
        "finished_at": _finished(row),
        "tags": row["tags"],
        "metadata": row["metadata"],
        "source": {name: row[name] for name in ("digest", "bytes", "format", "width", "height", "frames")},
        "facts": facts.shown(row),
        "task": _task(row),
        "only_first_frame": row["still"],
        "salvaged": row["state"] == "done" and row["code"] == SALVAGED[0],
        "recipes": choice.name or DEFAULT,
        "focal": choice.point and [choice.point.x, choice.point.y],
        "placeholder": row["placeholder"],
        # Shown to all: who may not have it is told so when they ask, and nobody's permissions are asked for a list.
        "original": request.url_for("get_original", image_id=row["image_id"]).path,
        **with_urls(row, url),
    }


def with_urls(row: dict[str, Any], url: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    """`renditions` and `srcset` of a picture; `url` tells where a rendition of the row is."""
    renditions = [
        {**{name: one[name] for name in FIELDS}, "target_reached": one["reached"], "url": url(one)}
        for one in row["renditions"]
    ]
    return {"renditions": renditions, "srcset": _srcset(renditions, (row["width"], row["height"]))}


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


def _srcset(renditions: list[dict[str, Any]], source: tuple[int | None, int | None]) -> dict[str, str]:
    """By format, ready for `<source srcset>`: one file of each width, the narrowest first.

    A browser takes any of them for any other, so all have one shape: the source's, else that of the widest.
    """
    shapes = sorted(renditions, key=lambda one: (not _alike(one, *source), -one["width"]))
    alike = [one for one in renditions if _alike(one, shapes[0]["width"], shapes[0]["height"])]
    found: dict[str, dict[int, str]] = {}
    for one in alike:
        found.setdefault(one["format"], {})[one["width"]] = one["url"]
    return {form: ", ".join(f"{url} {width}w" for width, url in sorted(urls.items())) for form, urls in found.items()}


def _alike(one: dict[str, Any], width: int | None, height: int | None) -> bool:
    """Whether it has that shape, but for rounding to whole pixels."""
    if width is None or height is None:
        return False
    return bool(abs(one["width"] * height - width * one["height"]) <= max(width, height))
