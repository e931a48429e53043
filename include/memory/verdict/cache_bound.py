"""Whether a holder is a cache that will be full one day: what it holds now, and how much it takes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import _lru_cache_wrapper
from typing import Any

# What libraries call it: functools and cachetools, SQLAlchemy and jinja2, collections.
NAMES = ("maxsize", "max_size", "capacity", "maxlen", "max_entries")


@dataclass(frozen=True)
class Bound:
    """A cache of limited size holds the growth: `entries` of `limit` now."""

    holder: str
    entries: int
    limit: int


def bound_of(one: Any) -> Bound | None:
    """The bound of a cache; None for what has none, or whose bound is not told by a plain attribute."""
    kind = type(one)
    if kind is _lru_cache_wrapper:
        limit, entries = one.cache_parameters()["maxsize"], one.cache_info().currsize
        return Bound(f"lru_cache of {getattr(one, '__qualname__', '?')}", entries, limit) if limit else None
    if kind is deque:
        return Bound("deque", len(one), one.maxlen) if one.maxlen else None
    attributes = _attributes(one)
    limits = [
        value
        for name, value in attributes.items()
        if type(value) is int and value > 0 and isinstance(name, str) and name.lower().lstrip("_").endswith(NAMES)
    ]
    sizes = [len(value) for value in (one, *attributes.values()) if issubclass(type(value), (dict, list, deque))]
    if not limits or not sizes or max(sizes) > limits[0]:
        return None
    return Bound(f"{kind.__module__}.{kind.__qualname__}", max(sizes), limits[0])


def _attributes(one: Any) -> dict[str, Any]:
    """The attributes in its own dict, taken without a word of the program's own code."""
    if isinstance(type(one).__dict__.get("__dict__"), property):
        return {}
    try:
        found = object.__getattribute__(one, "__dict__")
    except AttributeError:
        return {}
    return dict(found) if type(found) is dict else {}
