"""Keeps links out of the access log: whoever reads one there could follow it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN = re.compile(r"(?<=/shared/)[^/]+")


class Unlogged:
    """An application whose requests have no token in their path once they are answered.

    Airflow's access log is written after that, around all applications, from the same `scope`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever method it has."""
        try:
            await self.app(scope, receive, send)
        finally:
            if scope["type"] == "http":
                scope["path"] = TOKEN.sub("...", scope["path"])
