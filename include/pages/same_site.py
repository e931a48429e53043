"""What changes something comes from a page of this server, or brings a token of its own."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import HTTPException, Request


def same_site(request: Request) -> None:
    """Refuse what another site sends with this user's cookie; a request with its own token may come from anywhere."""
    if request.headers.get("authorization"):
        return
    site = request.headers.get("sec-fetch-site")
    origin = urlsplit(request.headers.get("origin", ""))
    if site in ("cross-site", "same-site") or (origin.netloc and origin.netloc != request.headers.get("host")):
        raise HTTPException(403, "the request comes from another site")
    if site is None and not origin.netloc:
        raise HTTPException(403, "a request with a cookie must have an Origin header")
