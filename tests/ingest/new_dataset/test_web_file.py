"""A file of a web server, reached as Airflow's tasks reach it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.bridge import ingest
from include.ingest.infer.said import Said
from include.ingest.new_dataset.draft import asked_for, draft
from include.ingest.plan import Order
from include.ingest.run import run
from tests.ingest.loading import DAY

ROWS = b"id,label\n" + b"".join(b"%d,thing %d\n" % (n, n) for n in range(1, 50))


class Ranges(BaseHTTPRequestHandler):
    """Answers with the part that is asked for."""

    def do_HEAD(self) -> None:
        """Its size."""
        self._answer(200, ROWS, body=False)

    def do_GET(self) -> None:
        """A part, or all of it."""
        found = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if found:
            self._answer(206, ROWS[int(found[1]) : int(found[2]) + 1])
        else:
            self._answer(200, ROWS)

    def _answer(self, status: int, data: bytes, *, body: bool = True) -> None:
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"one"')
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """Of the server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Ranges) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def test_it_becomes_a_dataset_that_loads(
    warehouse: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("MILLRACE_SCRATCH", str(tmp_path))
    monkeypatch.setenv("MILLRACE_ROOTS", f"{address}/")
    storage = ingest.storage()
    found = draft(asked_for(f"{address}/things_2026-03-01.csv", None, Said()), storage, "/in")
    assert (found.rows, found.dataset.source) == (49, f"{address}/things_{{{{ ds }}}}.csv")
    place = f"{address}/things_2026-03-01.csv"
    account = run(warehouse, found.dataset, Order(uuid4(), place, DAY, storage=storage))
    assert (account.status, account.inserted) == ("done", 49)
