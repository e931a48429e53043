"""Certificates as `./run secrets --tls` makes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.tls import folder


@pytest.fixture(scope="package")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `tls/`."""
    place = tmp_path_factory.mktemp("certificates") / "tls"
    folder.complete(place)
    return place


@pytest.fixture(scope="package")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of another deployment."""
    place = tmp_path_factory.mktemp("others") / "tls"
    folder.complete(place)
    return place
