"""What clients really send: curl, old libraries, browsers, link checkers; and what no client should."""

from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest

from include.images.limits import LIMITS
from tests.images.test_api import PHOTO, TOKEN, Here, stored

BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}


def form(disposition: str, *more: str) -> bytes:
    """A form of one part with the photo."""
    head = "\r\n".join([f"Content-Disposition: form-data{disposition}", *more])
    return b"--b\r\n" + head.encode() + b"\r\n\r\n" + PHOTO + b"\r\n--b--\r\n"


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 202, answer.text
    return [image["file_name"] for image in answer.json()["images"]]


@pytest.mark.parametrize(("body", "name"), [
    (form("; name=f; filename=\"a.jpg\""), "a.jpg"),
    (form("; name=f; filename*=UTF-8''%C3%A9t%C3%A9.jpg"), "été.jpg"),
    (form("; name=f; filename=\"ete.jpg\"; filename*=utf-8'fr'%C3%A9t%C3%A9.jpg"), "été.jpg"),
    (form("; name=f; filename*=iso-8859-1''%E9t%E9.jpg; filename=x"), "été.jpg"),
    (form("; name=f; filename*=\"UTF-8''%E6%9D%B1.jpg\""), "東.jpg"),
    (form("; name=f; filename=\"été.jpg\""), "été.jpg"),
    (form("; name=f", "Content-Type: image/jpeg"), "upload"),
    (form("; name=f; filename=\"\"", "Content-Type: image/jpeg"), "upload"),
], ids=range(8))  # fmt: skip
def test_a_part_that_is_a_file_is_taken_as_one(client: httpx.Client, body: bytes, name: str) -> None:
    assert names(client.post("/images", content=body, headers=BOUNDARY)) == [name]


@pytest.mark.parametrize(
    "sent", ["été 東京.jpg".encode(), "été 東京.jpg".encode("latin-1", "ignore"), b"%C3%A9t%C3%A9"]
)
def test_a_name_in_a_header_is_read_as_utf_8_where_it_is(client: httpx.Client, sent: bytes) -> None:
    (name,) = names(client.post("/images", content=PHOTO, headers={b"X-File-Name": sent}))
    assert name.startswith("été")


def test_curl_needs_no_header(url: str, tmp_path: object) -> None:
    curl = shutil.which("curl")
    assert curl, "apt-get install curl"
    command = [curl, "-sS", "--data-binary", "@-", "-H", "Authorization: Bearer x", f"{url}/images"]
    done = subprocess.run(command, input=PHOTO, capture_output=True, check=True, timeout=60)
    assert b'"state":"accepted"' in done.stdout


def test_head_and_options(client: httpx.Client, here: Here) -> None:
    image = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    here.resize()
    rendition = client.get(f"/images/{image}").json()["renditions"][0]["url"]
    for path in ("/images", f"/images/{image}", rendition, "/counts"):
        got, asked = client.get(path), client.head(path)
        assert (asked.status_code, asked.content) == (200, b"")
        lasting = ("content-length", "content-type", "etag", "cache-control", "accept-ranges")
        assert {name: asked.headers.get(name) for name in lasting} == {name: got.headers.get(name) for name in lasting}
    assert client.head(rendition, headers={"Range": "bytes=0-9"}).headers["content-length"] == "10"
    assert client.head("/images/no-uuid").status_code == 422
    assert client.head(f"/images/{image}/none.jpg").status_code == 404
    for path, allowed in (("/images", "DELETE, GET, HEAD, OPTIONS, POST"), (rendition, "GET, HEAD, OPTIONS")):
        told = httpx.options(f"{client.base_url}{path}")
        assert (told.status_code, told.headers["allow"], told.content) == (204, allowed, b"")


def test_what_no_client_should_send_is_no_fault_of_the_server(client: httpx.Client, here: Here) -> None:
    image = client.post("/images", content=PHOTO).json()["images"][0]["id"]
    here.resize()
    long = {"Content-Type": f"multipart/form-data; boundary={'b' * 300}"}
    assert client.post("/images", content=b"--b", headers=long).status_code == 400
    for file in ("%00.jpg", "large.jpg%00", "large%00.jpg"):
        assert client.get(f"/images/{image}/{file}").status_code == 404
    for callback in (
        "https://hooks.example/%00",
        "%01https://hooks.example/",
        "https://hooks.example/%0Ax",
        "%ED%A0%80",
    ):
        assert client.post(f"/images?callback_url={callback}", content=PHOTO).status_code == 422
    with httpx.Client(base_url=client.base_url) as cookie:
        for origin in ("http://[bad", "http://[::1", "null", "x", "http://"):
            assert cookie.post("/images", content=PHOTO, headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("scheme", ["Basic dXNlcjp3b3Jk", "Negotiate x", "bearerish x", "Bearer"])
def test_only_a_bearer_token_is_the_clients_own(url: str, scheme: str) -> None:
    headers = {"Authorization": scheme, "Origin": "https://evil.example"}
    assert httpx.post(f"{url}/images", content=PHOTO, headers=headers).status_code == 403


def test_too_long_a_request_is_refused_before_it_comes(url: str, here: Here) -> None:
    here.limits = replace(LIMITS, request_bytes=3_000_000)
    for kind in ("image/jpeg", "multipart/form-data; boundary=b"):
        head = f"POST /images HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Type: {kind}\r\n"
        with _connect(url) as caller:
            caller.sendall(f"{head}Content-Length: 99000000000000\r\n\r\n".encode())
            assert caller.recv(100).startswith(b"HTTP/1.1 413")
    assert stored(here) == []


def test_a_client_that_leaves_is_no_error(url: str, here: Here, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for kind in ("image/jpeg", "multipart/form-data; boundary=b"):
            head = f"POST /images HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Type: {kind}\r\n"
            with _connect(url) as caller:
                caller.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode() + form("; filename=f")[:9000])
                time.sleep(0.3)
        assert httpx.get(f"{url}/counts", headers=TOKEN).json()["accepted"] == 0
        _until_empty(here)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def _until_empty(here: Here) -> None:
    deadline = time.monotonic() + 20
    while stored(here):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), 20)
