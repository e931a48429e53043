"""An application on a real server, for a browser."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Page

from stack.ports import free_port

SCREENSHOTS = os.environ.get("MILLRACE_SCREENSHOTS")  # a folder to keep the pictures in


def keep(page: Page, name: str) -> None:
    """A picture of the whole page, for people to look at."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@contextmanager
def served(app: FastAPI, **options: Any) -> Iterator[str]:
    """The address of the application while it runs; `options` are those of uvicorn."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        yield f"{'https' if 'ssl_certfile' in options else 'http'}://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
