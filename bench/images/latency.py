"""The latency part: seconds from the answer to an upload until all renditions are there, on an Airflow with no work."""

from __future__ import annotations

import secrets
import time
from typing import Any

from bench.airflow import wait_for
from bench.figures import Figure, Row, Runs, rounded
from bench.images.door import Door
from bench.images.photos import SMALL, make
from bench.report import Sheet
from stack.errors import StackError

FULL, QUICK = 5, 2
MOST_SECONDS, LOOK_SECONDS, REST_SECONDS = 60.0, 0.1, 2.0


def measure(bench: Any) -> Runs:
    """One small picture at a time; each waits until the DAG rests."""
    door: Door = bench.door
    picture, found = make(bench.folder, SMALL, 1)[0], Runs()
    door.empty()

    def one() -> Row:
        door.await_idle()
        time.sleep(REST_SECONDS)
        image_id, began = door.post(picture, secrets.token_hex(16).encode()), time.perf_counter()
        if not wait_for(lambda: door.image(image_id)["state"] in ("done", "failed"), MOST_SECONDS, LOOK_SECONDS):
            raise StackError(f"a small picture was not done {MOST_SECONDS:.0f} s after the answer to its upload")
        seconds, shown = time.perf_counter() - began, door.image(image_id)
        if shown["state"] == "failed":
            raise StackError(f"the picture failed: {shown['reason']}")
        bench.say(f"  {seconds:.2f} s")
        return {"s": seconds}

    found.take_turns({"": one}, QUICK if bench.quick else FULL, warm_up=1)  # what Airflow reads only once is in memory
    door.await_idle()
    return found


def sheets(found: Runs) -> list[Sheet]:
    """Each picture."""
    return [Sheet.of("From 202 to all renditions, one picture, idle Airflow", "picture", found.by[""])]


def figures(found: Runs | None) -> list[Figure]:
    """Seconds until one picture is done."""
    seconds = rounded((found or Runs()).median("", "s"), 2)
    return [Figure("s from 202 to all renditions, idle Airflow", seconds, 10.0, 4.0, unit="s")]
