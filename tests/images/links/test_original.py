"""The file as it was uploaded: sent whole or in part, saved and never shown, and only to who may have it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import quote, unquote

import httpx
import psycopg
import pytest
from fastapi import HTTPException
from playwright.sync_api import Browser
from starlette.middleware.gzip import GZipMiddleware

from include.images.answers import serve
from include.images.limits import KINDS
from include.images.store import FolderStore, NotStored, source_key
from tests.images import pictures
from tests.images.gate import Gate
from tests.images.places import Place
from tests.images.test_api import PHOTO, TOKEN, Here, both_kinds
from tests.served import served

NAMES = [
    "a.jpg", "a b.jpg", 'a"b.jpg', "a\\b.jpg", "été 東京.jpg", "100%25.jpg", "a;b=c.jpg", "a'b.jpg", "نوع.jpg",
    "🌄.jpg", "no suffix",
]  # fmt: skip


def uploaded(client: httpx.Client, data: bytes = PHOTO, name: str = "a.jpg") -> str:
    """The id of a fresh upload."""
    answer = client.post("/images", content=data, headers={"X-File-Name": quote(name)})
    found: str = answer.json()["images"][0]["id"]
    return found


@both_kinds
def test_it_is_what_was_uploaded(client: httpx.Client, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    found = client.get(f"/images/{uploaded(client)}").json()
    assert found["original"] == f"/images/{found['id']}/original"
    early = client.get(found["original"])
    assert (early.content, early.headers["content-type"]) == (PHOTO, "application/octet-stream"), "nothing is known yet"
    here.resize()
    monkeypatch.setattr(serve, "BLOCK_BYTES", 1000)
    file, size = client.get(found["original"]), len(PHOTO)
    assert size > 3000
    assert (file.status_code, file.content, file.headers["content-type"]) == (200, PHOTO, "image/jpeg")
    assert file.headers["etag"] == f'"{hashlib.sha256(PHOTO).hexdigest()}"'
    assert file.headers["x-content-type-options"] == "nosniff"
    assert file.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert file.headers["cache-control"] == "private, no-cache"
    assert file.headers["content-disposition"] == 'attachment; filename="a.jpg"'
    assert "access-control-allow-origin" not in file.headers
    for header, status, content in (
        ("bytes=500-2600", 206, PHOTO[500:2601]), ("bytes=-1500", 206, PHOTO[-1500:]), (f"bytes={size}-", 416, b""),
    ):  # fmt: skip
        part = client.get(found["original"], headers={"Range": header})
        assert (part.status_code, part.content) == (status, content)
    head = client.head(found["original"])
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(size))
    assert client.get(found["original"], headers={"If-None-Match": file.headers["etag"]}).status_code == 304


def test_a_file_that_failed_can_be_fetched_and_one_that_is_gone_can_not(client: httpx.Client, here: Here) -> None:
    torn = uploaded(client, PHOTO[:4000])
    here.resize()
    found = client.get(f"/images/{torn}").json()
    assert found["state"] == "failed"
    assert client.get(found["original"]).content == PHOTO[:4000]
    here.store.drop(found["source"]["digest"])
    assert client.get(found["original"]).status_code == 404
    undo = client.delete(f"/images/{torn}", params={"undo": True}).json()["undo"]
    assert client.get(found["original"]).json()["detail"] == f"there is no image {torn}"
    client.post(f"/undo/{undo}")
    assert client.get("/images/no-uuid/original").status_code == 422


def test_the_media_type_is_of_the_kind_that_was_found(client: httpx.Client, here: Here) -> None:
    image = uploaded(client, pictures.encoded(pictures.photo(), "PNG"), "page.html")
    here.resize()
    assert client.get(f"/images/{image}/original").headers["content-type"] == "image/png"
    kinds = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "AVIF": "avif", "HEIC": "heic", "TIFF": "tiff",
             "BMP": "bmp", "JXL": "jxl"}  # fmt: skip
    assert set(KINDS) == kinds.keys()
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        for kind, media in {**{kind: f"image/{name}" for kind, name in kinds.items()},
                            "SVG": "application/octet-stream"}.items():  # fmt: skip
            connection.execute("UPDATE millrace.image_source SET format = %s", [kind])
            assert client.get(f"/images/{image}/original").headers["content-type"] == media


def test_it_is_not_packed_on_the_way(here: Here) -> None:
    here.app.add_middleware(GZipMiddleware, minimum_size=1024)  # as Airflow has it
    with served(here.app) as url, httpx.Client(base_url=url, headers=TOKEN) as client:
        image = uploaded(client, pictures.encoded(pictures.photo(), "BMP"))
        here.resize()
        answer = client.get(f"/images/{image}/original")
        assert answer.headers["content-type"] == "image/bmp"
        assert int(answer.headers["content-length"]) == len(answer.content) == answer.num_bytes_downloaded


@pytest.mark.parametrize("name", NAMES)
def test_the_header_has_one_line_and_the_name_whole(client: httpx.Client, name: str) -> None:
    header = client.get(f"/images/{uploaded(client, name=name)}/original").headers["content-disposition"]
    assert header.isascii()
    assert header.startswith('attachment; filename="')
    kept = client.get("/images").json()["images"][0]["file_name"]
    _, _, exact = header.partition("; filename*=UTF-8''")
    assert unquote(exact) == kept if exact else header.endswith(f'"{kept}"')


@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_a_browser_saves_it_under_its_name(browser: Browser, client: httpx.Client, url: str, name: str) -> None:
    image = uploaded(client, name=name)
    kept = client.get(f"/images/{image}").json()["file_name"]
    page = browser.new_page()
    with page.expect_download() as saved:
        page.evaluate(f"location = '{url}/images/{image}/original'")
    assert Path(saved.value.path()).read_bytes() == PHOTO
    odd = str.maketrans({'"': "_", "\\": "_"})  # what a file of some system can't be called, a browser replaces
    assert saved.value.suggested_filename.translate(odd) == kept.translate(odd)
    page.close()


def test_who_may_see_and_upload_may_not_have_it(client: httpx.Client, url: str, here: Here) -> None:
    def refused() -> None:
        raise HTTPException(403, "no")

    image = uploaded(client)
    here.app.dependency_overrides[here.guards.original] = refused
    for method in ("GET", "HEAD"):
        assert client.request(method, f"/images/{image}/original").status_code == 403
    assert client.get(f"/images/{image}").status_code == 200
    assert httpx.post(f"{url}/images", content=PHOTO, headers=TOKEN).status_code == 202


@pytest.mark.parametrize("kind", ["gate"])
def test_a_store_out_of_reach_is_told(client: httpx.Client, gate: Gate) -> None:
    image = uploaded(client)
    gate.shut()
    assert client.get(f"/images/{image}/original").status_code == 503
    gate.open()
    assert client.get(f"/images/{image}/original").content == PHOTO


def test_a_link_in_its_place_is_not_followed(client: httpx.Client, place: Place, tmp_path: Path) -> None:
    image = uploaded(client)
    assert isinstance(place.store, FolderStore)
    digest = hashlib.sha256(PHOTO).hexdigest()
    stored = place.store.root / source_key(digest)
    (tmp_path / "secret").write_bytes(PHOTO[::-1])
    stored.unlink()
    stored.symlink_to(tmp_path / "secret")
    assert client.get(f"/images/{image}/original").status_code == 404
    stored.unlink()
    os.mkfifo(stored)
    with pytest.raises((NotStored, OSError)):
        place.store.read_source(digest, 0, 100)
