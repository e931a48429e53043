"""Who may ask for the metrics: whoever brings the token, however the scheme is written."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from include.bridge.web import metrics


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer secret", 200),
        ("bearer secret", 200),
        ("BEARER  secret", 200),
        ("Bearer other", 401),
        ("Bearer", 401),
        ("Basic secret", 401),
        ("secret", 401),
        (None, 401),
    ],
)
def test_the_scheme_is_of_any_case(authorization: str | None, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(reading: Any) -> list[Any]:
        return []

    monkeypatch.setattr(metrics, "_all", nothing)
    app = FastAPI()
    app.include_router(metrics._router("secret", None))  # type: ignore[arg-type]
    headers = {"authorization": authorization} if authorization else {}

    async def ask() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return (await client.get("/metrics", headers=headers)).status_code

    assert asyncio.run(ask()) == status
