"""A clock that is wrong is told in the log of the task that has to wait for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from include.bridge import clock


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """An API server; called with seconds, it is so much behind from then on."""
    behind = 0.0

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(404)
            self.send_header("Date", format_datetime(datetime.now(UTC) - timedelta(seconds=behind), usegmt=True))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    def turn(seconds: float) -> None:
        nonlocal behind
        behind = seconds

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{server.server_address[1]}/execution/"
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", where)
        yield turn
        server.shutdown()


@pytest.mark.parametrize(("behind", "told"), [(0, False), (-3600, False), (3600, True)])
def test_who_is_ahead_is_told(
    server: Callable[[float], None], caplog: pytest.LogCaptureFixture, behind: float, told: bool
) -> None:
    server(behind)
    with caplog.at_level(logging.ERROR, "millrace"):
        clock.say_if_ahead({})
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == told
    assert all("36" in line and "set the clock, and clear this task" in line for line in lines)


def test_a_server_that_does_not_answer_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://127.0.0.1:9/execution/")
    clock.say_if_ahead({})
    assert not caplog.records
