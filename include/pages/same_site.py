"""What changes something comes from a page of this server, or brings a token of its own."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import HTTPException, Request


def same_site(request: Request) -> None:
    """Refuse what another site sends with this user's cookie; a request with its own token may come from anywhere.

    Only a bearer token is its own: browsers add other schemes, such as Basic, by themselves.
    """
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return
    site = request.headers.get("sec-fetch-site")
    origin = _host(request.headers.get("origin", ""))
    if site in ("cross-site", "same-site") or (origin and origin != request.headers.get("host")):
        raise HTTPException(403, "the request comes from another site")
    if site is None and not origin:
        raise HTTPException(403, "a request with a cookie must have an Origin header")


def _host(origin: str) -> str:
    """The host and port of an origin; empty where there is none, and no host at all where it is not well formed."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return "?"
