"""Waiting for what happens elsewhere. A limit only ends a test that hangs; how long something takes is no test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from stack.api import AirflowApi

PATIENCE_SECONDS = 600.0


def until(holds: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS, every: float = 0.3) -> None:
    """Wait until `holds()`, looking `every` so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(every)


def appeared(api: AirflowApi, dag: str) -> None:
    """Wait until Airflow knows that DAG."""
    until(lambda: (api.get(f"dags/{dag}") or {}).get("is_stale") is False, f"{dag} to appear")
