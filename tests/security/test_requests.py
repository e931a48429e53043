"""Requests that nobody thought of, made from the interface's own description by schemathesis: none is a 5xx.

$MILLRACE_REQUESTS (5) says how many it makes up for each route and way; with 20 it made 2,126.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import APIRouter, FastAPI
from psycopg_pool import AsyncConnectionPool

from include.images import api as images
from include.images import pages as images_pages
from include.images.callbacks import Callbacks
from include.images.links import api as links
from include.images.links.keyring import Keyring
from include.images.links.signing import Keys
from include.images.store import FolderStore
from include.images.upload.by_url import Sources
from include.memory import api as memory
from include.memory import pages as memory_pages
from include.pages.methods import add_methods
from tests.images import pictures
from tests.ingest.page import story as ingest_story
from tests.ingest.page.serving import application, guards
from tests.memory import story as memory_story
from tests.served import served

EACH = os.environ.get("MILLRACE_REQUESTS", "5")
SEED = os.environ.get("MILLRACE_REQUESTS_SEED", "1")
SOUND = "not_a_server_error"
AS_DESCRIBED = f"{SOUND},status_code_conformance,content_type_conformance,response_schema_conformance"
TOKEN = {"Authorization": "Bearer x"}
MADE = re.compile(r"(\d+) generated, (\d+) passed")


def beside(dsn: str, folder: Path) -> APIRouter:
    """The routes of images and memory."""
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(dsn, min_size=0, max_size=8, open=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pool:
            yield

    allowed = images.Guards(
        read=lambda: None, write=lambda: None, original=lambda: None, owner=lambda: "ann"
    )  # fmt: skip
    service = images.Service(
        pool, FolderStore(folder), callbacks=lambda: Callbacks("x", ("https://hooks.example",)),
        sources=lambda: Sources(("https://pictures.example",)), links=Keyring(lambda: Keys("x" * 32)),
    )  # fmt: skip
    routes = APIRouter(prefix="/millrace", lifespan=lifespan)
    for router in (
        memory.router(lambda: memory.Service(pool), lambda: None), memory_pages.router(lambda: None),
        links.router(lambda: service, allowed), images.router(lambda: service, allowed), images_pages.router(allowed),
    ):  # fmt: skip
        routes.include_router(router)
    return routes


@pytest.fixture
def url(dsn: str, tmp_path: Path) -> Iterator[str]:
    """All of Millrace's routes on a real server, with data behind them."""
    ingest_story.write_files(tmp_path)
    with psycopg.connect(dsn, autocommit=True) as connection:
        ingest_story.tell(connection)
        memory_story.tell(connection)
    app = application(dsn, tmp_path, guards(), beside(dsn, tmp_path / "images"))
    add_methods(app)
    with served(app) as address:
        httpx.post(f"{address}/millrace/images", content=pictures.encoded(pictures.photo()), headers=TOKEN)
        yield address


@pytest.mark.slow
@pytest.mark.parametrize(("routes", "checks"), [
    ("/millrace/(?!images|undo|counts|shared)", SOUND), ("/millrace/(images|undo|counts|shared)", AS_DESCRIBED),
], ids=["others", "images"])  # fmt: skip
def test_no_request_is_a_fault_of_the_server(url: str, tmp_path: Path, routes: str, checks: str) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/millrace/openapi.json", "--url", url,
        "--include-path-regex", routes, "--checks", checks, "-H", "Authorization: Bearer x", "--max-examples", EACH,
        "--seed", SEED, "--workers", "1", "--continue-on-failure", "--generation-database", "none", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    found = MADE.search(done.stdout)
    assert found, done.stdout[-2000:]
    print(f"{found[1]} requests to {routes}")  # with -s
    assert int(found[1]) == int(found[2]) > 100
