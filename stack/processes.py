"""Processes that the stack started, remembered on disk so that a later command can end exactly those.

A process is known by its id, start time and session id; a reused id never matches all three. Each component
leads a session of its own, and what it forks stays in there, even when its parent dies first.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from stack.settings import write_private

START_TOLERANCE_SECONDS = 0.05  # the kernel counts in hundredths of a second


@dataclass(frozen=True)
class Started:
    """One session leader that the stack started; `created` is the start time in seconds since 1970."""

    name: str
    pid: int
    created: float
    session: int

    @classmethod
    def of(cls, name: str, pid: int) -> Started:
        """Describe a process that has just been started with a session of its own."""
        return cls(name, pid, psutil.Process(pid).create_time(), pid)

    def process(self) -> psutil.Process | None:
        """The process if it still runs and is the one that we started."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.created) < START_TOLERANCE_SECONDS
            alive = found.status() != psutil.STATUS_ZOMBIE
            return found if same and alive and os.getsid(self.pid) == self.session else None
        except (psutil.NoSuchProcess, ProcessLookupError):
            return None

    def members(self) -> list[psutil.Process]:
        """Every living process of its session and below, itself first."""
        leader = self.process()
        if leader is None and psutil.pid_exists(self.session) and not _is_zombie(self.session):
            return []  # The id went to a stranger, which the kernel only does once the whole session is gone.
        below = children_of(leader, recursive=True) if leader else []
        inside = [process for process in psutil.process_iter() if self._owns(process)]
        found = {process.pid: process for process in [*below, *inside] if not _is_zombie(process.pid)}
        if leader:
            found.pop(leader.pid, None)
            return [leader, *found.values()]
        return list(found.values())

    def _owns(self, process: psutil.Process) -> bool:
        try:
            in_session = os.getsid(process.pid) == self.session
            return in_session and process.create_time() >= self.created - START_TOLERANCE_SECONDS
        except (psutil.Error, OSError):
            return False


class Register:
    """The file with the processes of the stack that may be alive."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> list[Started]:
        """All entries; none when there is no file."""
        try:
            return [Started(**entry) for entry in json.loads(self.file.read_text())]
        except FileNotFoundError:
            return []

    def write(self, entries: Iterable[Started]) -> None:
        """Replace the entries."""
        write_private(self.file, json.dumps([asdict(entry) for entry in entries]))

    def alive(self, name: str) -> Started | None:
        """The living entry of that name."""
        return next((entry for entry in self.read() if entry.name == name and entry.process()), None)

    def left(self) -> dict[str, int]:
        """What is alive, by name: the leader's process, or of a dead one any of its session."""
        members = ((entry.name, entry.members()) for entry in self.read())
        return {name: alive[0].pid for name, alive in members if alive}

    def end_all(self) -> list[str]:
        """End what is left of every entry and forget them. Returns the names of those that were alive."""
        entries = self.read()
        left = [entry for entry in entries if entry.members()]
        end(left)
        self.write([])
        return [entry.name for entry in left]


def end(entries: Iterable[Started], grace_seconds: float = 20.0) -> None:
    """SIGTERM to each leader, and SIGKILL to what remains of the sessions after the grace time."""
    entries = list(entries)
    everything = {process for entry in entries for process in entry.members()}
    for entry in entries:
        leader = entry.process()
        for process in [leader] if leader else entry.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline and any(_alive(process) for process in everything):
        time.sleep(0.1)
        everything |= {process for entry in entries for process in entry.members()}
    for process in everything:
        with contextlib.suppress(psutil.NoSuchProcess):
            if _alive(process):
                process.kill()
    psutil.wait_procs(everything, timeout=10)


def children_of(process: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
    """Its children, or everything below it; none when it ends meanwhile, which psutil raises for."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.children(recursive=recursive)
    return []


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and not _is_zombie(process.pid)


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
