"""Where the engine's own time goes: one ingest in one process, with a stopwatch around each part.

`python -m bench.profile FILE` (libpq's variables name the warehouse) prints JSON: for each part wall and CPU seconds
of this process. Wall without CPU is waiting for the server. Parts that no longer exist under their name are left out.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from include.ingest.dataset_file import load_dataset
from include.warehouse import migrate
from stack.settings import REPOSITORY

# Part: module, attribute. A part that calls another one does not count that one's time.
PARTS = {
    "scan and plan cuts": ("plan", "find_files"),
    "find repeated keys": ("plan", "read_keys"),
    "cut records": ("load", "read_blocks"),
    "parse and cast": ("load", "read_rows"),
    "cast": ("rows", "cast_column"),
    "hash keys": ("load", "held_hashes"),
    "encode and send the others": ("load", "copy_rows"),
    "encode plain records": ("express.kernel", "encode_records"),
    "save rejects": ("ledger", "save_rejects"),
    "apply to the target": ("merge", "_apply"),
}


class Stopwatch:
    """Wall and CPU by part; time inside an inner part belongs to the inner one."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self._stack: list[str] = ["rest"]
        self._owner = threading.get_ident()
        self._since = (time.monotonic(), time.process_time())

    def switch(self) -> None:
        """Book the time since the last switch to the part on top."""
        now = (time.monotonic(), time.process_time())
        self.wall[self._stack[-1]] += now[0] - self._since[0]
        self.cpu[self._stack[-1]] += now[1] - self._since[1]
        self._since = now

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, under the watch."""

        def wrapper(*args: Any, **options: Any) -> Any:
            if threading.get_ident() != self._owner:  # its time belongs to the part that waits for the thread
                return call(*args, **options)
            self.switch()
            self._stack.append(part)
            try:
                return call(*args, **options)
            finally:
                self.switch()
                self._stack.pop()

        return wrapper

    def iterated(self, part: str, call: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """A generator function under the watch: each step of it counts."""

        def wrapper(*args: Any, **options: Any) -> Iterator[Any]:
            step = self.timed(part, iter(call(*args, **options)).__next__)
            while True:
                try:
                    item = step()
                except StopIteration:
                    return
                yield item

        return wrapper


def install(watch: Stopwatch) -> None:
    """Put the watch around the parts."""
    for part, (module_name, name) in PARTS.items():
        module = importlib.import_module(f"include.ingest.{module_name}")
        found = getattr(module, name)
        if name == "read_blocks":
            setattr(module, name, watch.iterated(part, found))
        else:
            setattr(module, name, watch.timed(part, found))


def main(file: str) -> None:
    """Ingest the file and print where the time went."""
    from include.ingest.plan import Order
    from include.ingest.run import run

    watch = Stopwatch()
    install(watch)
    dataset = load_dataset(REPOSITORY / "include" / "datasets" / "orders.yaml")
    with psycopg.connect(autocommit=True) as connection:
        migrate.apply(connection)
        watch.switch()
        watch.wall.clear()
        watch.cpu.clear()
        run(connection, dataset, Order(uuid4(), Path(file), datetime.now(UTC)))
        watch.switch()
    both = {part: (round(wall, 2), round(watch.cpu[part], 2)) for part, wall in watch.wall.items()}
    print(json.dumps({part: {"wall_seconds": wall, "cpu_seconds": cpu} for part, (wall, cpu) in both.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
