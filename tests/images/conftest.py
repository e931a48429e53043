"""The stores that image tests run on: a folder, or a bucket of a real S3 server that runs as a process of its own."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.gate import Gate
from tests.images.places import Place, open_store, s3

SERVER = """
import signal
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
signal.pause()
"""


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of an S3 server."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


@pytest.fixture
def endpoint(s3_port: int) -> str:
    """The URL of an S3 server."""
    return f"http://127.0.0.1:{s3_port}"


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
