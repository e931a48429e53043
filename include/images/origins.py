"""Which URLs may be called: those whose origin an Airflow Connection lists."""

from __future__ import annotations

from collections.abc import Iterable

import httpx


def allows(origins: Iterable[str], url: str) -> bool:
    """Whether this URL may be called: it can be, its origin is listed, and it carries no login."""
    origin = _origin(url)
    return origin is not None and origin in map(_origin, origins)


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port, read by what makes the call: two parsers may disagree. None: it can't be called."""
    try:
        parts = httpx.URL(url)
        origin = parts.scheme, parts.host, parts.port
    except (httpx.InvalidURL, ValueError):  # a bad international name is a UnicodeError
        return None
    return None if parts.userinfo or not parts.host or not url.isprintable() else origin
