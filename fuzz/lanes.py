"""Processes side by side, each with a PostgreSQL of its own: a batch occupies one of them at a time."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import signal
import tempfile
import time
import traceback
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from fuzz.judges import open_judge
from fuzz.judging import Checked, Difference, Judge
from stack.postgres import PostgresServer

# Nothing here need survive the machine. A judge may make a publication; no vacuum comes in between.
QUICK = {
    "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "128MB",
    "wal_level": "logical", "max_wal_size": "1GB", "min_wal_size": "80MB", "autovacuum": "off",
}  # fmt: skip
SPAWN = multiprocessing.get_context("spawn")


class Lanes:
    """`number` processes. Use it as a context: the servers end with it."""

    def __init__(self, number: int) -> None:
        # Not in memory: without vacuum a sequence leaves 2 MB, and a run may be of thousands.
        self._folder = Path(tempfile.mkdtemp(prefix="millrace-fuzz-"))
        self._folder.chmod(0o755)  # PostgreSQL runs as another user where this one is root
        self._servers = [PostgresServer(self._folder / f"postgres{n}", settings=QUICK) for n in range(number)]
        self._pools: list[ProcessPoolExecutor] = []
        self.free: list[int] = []

    def __enter__(self) -> Lanes:
        try:
            for number, server in enumerate(self._servers):
                server.start()
                arguments = (server.dsn(), self._folder / f"scratch{number}")
                self._pools.append(ProcessPoolExecutor(1, SPAWN, _begin, arguments))
                self.free.append(number)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools:
            # After Ctrl-C a batch is not waited for.
            for process in list((pool._processes or {}).values()) if kind is not None else []:
                process.terminate()
            pool.shutdown(cancel_futures=True)
        for server in self._servers:
            server.destroy()
        shutil.rmtree(self._folder, ignore_errors=True)

    def submit(self, lane: int, name: str, seed: int) -> Future[tuple[Checked, float]]:
        """Judge a batch in a lane that is free; gives what came of it, and the seconds that it took."""
        self.free.remove(lane)
        # Ctrl-C waits until the pool knows the process that it starts: one that it does not know is never ended.
        held: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
        try:
            asked = self._pools[lane].submit(_check, name, seed)
        finally:
            signal.signal(signal.SIGINT, before)
        if held:
            raise KeyboardInterrupt
        return asked


_place: tuple[str, Path]
_open: dict[str, Judge] = {}


def _begin(dsn: str, scratch: Path) -> None:
    global _place
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    for name in ("psycopg", "millrace"):  # which tell of every connection that is cut; set here, where no test runs
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _place = dsn, scratch


def _check(name: str, seed: int) -> tuple[Checked, float]:
    started = time.monotonic()
    try:
        if name not in _open:
            folder = _place[1] / name
            folder.mkdir(parents=True)
            _open[name] = open_judge(name, _place[0], folder)
        checked: Any = _open[name].check(seed)
    except Exception:
        checked = Checked(0, [Difference(seed, f"the judge itself failed:\n{traceback.format_exc()}")])
    return checked, time.monotonic() - started
