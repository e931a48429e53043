"""The HTTP interface with a real PostgreSQL and a real store; the login is Airflow's, tested with a real Airflow."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI, Request
from psycopg_pool import AsyncConnectionPool

from include.images import api, inbox, undo, work
from include.images.answers import serve
from include.images.callbacks import Callbacks, deliver
from include.images.doorbell import rings
from include.images.limits import LIMITS
from include.images.links import api as links
from include.images.links.keyring import Keyring
from include.images.links.signing import Keys
from include.images.recipes import Recipe, Recipes
from include.images.store import Name, StoreAway
from include.images.tidy import tidy
from include.images.upload.by_url import Sources
from include.pages.methods import add_methods
from stack.ports import free_port
from tests.images import pictures
from tests.images.gate import Gate
from tests.images.places import Place

RECIPES = Recipes(renditions={"large": Recipe(side=100), "small": Recipe(side=50, formats=("webp",))})
PHOTO = pictures.encoded(pictures.photo())
TOKEN = {"Authorization": "Bearer token"}
both_kinds = pytest.mark.parametrize("kind", ["folder", "s3"])


class Here:
    """The interface, as one user."""

    def __init__(self, dsn: str, place: Place) -> None:
        self.dsn, self.place, self.store = dsn, place, place.store
        self.limits = LIMITS
        self.service: api.Service | None = None
        self.owner = "ann"
        self.callbacks = Callbacks("secret", ("https://hooks.example",))
        self.sources = Sources()
        self.recipes = RECIPES
        self.keys: Keys | None = None  # what the Connection has
        self.guards = api.Guards(
            read=lambda: None, write=lambda: None, original=lambda: None, owner=lambda: self.owner
        )  # fmt: skip

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with AsyncConnectionPool(dsn, min_size=0, max_size=4, open=False) as pool:
                self.service = api.Service(
                    pool, self.store, callbacks=lambda: self.callbacks, sources=lambda: self.sources,
                    recipes=lambda: self.recipes, links=Keyring(lambda: self.keys),
                )  # fmt: skip
                yield

        self.app = FastAPI(lifespan=lifespan)
        self.app.include_router(links.router(self.serve, self.guards))
        self.app.include_router(api.router(self.serve, self.guards))
        add_methods(self.app)

    def serve(self) -> api.Service:
        assert self.service is not None
        return replace(self.service, limits=self.limits)

    def resize(self) -> None:
        """What the DAG does."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for batch in inbox.open_batches(connection, 1):
                work.resize_batch(connection, self.store, self.recipes, batch)


@pytest.fixture
def here(dsn: str, place: Place) -> Here:
    return Here(dsn, place)


