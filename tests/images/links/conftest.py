"""The interface on a real server, with links switched on, and a picture that is done."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from include.images.links import keyring
from include.images.links.signing import Keys
from tests.images.links.outside import KEY
from tests.images.places import Place
from tests.images.test_api import PHOTO, Here, client, url

__all__ = ["client", "url"]


@pytest.fixture
def here(dsn: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> Here:
    """The interface with a key, which is read each time."""
    monkeypatch.setattr(keyring, "SECONDS", 0.0)
    found = Here(dsn, place)
    found.keys = Keys(KEY)
    return found


@pytest.fixture
def image(client: httpx.Client, here: Here) -> str:
    """The id of a picture with renditions."""
    found: str = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    here.resize()
    return found


@pytest.fixture
def anybody(url: str) -> Iterator[httpx.Client]:
    """Somebody without a login."""
    with httpx.Client(base_url=url, follow_redirects=False) as client:
        yield client
