"""Where the engine's own time goes: one ingest in one process, with a stopwatch around each part.

`python -m bench.profile FILE` (libpq's variables name the warehouse) prints JSON: for each part wall and CPU seconds
of this process. Wall without CPU is waiting for the server. A part that no longer exists under its name is an error.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    "cast": ("cast.rows", "cast_column"),
    "hash keys": ("load", "held_hashes"),
    "encode and send the others": ("load", "copy_rows"),
    "encode plain records": ("express.kernel", "encode_records"),
    "save rejects": ("ledger", "save_rejects"),
    "apply to the target": ("merge", "_apply"),
}


class Stopwatch:
    """Wall and CPU seconds by part; time inside an inner part belongs to the inner one."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._stack, self._owner, self._since = ["rest"], threading.get_ident(), (time.monotonic(), time.process_time())

    def switch(self) -> None:
        """Book the time since the last switch to the part on top."""
        now, spent = (time.monotonic(), time.process_time()), self.spent[self._stack[-1]]
        spent[:] = [total + new - old for total, new, old in zip(spent, now, self._since, strict=True)]
        self._since = now

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """The part under the watch. In other threads, time belongs to the part that waits for the thread."""
        if threading.get_ident() != self._owner:
            yield
            return
        self.switch()
        self._stack.append(part)
        try:
            yield
        finally:
            self.switch()
            self._stack.pop()

    def around(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, under the watch; of an iterator, each step counts."""

        def timed(*args: Any, **options: Any) -> Any:
            with self.timing(part):
                found = call(*args, **options)
            return self._steps(part, found) if isinstance(found, Iterator) else found

        return timed

    def _steps(self, part: str, steps: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.timing(part):
                item = next(steps, self)
            if item is self:
                return
            yield item


def main(file: str) -> None:
    """Ingest the file and print where the time went."""
    from include.ingest.plan import Order
    from include.ingest.run import run

    watch = Stopwatch()
    for part, (module_name, name) in PARTS.items():
        module = importlib.import_module(f"include.ingest.{module_name}")
        setattr(module, name, watch.around(part, getattr(module, name)))
    dataset = load_dataset(REPOSITORY / "include" / "datasets" / "orders.yaml")
    with psycopg.connect(autocommit=True) as connection:
        migrate.apply(connection)
        watch.switch()
        watch.spent.clear()
        run(connection, dataset, Order(uuid4(), Path(file), datetime.now(UTC)))
        watch.switch()
    spent = {part: (round(wall, 2), round(cpu, 2)) for part, (wall, cpu) in watch.spent.items()}
    print(json.dumps({part: {"wall_seconds": wall, "cpu_seconds": cpu} for part, (wall, cpu) in spent.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
