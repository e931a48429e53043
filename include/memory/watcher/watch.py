"""The watcher: one process a machine, beside Airflow, that looks at every long-lived process once a minute.

`ensure()` starts it unless it runs; `config/airflow_local_settings.py` calls it in each of Airflow's processes. What is
seen goes into the spool, and a short-lived child (`ship.py`) brings it to the warehouse, so the watcher itself needs
the standard library only, takes a few MB, and goes on while the database is away. It ends with the last process that
it watches. Its last words are in `watch.log`, in the agents' folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from include.memory.errors import MemoryAuditError
from include.memory.watcher import exchange, probe, spool, suspects
from include.memory.watcher.limit import limit_of
from include.memory.watcher.processes import AIRFLOW, LONG_LIVED_SECONDS, find, named, sample_all
from include.memory.watcher.release import REPOSITORY, release
from include.memory.watcher.sample import Incarnation

EVERY = "MILLRACE_MEMORY_SECONDS"
EVERY_SECONDS = 60.0
ANSWER_SECONDS = 3.0  # a process that is busy for longer is asked again at the next look
# -S: without the installed libraries it starts in a tenth of the time, and stays small.
COMMAND = [sys.executable, "-S", "-m", "include.memory.watcher.watch"]
SHIP_ROUNDS = 3  # the child costs as much as two looks
MOST_LOG_BYTES = 1_000_000  # nobody rotates it
LOCK, BELL, LOG = "watch.lock", "watch.bell", "watch.log"


def ensure(folder: Path | None = None) -> bool:
    """Start this folder's watcher unless it runs; whether it was started. Never raises."""
    try:
        if not exchange.switched_on():
            return False
        folder = folder or exchange.default_folder()
        exchange.make_private(folder)
        with _lock(folder) as free:
            if not free:
                return False
        with _log(folder) as log:
            # It forks off at once; whatever keeps it must not keep Airflow from starting.
            subprocess.run(
                [*COMMAND, str(folder)], cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=30
            )
    except MemoryAuditError as fault:
        exchange.say_refused(fault)
        return False
    except Exception:
        return False
    return True


def _log(folder: Path) -> BinaryIO:
    """Its last words: a file of ours, as it is cut when it is long, and no link to another."""
    with exchange.opened_folder(folder, os.getuid()) as inside:
        handle = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT | exchange.NO_LINK, 0o600, dir_fd=inside)
    return os.fdopen(handle, "ab")


def ring(folder: Path | None = None) -> None:
    """Ask this machine's watcher to bring what it has, and to take orders, at once."""
    with contextlib.suppress(OSError):
        bell = os.open((folder or exchange.default_folder()) / BELL, os.O_WRONLY | os.O_NONBLOCK | exchange.NO_LINK)
        os.write(bell, b"!")
        os.close(bell)


def await_end(folder: Path, seconds: float = 10.0) -> bool:
    """Wait until no watcher works in a folder; whether that came to be. It ends by itself."""
    until = time.monotonic() + seconds
    while folder.is_dir():
        with _lock(folder) as free:
            if free:
                return True
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def main(folder: Path) -> None:
    """Leave the process that started this one, and watch, if nobody else does. Raises MemoryAuditError."""
    exchange.make_private(folder)
    if os.fork():
        os._exit(0)
    os.setsid()
    os.environ[exchange.FOLDER] = str(folder)
    with _lock(folder) as free:
        if free:
            Watcher(folder, float(os.environ.get(EVERY) or EVERY_SECONDS)).run()


class Watcher:
    """Looks, waits, and starts the child that ships. Its handles tell at once when a process has ended."""

    def __init__(self, folder: Path, every_seconds: float) -> None:
        self.folder = folder
        self.every_seconds = every_seconds
        self.old_enough = min(LONG_LIVED_SECONDS, every_seconds)
        self._handles: dict[Incarnation, int] = {}
        self._bell = _bell(folder)
        self._child: subprocess.Popen[bytes] | None = None
        self._release = release()
        self._lock_file = (folder / LOCK).stat().st_ino

    def run(self) -> None:
        """Until nothing is left to be watched, or the folder is gone."""
        due = time.monotonic()
        for number in count():
            if not (self._in_place() and self._meet()):
                break
            try:
                look(self.folder, self.old_enough)
                spool.bound(self.folder)
            except Exception:  # a full disk must not end it
                traceback.print_exc()
            if number % SHIP_ROUNDS == 0:
                self._ship()
            if os.fstat(sys.stderr.fileno()).st_size > MOST_LOG_BYTES:
                os.truncate(sys.stderr.fileno(), 0)
            due = max(due + self.every_seconds, time.monotonic())
            self._wait(due)
            if release() != self._release:  # a deploy: go on as the new one
                os.execv(sys.executable, [*COMMAND, str(self.folder)])
        if self._child:
            self._child.wait()

    def _in_place(self) -> bool:
        """Whether the folder is still there, and this process has its lock."""
        try:
            return (self.folder / LOCK).stat().st_ino == self._lock_file
        except FileNotFoundError:
            return False

    def _meet(self) -> bool:
        """Have a handle of each process there is now; whether there is any."""
        there = {one.incarnation for one in find([*named(), *AIRFLOW], older_than_seconds=0)}
        for process in self._handles.keys() - there:
            os.close(self._handles.pop(process))
        for process in there - self._handles.keys():
            with contextlib.suppress(OSError):
                self._handles[process] = os.pidfd_open(process.pid)
        return bool(self._handles)

    def _wait(self, until: float) -> None:
        """Until the next look is due or the last process has ended; ship when the bell rings."""
        while (left := until - time.monotonic()) > 0 and (self._handles or self._meet()):
            poll = select.poll()
            for handle in (self._bell, *self._handles.values()):
                poll.register(handle, select.POLLIN)
            ready = {handle for handle, _ in poll.poll(left * 1000)}
            if self._bell in ready:
                os.read(self._bell, 1000)
                self._ship()
            for process, handle in list(self._handles.items()):
                if handle in ready:
                    os.close(self._handles.pop(process))

    def _ship(self) -> None:
        """Start the child, unless it is still at work."""
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen([sys.executable, "-m", "include.memory.shipping.ship"], cwd=REPOSITORY)


def look(folder: Path, older_than_seconds: float = LONG_LIVED_SECONDS) -> int:
    """Sample every process once, ask the agents inside, and keep it in the spool. Returns how many were seen."""
    seen = sample_all(find([*named(), *AIRFLOW], older_than_seconds=older_than_seconds)).samples
    answers = probe.count_all(
        [one.incarnation for one, _ in seen], seconds=ANSWER_SECONDS, collect=suspects.read(folder)
    ).found  # without an agent, or when it is busy, the sample from outside remains
    rows: list[dict[str, Any]] = [
        {
            **asdict(sample),
            "role": one.role,
            "limit_bytes": limit_of(one.incarnation.pid, sample.used_bytes),
            "counters": answers.get(one.incarnation, {}).get("counters"),
        }
        for one, sample in seen
    ]
    if rows:
        spool.put("samples", {"release": release(), "samples": rows}, folder)
    return len(rows)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Whether the watcher's lock was free, and is ours meanwhile. The kernel gives it back, whatever happens."""
    # Not waited for: who finds it taken has nothing to do here.
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | exchange.NO_LINK, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False
    try:
        yield free
    finally:
        os.close(descriptor)


def _bell(folder: Path) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkfifo(folder / BELL, 0o600)
    return os.open(folder / BELL, os.O_RDWR | os.O_NONBLOCK | exchange.NO_LINK)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