@pytest.fixture
def url(here: Here) -> Iterator[str]:
    """The interface on a real server."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(here.app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=TOKEN) as client:
        yield client


def stored(here: Here) -> list[str]:
    """What is in the store, with files under way."""
    return here.place.stored()


@both_kinds
def test_from_upload_to_renditions(client: httpx.Client, here: Here) -> None:
    answer = client.post("/images", content=PHOTO, headers={"X-File-Name": "a%20b.jpg"})
    assert answer.status_code == 202
    image = answer.json()["images"][0]
    assert answer.headers["location"] == f"/images/{image['id']}"
    assert (image["file_name"], image["state"], image["bytes"]) == ("a b.jpg", "accepted", len(PHOTO))
    digest = hashlib.sha256(PHOTO).hexdigest()
    assert stored(here) == [f"source/{digest[:2]}/{digest}"]
    assert client.get(answer.headers["location"]).json()["state"] == "accepted"
    here.resize()
    found = client.get(answer.headers["location"]).json()
    assert found["state"] == "done"
    assert found["source"] == {
        "digest": digest, "bytes": len(PHOTO), "format": "JPEG", "width": 900, "height": 600, "frames": 1,
    }  # fmt: skip
    assert [(one["name"], one["format"], one["width"], one["height"]) for one in found["renditions"]] == [
        ("large", "jpeg", 100, 67), ("large", "webp", 100, 67), ("small", "webp", 50, 33),
    ]  # fmt: skip
    assert found["srcset"]["webp"].count("w") >= 2
    assert found["srcset"]["webp"].endswith(" 100w")
    for one in found["renditions"]:
        file = client.get(one["url"])
        assert file.status_code == 200
        assert len(file.content) == one["bytes"]
        assert file.headers["content-type"] == f"image/{one['format']}"
        assert "immutable" in file.headers["cache-control"]
        assert file.headers["x-content-type-options"] == "nosniff"
        assert file.headers["etag"] == f'"{hashlib.sha256(file.content).hexdigest()}"'
        assert client.get(one["url"], headers={"If-None-Match": file.headers["etag"]}).status_code == 304
        part = client.get(one["url"], headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, file.content[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{one['bytes']}"
    bare = client.get(found["renditions"][0]["url"].partition("?")[0])
    assert "immutable" not in bare.headers["cache-control"]
    before = stored(here)
    assert len(before) == 4, "the source and its renditions, and nothing under way"
    here.resize()
    assert client.post("/images", content=PHOTO).status_code == 202
    here.resize()
    assert stored(here) == before, "once more changes nothing"


@both_kinds
def test_a_rendition_is_sent_in_blocks(client: httpx.Client, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    image = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    here.resize()
    url = client.get(f"/images/{image}").json()["renditions"][0]["url"]
    whole = client.get(url).content
    size, etag = len(whole), client.get(url).headers["etag"]
    monkeypatch.setattr(serve, "BLOCK_BYTES", 1000)
    assert size > 3000
    for header, status, content in (
        (None, 200, whole), ("bytes=0-", 206, whole), ("bytes=500-2600", 206, whole[500:2601]),
        ("bytes=-1500", 206, whole[-1500:]), (f"bytes=-{size + 9}", 206, whole), ("bytes=7-99999999", 206, whole[7:]),
        ("bytes=0-0,5-9", 200, whole), ("bytes=9-5", 200, whole), ("bytes=-", 200, whole), ("pages=1-2", 200, whole),
        (f"bytes={size}-", 416, b""), ("bytes=-0", 416, b""),
    ):  # fmt: skip
        answer = client.get(url, headers={"Range": header} if header else {})
        assert (answer.status_code, answer.content) == (status, content), header
        assert answer.headers["etag"] == etag
        assert answer.headers["accept-ranges"] == "bytes"
        assert int(answer.headers["content-length"]) == len(content)
    ranged = {"Range": "bytes=0-9"}
    assert client.get(url, headers={**ranged, "If-Range": etag}).status_code == 206
    assert client.get(url, headers={**ranged, "If-Range": '"other"'}).content == whole
    assert client.get(url, headers={**ranged, "If-None-Match": f'"x", {etag}'}).status_code == 304


def test_a_slow_store_holds_nobody_else_up(client: httpx.Client, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    image = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    here.resize()
    url = client.get(f"/images/{image}").json()["renditions"][0]["url"]
    read = here.store.read_rendition

    def slow(*place: Any) -> bytes:
        time.sleep(0.8)
        return read(*place)

    monkeypatch.setattr(here.store, "read_rendition", slow)
    threads = [threading.Thread(target=httpx.get, args=(f"{client.base_url}{url}",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert client.get("/counts").json()["done"] == 1
    assert any(thread.is_alive() for thread in threads), "it did not wait for them"
    for thread in threads:
        thread.join()


def test_a_file_that_is_gone_from_the_store_is_not_found(client: httpx.Client, here: Here) -> None:
    image = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    here.resize()
    found = client.get(f"/images/{image}").json()
    here.store.drop(found["source"]["digest"])
    assert client.get(found["renditions"][0]["url"]).status_code == 404


def test_several_files_in_one_form(client: httpx.Client, here: Here) -> None:
    other = pictures.encoded(pictures.photo(seed=2), "PNG")
    files = [
        ("files", ("../../etc/passwd.jpg", PHOTO, "image/jpeg")),
        ("files", ("text.jpg", b"this is text", "image/jpeg")),
        ("other", ("two.png", other, "text/plain")),
        ("files", ("empty.png", b"", "image/png")),
    ]
    answer = client.post("/upload", files=files, data={"field": "value"})
    assert answer.status_code == 202
    body = answer.json()
    assert [image["file_name"] for image in body["images"]] == ["passwd.jpg", "two.png"]
    assert [(one["file_name"], one["code"]) for one in body["refused"]] == [
        ("text.jpg", "type"),
        ("empty.png", "empty"),
    ]
    assert len(stored(here)) == 2


@pytest.mark.parametrize(("body", "headers", "status"), [
    (b"no picture", {}, 415),
    (b"", {}, 400),
    (b"%!PS-Adobe", {"Content-Type": "image/jpeg"}, 415),
    (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    (b"a=b&c=d", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    (b"x", {"Content-Type": "multipart/form-data"}, 400),
    (b"--b\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n" + PHOTO,
     {"Content-Type": "multipart/form-data; boundary=b"}, 400),
    (b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}, 400),
], ids=range(8))  # fmt: skip
def test_a_refusal_says_why_and_leaves_nothing(
    client: httpx.Client, here: Here, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = client.post("/images", content=body, headers=headers)
    assert answer.status_code == status
    assert len(answer.json()["detail"]) > 10
    assert stored(here) == []


def test_limits(client: httpx.Client, here: Here) -> None:
    here.limits = replace(LIMITS, file_bytes=1000)
    assert client.post("/images", content=PHOTO).status_code == 413
    here.limits = replace(LIMITS, request_files=2)
    files = [("f", (f"{n}.jpg", PHOTO + bytes([n]), "image/jpeg")) for n in range(3)]
    assert client.post("/images", files=files).status_code == 413
    here.limits = replace(LIMITS, request_bytes=len(PHOTO))
    assert client.post("/images", files=files[:2]).status_code == 413
    assert stored(here) == []


def test_back_pressure(client: httpx.Client, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "LOAD_SECONDS", 0.0)
    assert client.post("/images", content=PHOTO).status_code == 202
    here.limits = replace(LIMITS, waiting_files=1)
    full = client.post("/images", content=PHOTO)
    assert (full.status_code, full.headers["retry-after"]) == (503, "30")
    here.limits = replace(LIMITS, owner_bytes=1)
    assert client.post("/images", content=PHOTO).status_code == 429
    here.owner = "bob"
    assert client.post("/images", content=PHOTO).status_code == 202


@both_kinds
def test_a_full_disk_is_told(client: httpx.Client, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", no_room)
    answer = client.post("/images", content=PHOTO)
    assert (answer.status_code, answer.json()["detail"]) == (507, "the image store is full")
    assert stored(here) == []


@both_kinds
def test_the_same_bytes_are_kept_and_resized_once(client: httpx.Client, here: Here) -> None:
    first = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    here.resize()
    before = stored(here)
    second = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    assert first != second
    assert client.get(f"/images/{second}").json()["state"] == "done"
    assert stored(here) == before
    assert client.delete(f"/images/{first}").status_code == 204
    assert stored(here) == before, "somebody else keeps it"
    assert client.delete(f"/images/{second}").status_code == 204
    assert stored(here) == []
    assert client.get(f"/images/{second}").status_code == 404
    assert client.delete(f"/images/{second}").status_code == 404


@both_kinds
def test_uploads_and_deletes_of_the_same_bytes_at_once(client: httpx.Client, here: Here, kind: str) -> None:
    faults: list[Any] = []

    def again() -> None:
        for _ in range(15 if kind == "folder" else 5):
            image = client.post("/images", content=PHOTO).json()["images"][0]["id"]
            if client.delete(f"/images/{image}").status_code != 204:
                faults.append(image)

    threads = [threading.Thread(target=again) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    kept = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    here.resize()
    assert client.get(f"/images/{kept}").json()["state"] == "done"


def test_a_list_of_pages(client: httpx.Client) -> None:
    ids = [client.post("/images", content=PHOTO + bytes([n])).json()["images"][0]["id"] for n in range(7)]
    found, after = [], None
    while True:
        page = client.get("/images", params={"limit": 3, **({"after": after} if after else {})}).json()
        found += [image["id"] for image in page["images"]]
        after = page["next"]
        if after is None:
            break
    assert found == ids[::-1]
    assert client.get("/images", params={"state": "done"}).json()["images"] == []
    assert client.get("/images", params={"state": "odd"}).status_code == 422
    assert client.get("/images", params={"after": "odd"}).status_code == 422
    assert client.get("/counts").json() == {"accepted": 7, "resizing": 0, "done": 0, "failed": 0}


def test_a_failed_picture_says_why_and_is_tried_again(client: httpx.Client, here: Here) -> None:
    image = client.post("/images", content=PHOTO[:5000]).json()["images"][0]["id"]
    assert client.post(f"/images/{image}/retry").status_code == 409
    here.resize()
    found = client.get(f"/images/{image}").json()
    assert (found["state"], found["code"]) == ("failed", "broken")
    assert "cut off" in found["reason"]
    assert client.post(f"/images/{image}/retry").json()["state"] == "accepted"
    here.resize()
    assert client.get(f"/images/{image}").json()["state"] == "failed"


def deleted_for_minutes(here: Here, minutes: int) -> None:
    """Let what is deleted have been deleted so long ago."""
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        connection.execute("UPDATE millrace.image SET deleted_at = deleted_at - %s * interval '1 minute'", [minutes])


def expired(here: Here) -> int:
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        return undo.expire(connection, here.store)


def failed(client: httpx.Client, here: Here, **names: str) -> None:
    """Pictures that failed: by file name, the code of the reason."""
    for number, name in enumerate(names):
        client.post("/images", content=PHOTO[: 5000 + number], headers={"X-File-Name": f"{name}.jpg"})
    here.resize()
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        for name, code in names.items():
            connection.execute(
                "UPDATE millrace.image_source s SET code = %s FROM millrace.image i"
                " WHERE i.digest = s.digest AND i.file_name = %s",
                [code, f"{name}.jpg"],
            )


@both_kinds
def test_a_deletion_is_undone_or_comes_to_its_end(client: httpx.Client, here: Here, kind: str) -> None:
    image = client.post("/images", content=PHOTO, headers={"X-File-Name": "a.jpg"}).json()["images"][0]["id"]
    here.resize()
    whole = client.get(f"/images/{image}").json()
    before = stored(here)
    gone = client.delete(f"/images/{image}", params={"undo": True})
    assert (gone.status_code, gone.json()["images"]) == (200, 1)
    assert client.get(f"/images/{image}").status_code == 404
    assert client.get(whole["renditions"][0]["url"]).status_code == 404
    assert client.get("/images").json()["images"] == []
    assert client.get("/counts").json()["done"] == 0
    assert client.delete(f"/images/{image}", params={"undo": True}).status_code == 404
    deleted_for_minutes(here, 9)
    assert expired(here) == 0
    assert stored(here) == before
    assert client.post(f"/undo/{gone.json()['undo']}").json() == {"images": 1}
    assert client.get(f"/images/{image}").json() == whole
    assert client.post(f"/undo/{gone.json()['undo']}").status_code == 404
    gone = client.delete(f"/images/{image}", params={"undo": True})
    deleted_for_minutes(here, 11)
    late = client.post(f"/undo/{gone.json()['undo']}")
    assert (late.status_code, "too late" in late.json()["detail"]) == (404, True)
    assert expired(here) == 1
    assert stored(here) == []


def test_the_same_bytes_outlive_a_deletion(client: httpx.Client, here: Here) -> None:
    image = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    here.resize()
    client.delete(f"/images/{image}", params={"undo": True})
    again = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    assert client.get("/counts").json()["done"] == 1
    deleted_for_minutes(here, 11)
    assert expired(here) == 1
    assert client.get(f"/images/{again}").json()["state"] == "done"
    assert client.get("/counts").json()["done"] == 1


def test_what_is_deleted_frees_the_share_and_calls_nobody(client: httpx.Client, here: Here) -> None:
    here.limits = replace(LIMITS, owner_bytes=len(PHOTO))
    image = client.post("/images", content=PHOTO, params={"callback_url": "https://hooks.example/x"})
    here.resize()
    client.delete(f"/images/{image.json()['images'][0]['id']}", params={"undo": True})
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        assert deliver(connection, Callbacks(), "http://x") == {"delivered": 0, "failed": 0, "given_up": 0}
    assert here.service is not None
    here.service._load.clear()  # it is asked again after some seconds
    assert client.post("/images", content=PHOTO[:-1]).status_code == 202


def test_a_deletion_that_is_due_rings_the_bell(dsn: str, client: httpx.Client, here: Here) -> None:
    image = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    here.resize()
    client.delete(f"/images/{image}", params={"undo": True})

    async def listen() -> None:
        first = asyncio.ensure_future(anext(rings(lambda: dsn)))
        await asyncio.sleep(0.5)
        assert not first.done()
        deleted_for_minutes(here, 11)
        await asyncio.wait_for(first, 20)

    asyncio.run(listen())


def test_all_that_failed_is_deleted_and_restored(client: httpx.Client, here: Here) -> None:
    client.post("/images", content=PHOTO, headers={"X-File-Name": "whole.jpg"})
    failed(client, here, river="broken", lake="broken")
    assert client.delete("/images").status_code == 422
    assert client.delete("/images", params={"state": "done"}).status_code == 422
    assert client.delete("/images", params={"state": "failed", "name": "RIV"}).json()["images"] == 1
    gone = client.delete("/images", params={"state": "failed"}).json()
    assert gone["images"] == 1
    assert [one["file_name"] for one in client.get("/images").json()["images"]] == ["whole.jpg"]
    assert client.post(f"/undo/{gone['undo']}").json() == {"images": 1}
    assert {one["file_name"] for one in client.get("/images").json()["images"]} == {"lake.jpg", "whole.jpg"}


def test_all_that_another_try_may_help_is_tried_again(client: httpx.Client, here: Here) -> None:
    failed(client, here, river="broken", lake="timeout", sea="memory")
    can = {one["file_name"]: one["can_retry"] for one in client.get("/images").json()["images"]}
    assert can == {"river.jpg": False, "lake.jpg": True, "sea.jpg": True}
    assert client.post("/images/retry", params={"name": "sea"}).json() == {"again": 1, "left": 0}
    assert client.post("/images/retry").json() == {"again": 1, "left": 1}
    states = {one["file_name"]: one["state"] for one in client.get("/images").json()["images"]}
    assert states == {"river.jpg": "failed", "lake.jpg": "accepted", "sea.jpg": "accepted"}


def test_pictures_are_found_by_a_part_of_the_name(client: httpx.Client) -> None:
    for number, name in enumerate(["Alpen_100%.jpg", "alpen.jpg", "see.jpg"]):
        client.post("/images", content=PHOTO + bytes([number]), headers={"X-File-Name": quote(name)})

    def named(part: str) -> list[str]:
        return [one["file_name"] for one in client.get("/images", params={"name": part}).json()["images"]]

    assert named("ALP") == ["alpen.jpg", "Alpen_100%.jpg"]
    assert named("_100%") == ["Alpen_100%.jpg"]
    assert named("odd") == []
    first = client.get("/images", params={"name": "alp", "limit": 1}).json()
    second = client.get("/images", params={"name": "alp", "limit": 1, "after": first["next"]}).json()
    assert [one["file_name"] for one in second["images"]] == ["Alpen_100%.jpg"]


def test_a_picture_names_the_task_that_had_it(client: httpx.Client, here: Here) -> None:
    image = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    assert client.get(f"/images/{image}").json()["task"] is None
    task = {"dag_id": "resize_images", "run_id": "manual__1", "task_id": "resize", "map_index": 0}
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        (batch,) = inbox.open_batches(connection, 1, "manual__1")
        assert client.get(f"/images/{image}").json()["task"] == task
        later = client.post("/images", content=PHOTO[:-1]).json()["images"][0]["id"]
        work.resize_batch(connection, here.store, RECIPES, batch, task=inbox.Task("manual__1", 3))
    assert client.get(f"/images/{image}").json()["task"] == task
    assert client.get(f"/images/{later}").json()["task"] == {**task, "map_index": 3}


def test_a_callback_is_allowed_as_soon_as_the_connection_says_so(client: httpx.Client, here: Here) -> None:
    where = {"callback_url": "https://late.example/x"}
    assert client.post("/images", content=PHOTO, params=where).status_code == 422
    here.callbacks = Callbacks("secret", ("https://late.example",))
    assert client.post("/images", content=PHOTO, params=where).status_code == 202


@pytest.mark.parametrize("callback", [
    "http://hooks.example/x", "https://elsewhere.example/", "https://a:b@hooks.example/", "file:///etc/passwd", "x",
])  # fmt: skip
def test_a_callback_to_anywhere_is_refused(client: httpx.Client, callback: str) -> None:
    assert client.post("/images", params={"callback_url": callback}, content=PHOTO).status_code == 422


@pytest.mark.parametrize(("headers", "status"), [
    ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Origin": "https://evil.example"}, 403), ({}, 403), ({"Origin": "HERE"}, 202),
    ({"Sec-Fetch-Site": "same-origin"}, 202), (TOKEN, 202),
])  # fmt: skip
def test_another_site_can_not_use_the_cookie(url: str, headers: dict[str, str], status: int) -> None:
    headers = {name: value.replace("HERE", url) for name, value in headers.items()}
    with httpx.Client(base_url=url) as client:
        assert client.post("/images", content=PHOTO, headers=headers).status_code == status


def test_odd_paths_find_nothing(client: httpx.Client, here: Here) -> None:
    image = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    here.resize()
    for path in (f"/images/{image}/..%2f..%2fsource", f"/images/{image}/large.gif", "/images/no-uuid", "/images/1"):
        assert client.get(path).status_code in (404, 422)


def test_names_are_shown_clean(request: Any) -> None:
    from include.images.upload.request_files import clean_name

    assert clean_name("C:\\temp\\x\0y\n.jpg", LIMITS) == "xy.jpg"
    assert clean_name("../..", LIMITS) == ".."
    assert clean_name("", LIMITS) == "upload"
    assert len(clean_name("ä" * 999, LIMITS)) == LIMITS.name_characters
    assert Request is not None


@pytest.mark.parametrize("kind", ["gate"])
def test_a_store_out_of_reach_is_told_and_nothing_is_lost(client: httpx.Client, here: Here, gate: Gate) -> None:
    image = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    gate.shut()
    other = pictures.encoded(pictures.photo(seed=2))
    answer = client.post("/images", content=other)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert "is not reachable" in answer.json()["detail"]
    assert client.get("/counts").json()["accepted"] == 1, "no row without its file"
    with pytest.raises(StoreAway, match="can't be used"):
        here.resize()
    assert client.get(f"/images/{image}").json()["state"] == "resizing"
    gate.open()
    assert len(stored(here)) == 1, "nothing is left under way"
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        ((batch, attempts),) = connection.execute("SELECT batch, attempts FROM millrace.image_source")
        assert attempts == 0, "an outage costs no attempt"
        assert work.resize_batch(connection, here.store, RECIPES, batch)["done"] == 1
    url = client.get(f"/images/{image}").json()["renditions"][0]["url"]
    gate.shut()
    assert client.get(url).status_code == 503
    assert client.delete(f"/images/{image}").status_code == 202
    assert client.get(f"/images/{image}").status_code == 404
    gate.open()
    assert len(stored(here)) == 4
    assert client.post("/images", content=other).status_code == 202
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        assert tidy(connection, here.store)["deleted"] == 0
        assert tidy(connection, here.store, age_seconds=0)["deleted"] == 1
        assert tidy(connection, here.store, age_seconds=0)["deleted"] == 0
    assert len(stored(here)) == 1


@pytest.mark.parametrize("kind", ["gate"])
def test_an_upload_that_breaks_in_the_middle_leaves_nothing(client: httpx.Client, here: Here, gate: Gate) -> None:
    assert client.post("/images", content=PHOTO).status_code == 202
    before = stored(here)
    large = pictures.encoded(pictures.photo(1600, 1200, seed=3), quality=95)
    gate.left = len(large) // 2
    assert client.post("/images", content=large).status_code == 503
    gate.open()
    assert stored(here) == before
    answer = client.post("/images", content=large)
    assert answer.status_code == 202
    here.resize()
    assert client.get(answer.headers["location"]).json()["state"] == "done"


def test_a_picture_deleted_during_the_work_goes_in_the_end(client: httpx.Client, here: Here) -> None:
    image = client.post("/images", content=PHOTO).json()["images"][0]
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        (batch,) = inbox.open_batches(connection, 1)
        keep = here.store.keep_renditions

        def delete_first(made: Mapping[Name, Path]) -> None:
            assert len(made) == 3
            assert client.delete(f"/images/{image['id']}").status_code == 204
            keep(made)

        here.store.keep_renditions = delete_first  # type: ignore[method-assign]
        assert work.resize_batch(connection, here.store, RECIPES, batch)["done"] == 0
        assert len(stored(here)) == 3
        tidy(connection, here.store, age_seconds=0)
    assert stored(here) == []
