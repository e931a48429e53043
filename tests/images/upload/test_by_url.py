"""Pictures that are fetched by URL, from a real server that is slow, lies, or leads elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from include.images.limits import LIMITS
from include.images.upload import by_url
from include.images.upload.by_url import Sources
from stack.tls.authority import authority, sign
from tests.images.test_api import PHOTO, Here, stored
from tests.images.upload.other_server import Other, other_server, to, whole


@pytest.fixture
def other() -> Iterator[Other]:
    with other_server() as found:
        yield found


@pytest.fixture
def elsewhere() -> Iterator[Other]:
    """A server that is not listed, with a picture for who gets there."""
    with other_server() as found:
        found.answers["/a.jpg"] = whole(PHOTO)
        yield found


@pytest.fixture
def here(here: Here, other: Other) -> Here:
    here.sources = Sources((other.url(),))
    return here


def fetched(client: httpx.Client, url: str) -> httpx.Response:
    return client.post("/images/fetch", json={"url": url}, timeout=60)


def refused(client: httpx.Client, here: Here, url: str, status: int, said: str) -> None:
    answer = fetched(client, url)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
    assert stored(here) == []


def test_a_picture_is_fetched_and_made(client: httpx.Client, here: Here, other: Other) -> None:
    other.answers["/shop/caf%C3%A9.jpg?size=9"] = whole(PHOTO, content_type="text/html")
    answer = fetched(client, other.url("/shop/caf%C3%A9.jpg?size=9#part"))
    assert answer.status_code == 202, answer.text
    (image,) = answer.json()["images"]
    assert (image["file_name"], image["bytes"], image["state"]) == ("café.jpg", len(PHOTO), "accepted")
    assert answer.headers["location"] == image["url"]
    digest = hashlib.sha256(PHOTO).hexdigest()
    assert stored(here) == [f"source/{digest[:2]}/{digest}"]
    here.resize()
    assert client.get(image["url"]).json()["state"] == "done"
    (head,) = other.heads
    assert f"Host: 127.0.0.1:{other.port}\r\n" in head
    assert "authorization" not in head.lower()
    assert "cookie" not in head.lower()


def test_it_takes_what_an_upload_takes(client: httpx.Client, here: Here, other: Other) -> None:
    other.answers["/a.jpg"] = whole(PHOTO)
    asked = {"focal": "0.3,0.7", "callback_url": "https://hooks.example/x"}
    answer = client.post("/images/fetch", json={"url": other.url("/a.jpg")}, params=asked)
    assert client.get(answer.json()["images"][0]["url"]).json()["focal"] == [0.3, 0.7]
    for wrong in ({"recipes": "nowhere"}, {"focal": "2,2"}, {"callback_url": "https://evil.example/"}):
        answer = client.post("/images/fetch", json={"url": other.url("/a.jpg")}, params=wrong)
        assert answer.status_code == 422
    assert len(other.heads) == 1


def test_without_the_connection_nothing_is_fetched(client: httpx.Client, here: Here, other: Other) -> None:
    here.sources = Sources()
    refused(client, here, other.url("/a.jpg"), 422, "set the Connection image_sources")
    assert other.heads == []


@pytest.mark.parametrize("asked", [
    "http://127.0.0.1:1/a.jpg", "https://127.0.0.1:{port}/a.jpg", "http://localhost:{port}/a.jpg", "file:///etc/passwd",
    "http://user:word@127.0.0.1:{port}/a.jpg", "http://127.0.0.1:{port}@evil.example/", "http://[", "", "//127.0.0.1",
    "http://127.0.0.1:{port}\\@evil.example/", "http://127.1:{port}/", "http://2130706433:{port}/", "gopher://127.0.0.1",
    "http://127.0.0.1:{port}/\n", "http://[::ffff:127.0.0.1]:{port}/", "http://127.0.0.1:{port}/\0", "http://xn--/",
])  # fmt: skip
def test_only_listed_origins_are_asked(client: httpx.Client, here: Here, other: Other, asked: str) -> None:
    refused(client, here, asked.replace("{port}", str(other.port)), 422, "its origin is not allowed")
    assert other.heads == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_within_what_is_listed_is_followed(
    client: httpx.Client, here: Here, other: Other, status: str
) -> None:
    other.answers |= {"/old": to("/newer", status), "/newer": to(other.url("/a.jpg"), status), "/a.jpg": whole(PHOTO)}
    answer = fetched(client, other.url("/old"))
    assert answer.status_code == 202, answer.text
    assert answer.json()["images"][0]["file_name"] == "old"


@pytest.mark.parametrize("leads", [
    "http://127.0.0.1:{port}/a.jpg", "//127.0.0.1:{port}/a.jpg", "http://localhost:{port}/a.jpg",
    "http://169.254.169.254/latest/meta-data/", "http://[::1]:{port}/a.jpg", "file:///etc/passwd", "http://0:{port}/a.jpg",
    "https://127.0.0.1:{own}/a.jpg", "http://x@127.0.0.1:{own}/a.jpg",
])  # fmt: skip
def test_a_redirect_leads_nowhere_else(
    client: httpx.Client, here: Here, other: Other, elsewhere: Other, leads: str
) -> None:
    leads = leads.replace("{port}", str(elsewhere.port)).replace("{own}", str(other.port))
    other.answers |= {"/old": to(leads), "/a.jpg": whole(PHOTO)}
    refused(client, here, other.url("/old"), 422, "whose origin is not allowed")
    assert elsewhere.heads == []
    assert len(other.heads) == 1


def test_redirects_have_an_end(client: httpx.Client, here: Here, other: Other) -> None:
    other.answers["/a.jpg"] = to("/a.jpg")
    refused(client, here, other.url("/a.jpg"), 502, "redirected more than 3 times")
    assert len(other.heads) == 4


@pytest.mark.parametrize("status", ["404 Not Found", "500 Broken", "204 No Content", "206 Partial", "304 Not Modified"])
def test_what_the_other_server_answered_is_told(client: httpx.Client, here: Here, other: Other, status: str) -> None:
    other.answers["/a.jpg"] = whole(b"" if status[0] in "23" else PHOTO, status)
    refused(client, here, other.url("/a.jpg"), 502, f"answered {status[:3]}")


@pytest.mark.parametrize(("body", "status", "said"), [
    (b"<html>", 415, "web page"), (b"", 400, "the file is empty"), (gzip.compress(PHOTO), 415, "expected JPEG"),
], ids=["page", "empty", "packed"])  # fmt: skip
def test_what_is_no_picture_is_not_taken(
    client: httpx.Client, here: Here, other: Other, body: bytes, status: int, said: str
) -> None:
    other.answers["/a.jpg"] = whole(body, content_type="image/jpeg")
    refused(client, here, other.url("/a.jpg"), status, said)


def test_what_is_packed_is_not_unpacked(client: httpx.Client, here: Here, other: Other) -> None:
    bomb = gzip.compress(bytes(200_000_000), 1)
    other.answers["/a.jpg"] = whole(bomb, content_encoding="gzip", content_type="image/jpeg")
    refused(client, here, other.url("/a.jpg"), 502, "sent it packed by gzip")


def test_what_is_announced_as_too_large_is_not_read(client: httpx.Client, here: Here, other: Other) -> None:
    other.answers["/a.jpg"] = whole(PHOTO, content_length=str(LIMITS.file_bytes + 1))
    refused(client, here, other.url("/a.jpg"), 413, "larger than 50 MB")


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_without_an_end_is_cut_off(client: httpx.Client, here: Here, other: Other, chunked: bool) -> None:
    here.limits, sent = replace(LIMITS, file_bytes=1_000_000), itertools.count()

    def endless(connection: socket.socket) -> None:
        more = b"transfer-encoding: chunked\r\n" if chunked else b""
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + more + b"\r\n")
        part = PHOTO[:1000] + bytes(65536)
        for _ in sent:
            connection.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n" if chunked else part)

    other.answers["/a.jpg"] = endless
    refused(client, here, other.url("/a.jpg"), 413, "larger than 1 MB")
    assert next(sent) < 1000, "it could send no more than what lies in buffers"


def test_a_body_shorter_than_announced_broke_off(client: httpx.Client, here: Here, other: Other) -> None:
    other.answers["/a.jpg"] = whole(PHOTO, content_length=str(len(PHOTO) + 1))
    refused(client, here, other.url("/a.jpg"), 502, "failed")


def test_a_body_longer_than_announced_ends_there(client: httpx.Client, here: Here, other: Other) -> None:
    other.answers["/a.jpg"] = whole(PHOTO, content_length="5000")
    assert fetched(client, other.url("/a.jpg")).json()["images"][0]["bytes"] == 5000


@pytest.mark.parametrize("nonsense", [b"", b"HTTP/1.1 200\r\nno header\r\n\r\n", b"\x16\x03\x01", b"HTTP/1.1 200 OK\r\n"
                                      + b"x: " + b"y" * 200_000 + b"\r\n\r\n"], ids=range(4))  # fmt: skip
def test_what_is_no_http_is_told(client: httpx.Client, here: Here, other: Other, nonsense: bytes) -> None:
    other.answers["/a.jpg"] = lambda connection: connection.sendall(nonsense)
    refused(client, here, other.url("/a.jpg"), 502, "failed")


def test_nobody_there_is_told(client: httpx.Client, here: Here) -> None:
    here.sources = Sources(("http://127.0.0.1:1",))
    refused(client, here, "http://127.0.0.1:1/a.jpg", 502, "failed")


@pytest.mark.parametrize("begun", [False, True])
def test_one_that_takes_too_long_holds_nobody_up(
    client: httpx.Client, here: Here, other: Other, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_url, "SECONDS", 3.0)
    asked, end = threading.Event(), threading.Event()

    def slow(connection: socket.socket) -> None:
        if begun:
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n" + PHOTO[:1000])
        asked.set()
        while begun and not end.wait(0.05):  # no pause is long enough for a limit of each read
            connection.sendall(b"x")
        end.wait(30)

    other.answers["/a.jpg"] = slow
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(httpx.post(
        f"{client.base_url}/images/fetch", json={"url": other.url("/a.jpg")}, headers=client.headers, timeout=60,
    )))  # fmt: skip
    thread.start()
    assert asked.wait(20)
    assert client.get("/counts").json()["done"] == 0
    assert not answers, "others are served meanwhile"
    thread.join()
    end.set()
    assert answers[0].status_code == 504
    assert "took too long" in answers[0].json()["detail"]
    assert stored(here) == []


def test_no_more_than_some_are_fetched_at_a_time(client: httpx.Client, here: Here, other: Other) -> None:
    asked, end = threading.Semaphore(0), threading.Event()

    def hang(connection: socket.socket) -> None:
        asked.release()
        end.wait(30)
        whole(PHOTO)(connection)

    other.answers["/a.jpg"] = hang
    threads = [threading.Thread(target=fetched, args=(client, other.url("/a.jpg"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert asked.acquire(timeout=20)
    busy = fetched(client, other.url("/a.jpg"))
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "30")
    end.set()
    for thread in threads:
        thread.join()
    assert fetched(client, other.url("/a.jpg")).status_code == 202


def test_a_name_must_lead_to_public_addresses(client: httpx.Client, here: Here, other: Other) -> None:
    """`localhost` is a name that every machine knows, and that leads to loopback."""
    other.answers["/a.jpg"] = whole(PHOTO)
    url = other.url("/a.jpg", host="localhost")
    here.sources = Sources((other.url(host="localhost"),))
    refused(client, here, url, 422, "localhost leads to an address")
    assert other.heads == []
    here.sources = replace(here.sources, private=True)
    assert fetched(client, url).status_code == 202
    assert f"Host: localhost:{other.port}\r\n" in other.heads[0]


def test_a_name_that_nobody_knows_is_told(client: httpx.Client, here: Here) -> None:
    here.sources = Sources(("http://nowhere.invalid",))
    refused(client, here, "http://nowhere.invalid/a.jpg", 502, "failed")


@pytest.mark.parametrize(("address", "plain", "private", "listed"), [
    ("8.8.8.8", True, True, True), ("2606:4700::1111", True, True, True), ("10.1.2.3", False, True, True),
    ("127.0.0.1", False, True, True), ("::1", False, True, True), ("fd00:ec2::254", False, True, True),
    ("100.100.100.200", False, True, True), ("::ffff:10.0.0.1", False, True, True),
    ("169.254.169.254", False, False, False), ("::ffff:169.254.169.254", False, False, False),
    ("fe80::1%lo", False, False, False), ("0.0.0.0", False, False, False), ("::", False, False, False),
    ("224.0.0.1", False, False, False),
    # Those of IPv6 that lead to one of IPv4: NAT64, 6to4, compatible.
    ("64:ff9b::a9fe:a9fe", False, False, False),
    ("64:ff9b::a00:1", False, True, True),
    ("64:ff9b::5db8:d822", True, True, True),
    ("2002:a9fe:a9fe::1", False, False, False),
    ("2002:a00:1::1", False, True, True),
    ("::10.0.0.1", False, True, True),
    ("::169.254.169.254", False, False, False),
])  # fmt: skip
def test_which_addresses_may_be_called(address: str, plain: bool, private: bool, listed: bool) -> None:
    assert Sources().reaches(address, listed=False) is plain
    assert Sources(private=True).reaches(address, listed=False) is private
    assert Sources().reaches(address, listed=True) is listed


@pytest.mark.parametrize(("name", "status"), [("localhost", 202), ("other.example", 502)])
def test_a_certificate_must_be_for_the_name(
    client: httpx.Client, here: Here, tmp_path: Path, name: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = authority("a CA")
    signed = sign(by, [name])
    for file, text in (("ca", by.certificate), ("certificate", signed.certificate), ("key", signed.key)):
        (tmp_path / file).write_bytes(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca"))
    by_url._trust.cache_clear()
    with other_server(context) as secure:
        secure.answers["/a.jpg"] = whole(PHOTO)
        here.sources = Sources((secure.url(host="localhost", scheme="https"),), private=True)
        answer = fetched(client, secure.url("/a.jpg", host="localhost", scheme="https"))
    by_url._trust.cache_clear()
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"url": 1}', b'{"url": null}', b"[]", b'{"url": "' + b"x" * 5000 + b'"}']
)
def test_a_body_that_names_no_url_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/images/fetch", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
