"""A made-up deployment for the page: a scheduler that leaks, a worker that grows with one task, and steady ones.

A look a minute, two releases, a restart, profiles, and tries of tasks. Written in bulk, straight into the tables.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from psycopg import Connection

from include.memory.watcher.sample import Incarnation

HOST, MB = "airflow-1", 1e6
LEAKING = Incarnation(HOST, 4711, 9_000_000)
BEFORE = Incarnation(HOST, 1200, 100_000)
WORKER = Incarnation(HOST, 4730, 9_000_300)
Memory = Callable[[float], float]  # MB by the hour of its life


@dataclass(frozen=True)
class Life:
    """A process: when it began and was seen last, in hours before now, and what it took."""

    process: Incarnation
    role: str
    began: float
    seen: float
    memory: Memory
    verdict: tuple[Any, ...] | None  # verdict, kind, why, rate, low, high, hours left
    forks: bool = False


def steady(level: float, noise: float = 0.4) -> Memory:
    return lambda hour: level + noise * math.sin(hour * 2.1) + 12 * (1 - math.exp(-hour / 0.3))


LIVES = [
    Life(BEFORE, "scheduler", 60, 31.02, lambda hour: 180 + 6.3 * hour, None),
    Life(LEAKING, "scheduler", 31, 0, lambda hour: 182 + 6.2 * hour + 1.2 * math.sin(hour * 9),
         ("leaking", "Python objects", "Allocated blocks have grown for 28.4 hours, by about 6.1 MB an hour, also after"
          " collections, and no curve that levels off explains it.", 6.18, 5.94, 6.41, 21.6)),
    Life(WORKER, "executor-worker", 30.9, 0, lambda hour: 60 + 2.6 * hour + 6 * (hour % 3 > 2),
         ("growing (watch)", "cache", "What is in use grows, but a cache that fills, or the end of a warm-up, would"
          " look the same so far.", 2.64, 1.87, 3.32, 74.0), forks=True),
    Life(Incarnation(HOST, 4731, 9_000_310), "executor-worker", 30.9, 0, steady(58),
         ("steady", "none", "No material growth over the last 24 hours.", 0.02, -0.04, 0.09, None)),
    Life(Incarnation(HOST, 4801, 9_000_400), "api-server", 30.8, 0, steady(231, 2.0),
         ("steady", "load", "It grows and shrinks with the load.", 0.11, -0.2, 0.31, None)),
    Life(Incarnation(HOST, 4802, 9_000_401), "dag-processor", 30.8, 0, steady(175),
         ("steady", "none", "No material growth over the last 24 hours.", -0.01, -0.05, 0.04, None)),
    Life(Incarnation(HOST, 9001, 19_900_000), "triggerer", 0.5, 0, steady(163),
         ("warming up", "none", "It is 30 minutes old; what it imports and fills first is no trend.", None, None, None,
          None)),
    Life(Incarnation(HOST, 8123, 18_900_000), "executor-worker", 6, 2.5, steady(58),
         ("steady", "none", "No material growth over the last 3 hours.", 0.01, -0.1, 0.1, None)),
    Life(Incarnation("airflow-2", 311, 5_000), "dag-processor", 0.06, 0, steady(150), None),
]  # fmt: skip
LOOK_COLUMNS = (
    "host", "pid", "start_ticks", "taken_at", "role", "age_seconds", "resident_bytes", "anonymous_bytes", "swap_bytes",
    "unique_bytes", "threads", "open_files", "unreadable", "counters", "release", "limit_bytes",
)  # fmt: skip


def tell(connection: Connection[Any], lives: list[Life] | None = None) -> None:
    """Write it all."""
    now = datetime.now(UTC)
    for life in lives or LIVES:
        add_looks(connection, life, now)
        if life.verdict:
            add_verdict(connection, life)
    if lives is None:
        add_tasks(connection, now)
        add_profiles(connection, now)
    connection.execute("ANALYZE millrace.memory_sample")


def add_looks(connection: Connection[Any], life: Life, now: datetime) -> None:
    noise = np.random.default_rng(life.process.pid)
    steps = max(int((life.began - life.seen) * 60), 3)
    columns = ", ".join(LOOK_COLUMNS)
    with connection.cursor() as cursor, cursor.copy(f"COPY millrace.memory_sample ({columns}) FROM STDIN") as copy:
        for step in range(1, steps + 1):
            hour = step / 60
            at = now - timedelta(hours=life.began - hour)
            used = round(MB * (life.memory(hour) + noise.normal(0, 0.3)))
            counters = {"taken_at": at.timestamp(), "blocks": round(used / 100), "objects": round(used / 400),
                        "frozen_objects": 0, "heap_bytes": 62_000_000, "free_bytes": 2_500_000,
                        "collected": True}  # fmt: skip
            release = "2026.11.2" if at > now - timedelta(hours=12) else "2026.11.1"
            copy.write_row([life.process.host, life.process.pid, life.process.start_ticks, at, life.role, hour * 3600,
                            used + 40_000_000, used, 0, used // 5 if life.forks and step % 4 == 0 else used, 4, 20,
                            [], json.dumps(counters), release, 512_000_000])  # fmt: skip


def add_verdict(connection: Connection[Any], life: Life) -> None:
    assert life.verdict is not None
    connection.execute(
        "INSERT INTO millrace.memory_finding (host, pid, start_ticks, role, verdict, kind, why, rate, rate_low,"
        " rate_high, hours_left, suspect, judged_at, flagged_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
        " now() - %s * interval '1 hour', CASE WHEN %s THEN now() - interval '20 hours' END)",
        [life.process.host, life.process.pid, life.process.start_ticks, life.role, *life.verdict,
         life.verdict[0] == "leaking", life.seen, life.verdict[0] == "leaking"],
    )  # fmt: skip


def add_tasks(connection: Connection[Any], now: datetime) -> None:
    """Ten tries of three tasks in the worker; one of them makes it grow."""
    kinds = [("build_features", "train", 420.0, 38.0, 24.0), ("ingest_orders", "load", 180.0, 22.0, 0.6),
             ("resize_images", "resize", 260.0, 9.0, 0.2)]  # fmt: skip
    for number in range(30):
        dag, task, peak, kept, grown = kinds[number % 3]
        started = now - timedelta(hours=30 - number * 0.98)
        before = round((60 + 2.5 * number) * MB)
        connection.execute(
            "INSERT INTO millrace.memory_task VALUES (%s, %s, %s, %s, 1, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [dag, f"scheduled__{started:%Y-%m-%dT%H}:00:00+00:00", task, number if task == "load" else -1, WORKER.host,
             WORKER.pid, WORKER.start_ticks, started, started + timedelta(minutes=9 + number % 7),
             "failed" if number == 7 else "success", round((peak + number) * MB), round((kept + number / 10) * MB),
             before, before + round(grown * MB * (0.5 + number / 30))],
        )  # fmt: skip


def add_profiles(connection: Connection[Any], now: datetime) -> None:
    """Two profiles of the scheduler, eight hours apart, the earlier first."""
    for hours, entries, blocks in ((9.0, 418_302, 3_190_000), (0.9, 531_984, 3_710_000)):
        connection.execute(
            "INSERT INTO millrace.memory_evidence (host, pid, start_ticks, taken_at, evidence)"
            " VALUES (%s, %s, %s, %s, %s)",
            [LEAKING.host, LEAKING.pid, LEAKING.start_ticks, now - timedelta(hours=hours),
             json.dumps(evidence(now.timestamp() - hours * 3600, entries, blocks))],
        )  # fmt: skip


def evidence(at: float, entries: int, blocks: int) -> dict[str, Any]:
    """A profile as the agent gives it."""
    counters = {"taken_at": at, "blocks": blocks, "objects": blocks // 4, "frozen_objects": 0, "heap_bytes": 62_400_000,
                "free_bytes": 2_400_000, "collected": True}  # fmt: skip
    first = {**counters, "taken_at": at - 32, "blocks": blocks - 4_140, "objects": blocks // 4 - 1_010}
    site = "/opt/airflow/lib/python3.11/site-packages"
    lines = [
        (("/opt/millrace/plugins/audit_trail.py:41", "/opt/millrace/plugins/audit_trail.py:27",
          f"{site}/airflow/listeners/listener.py:61", f"{site}/airflow/jobs/scheduler_job_runner.py:988",
          f"{site}/airflow/jobs/scheduler_job_runner.py:1310"), 49_152, 384, 3),
        (("/usr/lib/python3.11/json/decoder.py:353", "/usr/lib/python3.11/json/__init__.py:346",
          "/opt/millrace/plugins/audit_trail.py:39"), 21_504 + entries // 100, 288, 3),
        ((f"{site}/sqlalchemy/sql/compiler.py:1402", f"{site}/sqlalchemy/engine/default.py:1088"), 9_216, 12, 1),
    ]  # fmt: skip
    chain = ["module audit_trail", ".HISTORY audit_trail.History", f".events list of {entries:,}",
             f"[{entries - 1:,}] audit_trail.Event"]  # fmt: skip
    return {
        "counters": counters, "first": first, "longest_pause_seconds": 0.021, "longest_pause_in": "take_snapshot",
        "traced": {"lines": [dict(zip(("frames", "bytes", "count", "grew"), line, strict=True)) for line in lines],
                   "seconds": 30.2, "parts": 3, "ended_early": None},
        "types": [{"name": "audit_trail.Event", "before": entries - 96, "after": entries},
                  {"name": "dict", "before": 212_040, "after": 212_232},
                  {"name": "<img src=x onerror=alert(1)>", "before": 10, "after": 19}],
        "holders": [
            {"what": f"list of {entries:,}", "before": entries - 96, "after": entries, "chain": chain[:3],
             "complete": True, "bound": None, "bytes": 49_200},
            {"what": "audit_trail.Event", "before": entries - 96, "after": entries, "chain": chain[:4],
             "complete": True, "bound": None},
            {"what": "dict of 1,425", "before": 1_400, "after": 1_425, "complete": False,
             "chain": ["sqlalchemy.util.LRUCache", "._data dict of 1,425"],
             "bound": {"holder": "sqlalchemy.util.LRUCache", "entries": 1_425, "limit": 5_000}},
        ],
        "notes": [],
    }  # fmt: skip
