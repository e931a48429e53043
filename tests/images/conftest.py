"""The stores that image tests run on: a folder, or a bucket of a real S3 server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.gate import Gate
from tests.images.places import Place, open_store, s3


@pytest.fixture
def fresh_bucket(endpoint: str) -> str:
    """The name of an empty bucket."""
    name = f"pictures-{secrets.token_hex(6)}"
    s3(endpoint).mkdir(name)
    return name


@pytest.fixture
def gate(s3_port: int) -> Iterator[Gate]:
    """A way to the S3 server that can be shut."""
    gate = Gate(s3_port)
    yield gate
    gate.end()


@pytest.fixture
def kind() -> str:
    """Which kind of store a test runs on; tests that are worth it ask for both by `both_kinds`."""
    return "folder"


@pytest.fixture
def place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """An empty store: a `folder`, a bucket (`s3`), or a bucket behind the gate (`gate`)."""
    spec: tuple[str, ...] = (str(tmp_path / "store"),)
    if kind != "folder":
        endpoint = request.getfixturevalue("endpoint")
        if kind == "gate":
            endpoint = f"http://127.0.0.1:{request.getfixturevalue('gate').port}"
        spec += (endpoint, f"{request.getfixturevalue('fresh_bucket')}/some/where")
    return Place(spec, open_store(spec))
