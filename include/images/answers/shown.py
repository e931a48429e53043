"""Renditions as the interface shows them, each with its URL, and ready for a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FIELDS = ("name", "format", "width", "height", "bytes", "animated")


def with_urls(row: dict[str, Any], url: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    """`renditions` and `srcset` of a picture; `url` tells where a rendition of the row is."""
    renditions = [{**{name: one[name] for name in FIELDS}, "url": url(one)} for one in row["renditions"]]
    return {"renditions": renditions, "srcset": _srcset(renditions, (row["width"], row["height"]))}


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
