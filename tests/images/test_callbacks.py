"""Callbacks to a real HTTP server: signed, once when it works, again when it does not, and nowhere else."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from include.images import callbacks
from include.images.callbacks import Callbacks, deliver

SECRET = "shared secret"
BASE = "http://airflow.example/millrace"


@dataclass
class Receiver:
    """Answers as it is told, and keeps what it got."""

    origin: str = ""
    status: int = 204
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            stamp, _, signed = self.headers["Millrace-Signature"].removeprefix("t=").partition(",v1=")
            wanted = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
            assert hmac.compare_digest(signed, wanted)
            found.got.append((self.path, json.loads(body)))
            self.send_response(found.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        found.origin = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


def enter(warehouse: psycopg.Connection, url: str, state: str) -> UUID:
    """An uploaded picture in that state, with its callback due."""
    image, digest = uuid4(), uuid4().hex * 2
    warehouse.execute(
        "INSERT INTO millrace.image_source (digest, bytes, state, code, reason)"
        " VALUES (%s, 1, %s, 'broken', 'no pixels')",
        [digest, state],
    )
    warehouse.execute(
        "INSERT INTO millrace.image (image_id, digest, owner, file_name, callback_url, callback_due)"
        " VALUES (%s, %s, 'ann', 'a.jpg', %s, now())",
        [image, digest, url],
    )
    return image


def test_done_and_failed_are_told_once(warehouse: psycopg.Connection, receiver: Receiver) -> None:
    allowed = Callbacks(SECRET, (receiver.origin,))
    done, failed, _ = (enter(warehouse, f"{receiver.origin}/hook", state) for state in ("done", "failed", "accepted"))
    assert deliver(warehouse, allowed, BASE) == {"delivered": 2, "failed": 0, "given_up": 0}
    assert deliver(warehouse, allowed, BASE) == {"delivered": 0, "failed": 0, "given_up": 0}
    told = {body.pop("id"): body for path, body in receiver.got if path == "/hook"}
    bare = {"file_name": "a.jpg", "tags": [], "metadata": {}}
    assert told == {
        str(done): {"state": "done", **bare, "url": f"{BASE}/images/{done}", "facts": None},
        str(failed): {"state": "failed", **bare, "url": f"{BASE}/images/{failed}", "code": "broken",
                      "reason": "no pixels"},
    }  # fmt: skip


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_failure_is_tried_again_and_given_up(
    warehouse: psycopg.Connection, receiver: Receiver, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "FIRST_PAUSE_SECONDS", 0.0)
    receiver.status = status
    allowed = Callbacks(SECRET, (receiver.origin,))
    enter(warehouse, f"{receiver.origin}/hook", "done")
    outcomes = [deliver(warehouse, allowed, BASE) for _ in range(callbacks.ATTEMPTS + 1)]
    assert [found["failed"] for found in outcomes] == [1] * (callbacks.ATTEMPTS - 1) + [0, 0]
    assert [found["given_up"] for found in outcomes] == [0] * (callbacks.ATTEMPTS - 1) + [1, 0]
    assert [path for path, _ in receiver.got] == ["/hook"] * callbacks.ATTEMPTS
    found = warehouse.execute("SELECT callback_due, callback_answer FROM millrace.image").fetchone()
    assert found == (None, f"HTTP {status}")


def test_nobody_there_waits(warehouse: psycopg.Connection) -> None:
    origin = "http://127.0.0.1:1"
    enter(warehouse, f"{origin}/x", "done")
    assert deliver(warehouse, Callbacks(SECRET, (origin,)), BASE)["failed"] == 1
    due, answer = warehouse.execute(
        "SELECT callback_due - now() BETWEEN '5 s' AND '15 s', callback_answer FROM millrace.image"
    ).fetchone() or (None, "")
    assert due
    assert answer.startswith("ConnectError")


def test_what_is_not_allowed_any_more_is_not_called(warehouse: psycopg.Connection, receiver: Receiver) -> None:
    enter(warehouse, f"{receiver.origin}/hook", "done")
    assert deliver(warehouse, Callbacks(SECRET, ("https://hooks.example",)), BASE)["failed"] == 1
    assert receiver.got == []


@pytest.mark.parametrize("url", [
    "https://hooks.example.evil/", "https://hooks.example@evil/", "https://user:word@hooks.example/",
    "http://hooks.example/", "https://hooks.example:444/", "//hooks.example/", "https://[", "",
    "\x01https://hooks.example/", "https://hooks.example/\n", "https://hooks.example/\0", "https://hooks.example\\@evil/",
    "https://hooks.example/\u202e", "https://xn--/", "https:hooks.example", "https://hooks.example\t/",
])  # fmt: skip
def test_only_listed_origins_are_allowed(url: str) -> None:
    allowed = Callbacks(SECRET, ("https://hooks.example",))
    assert all(
        map(allowed.allows, ["https://hooks.example/a?b=c", "https://hooks.example:443/", "HTTPS://Hooks.Example"])
    )
    assert not allowed.allows(url)


@pytest.mark.parametrize("url", ["\x01{origin}/x", "{origin}/x\ny", "http://xn--/", "http://[", "{origin}:x/"])
def test_a_call_that_can_not_be_made_stops_no_other(
    warehouse: psycopg.Connection, receiver: Receiver, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one stored by an earlier version is."""
    allowed = Callbacks(SECRET, (receiver.origin, "http://xn--"))
    for path in range(5):
        enter(warehouse, f"{receiver.origin}/{path}", "done")
    bad = enter(warehouse, url.format(origin=receiver.origin), "done")
    assert deliver(warehouse, allowed, BASE) == {"delivered": 5, "failed": 1, "given_up": 0}
    monkeypatch.setattr(Callbacks, "allows", lambda *_: True)
    warehouse.execute("UPDATE millrace.image SET callback_due = now() WHERE callback_due IS NOT NULL")
    assert deliver(warehouse, allowed, BASE) == {"delivered": 0, "failed": 1, "given_up": 0}
    assert sorted(path for path, _ in receiver.got) == [f"/{path}" for path in range(5)], "each was called once"
    found = "SELECT callback_attempts, callback_answer IS NOT NULL FROM millrace.image WHERE image_id = %s"
    assert warehouse.execute(found, [bad]).fetchone() == (2, True)
