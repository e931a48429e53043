"""The latency part: seconds from the answer to an upload until all renditions are there, on an Airflow with no work."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from bench.images.door import Door, wait_for
from bench.images.photos import SMALL, make
from stack.errors import StackError

FULL, QUICK = 5, 2
MOST_SECONDS = 60.0
LOOK_SECONDS = 0.1
REST_SECONDS = 2.0


def measure(folder: Path, door: Door, times: int, say: Callable[[str], None]) -> list[float]:
    """One small picture at a time, so many times; each waits until the DAG rests."""
    picture = make(folder, SMALL, 1)[0]
    door.empty()
    found = []
    for number in range(times + 1):  # the first brings what Airflow reads only once into memory, and does not count
        door.await_idle()
        time.sleep(REST_SECONDS)
        seconds = _one(picture, door)
        say(f"  {seconds:.2f} s" + ("" if number else " (warm-up)"))
        found += [seconds] if number else []
    door.await_idle()
    return found


def _one(picture: Path, door: Door) -> float:
    image_id = door.post(picture, secrets.token_hex(16).encode())
    began = time.perf_counter()

    def ended() -> str | None:
        shown = door.image(image_id)
        if shown["state"] == "failed":
            raise StackError(f"the picture failed: {shown['reason']}")
        return "done" if shown["state"] == "done" else None

    if wait_for(ended, MOST_SECONDS, LOOK_SECONDS) is None:
        raise StackError(f"a small picture was not done {MOST_SECONDS:.0f} s after the answer to its upload")
    return time.perf_counter() - began
