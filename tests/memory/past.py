"""A made-up past of a process, kept as the audit would have kept it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import psycopg

from include.memory.shipping import entries
from include.memory.watcher.sample import Incarnation, Sample

HOURS, MB = 30.0, 1e6
Grown = Callable[[float], float]


def past(connection: psycopg.Connection, process: Incarnation, grown: Grown, *, until_minutes: float = 1.0) -> None:
    """A history of a process: 200 MB, and so many more by the hour of its life; a look each ten minutes."""
    now = time.time() - 60 * until_minutes
    samples: list[dict[str, Any]] = []
    noise = np.random.default_rng(1)
    for minutes in range(0, int(60 * HOURS), 10):
        hour = minutes / 60
        taken_at = now - 3600 * (HOURS - hour)
        used = round(200 * MB + MB * grown(hour) + noise.normal(0, 0.2 * MB))
        blocks = round((150 * MB + MB * grown(hour)) / 80 + noise.normal(0, 500))
        counters: dict[str, Any] = {
            "taken_at": taken_at, "blocks": blocks, "objects": blocks / 4, "heap_bytes": 60 * MB, "free_bytes": 2 * MB,
            "collected": True,
        }  # fmt: skip
        found = Sample(process, taken_at, 3600 * hour, used, used, 0, 4, used, used, 20)
        samples.append({"role": "worker", "limit_bytes": None, "counters": counters, **asdict(found)})
    entries.add_samples(connection, {"release": "one", "samples": samples})


def leaks(hour: float) -> float:
    """Six MB an hour."""
    return 6.0 * hour
