"""The latency part: seconds from the answer to an upload until all renditions are there, on an Airflow with no work."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from bench.airflow import wait_for
from bench.figures import Figure, Runs, Say, rounded
from bench.images.door import Door
from bench.images.photos import SMALL, make
from bench.report import Sheet
from stack.errors import StackError

FULL, QUICK = 5, 2
MOST_SECONDS, LOOK_SECONDS, REST_SECONDS = 60.0, 0.1, 2.0
Found = Runs[str, float]


def measure(folder: Path, door: Door, times: int, say: Say) -> Found:
    """One small picture at a time, so many times; each waits until the DAG rests."""
    picture = make(folder, SMALL, 1)[0]
    door.empty()

    def one() -> float:
        door.await_idle()
        time.sleep(REST_SECONDS)
        seconds = _one(picture, door)
        say(f"  {seconds:.2f} s")
        return seconds

    found: Found = Runs()
    found.take_turns({"": one}, times, warm_up=1)  # brings what Airflow reads only once into memory
    door.await_idle()
    return found


def _one(picture: Path, door: Door) -> float:
    image_id = door.post(picture, secrets.token_hex(16).encode())
    began = time.perf_counter()

    def ended() -> bool:
        shown = door.image(image_id)
        if shown["state"] == "failed":
            raise StackError(f"the picture failed: {shown['reason']}")
        return bool(shown["state"] == "done")

    if not wait_for(ended, MOST_SECONDS, LOOK_SECONDS):
        raise StackError(f"a small picture was not done {MOST_SECONDS:.0f} s after the answer to its upload")
    return time.perf_counter() - began


def sheets(found: Found) -> list[Sheet]:
    """Each picture."""
    rows = [["median", f"{found.median('', float):.2f}"]]
    rows += [[f"picture {number}", f"{seconds:.2f}"] for number, seconds in enumerate(found.by[""], 1)]
    return [Sheet("From 202 to all renditions, one picture, idle Airflow", ["picture", "s"], rows)]


def figures(found: Found | None) -> list[Figure]:
    """Seconds until one picture is done."""
    seconds = rounded(found.median("", float), 2) if found else None
    return [Figure("s from 202 to all renditions, idle Airflow", seconds, 10.0, 4.0, unit="s")]
