"""What a process takes of the machine at one moment, read from /proc.

Reading costs 0.1 ms, and `smaps_rollup` 2.5 ms more at 50 MB, 14 ms at 500 MB. A process that may not be read in full
(another user's, or one that is not dumpable) is sampled as far as it goes, and `unreadable` says what is missing.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from include.memory.errors import ProcessGone

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# A process forks if its least share of unique memory in the anonymous is below this part of its greatest: while a child
# lives, nearly all pages are shared with it. Such a process is judged and shown by its anonymous memory.
FORKS = 0.5
ENDED_MINUTES = 15  # a process that nobody has seen for so long has ended


@dataclass(frozen=True, order=True)
class Incarnation:
    """One life of a process. A restart, or a reuse of the id, is another one; `start_ticks` count from boot."""

    host: str
    pid: int
    start_ticks: int


@dataclass(frozen=True)
class Sample:
    """One look at one process. Sizes in bytes, times in seconds since 1970; None is what may not be read."""

    incarnation: Incarnation
    taken_at: float
    age_seconds: float
    resident_bytes: int
    anonymous_bytes: int
    swap_bytes: int
    threads: int
    unique_bytes: int | None
    proportional_bytes: int | None
    open_files: int | None
    unreadable: tuple[str, ...] = ()

    @property
    def used_bytes(self) -> int:
        """What the machine would get back if the process ended; anonymous memory where that may not be read."""
        own = self.anonymous_bytes if self.unique_bytes is None else self.unique_bytes
        return own + self.swap_bytes

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def sample(pid: int, proc: Path = PROC) -> Sample:
    """Look at a process. Raises ProcessGone when it has ended."""
    folder = proc / str(pid)
    try:
        incarnation = incarnation_of(pid, proc)
        status = status_of(pid, proc)
        unreadable: list[str] = []
        rollup = _rollup(folder, unreadable)
        files = _open_files(folder, unreadable)
        if "VmRSS" not in status:
            raise ProcessGone(f"process {pid} has ended and waits for its parent, or is a thread of the kernel")
        return Sample(
            incarnation=incarnation,
            taken_at=time.time(),
            age_seconds=max(0.0, _uptime() - incarnation.start_ticks / TICKS_PER_SECOND),
            resident_bytes=status["VmRSS"] * 1024,
            anonymous_bytes=status["RssAnon"] * 1024,
            swap_bytes=status.get("VmSwap", 0) * 1024,
            threads=status["Threads"],
            unique_bytes=_unique(rollup),
            proportional_bytes=rollup["Pss"] * 1024 if "Pss" in rollup else None,
            open_files=files,
            unreadable=tuple(unreadable),
        )
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessGone(f"process {pid} has ended") from error


def incarnation_of(pid: int, proc: Path = PROC) -> Incarnation:
    """Host, id and start of a process. Raises ProcessGone when there is none."""
    return Incarnation(host(), pid, int(_stat(pid, proc)[19]))


def lives(process: Incarnation) -> bool:
    """Whether this machine has that process now."""
    try:
        return incarnation_of(process.pid) == process
    except ProcessGone:
        return False


def parent_of(pid: int, proc: Path = PROC) -> int:
    """The id of a process's parent. Raises ProcessGone when there is no such process."""
    return int(_stat(pid, proc)[1])


def _stat(pid: int, proc: Path) -> list[bytes]:
    """Fields of /proc/<pid>/stat from the third on: the name before them is in brackets and may hold anything."""
    try:
        stat = (proc / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessGone(f"process {pid} has ended") from error
    return stat[stat.rindex(b")") + 2 :].split()


def status_of(pid: int | str, proc: Path = PROC) -> dict[str, int]:
    """The numbers of a process's `status` by name, memory in kB; `self` is this very process."""
    return _fields((proc / str(pid) / "status").read_bytes())


@cache
def host() -> str:
    """The name of this machine or container."""
    return os.uname().nodename


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _rollup(folder: Path, unreadable: list[str]) -> dict[str, int]:
    try:
        return _fields((folder / "smaps_rollup").read_bytes())
    except PermissionError:
        unreadable.append("smaps_rollup")
        return {}


def _open_files(folder: Path, unreadable: list[str]) -> int | None:
    try:
        return len(os.listdir(folder / "fd"))  # noqa: PTH208 (no path object for each of thousands of files)
    except PermissionError:
        unreadable.append("fd")
        return None


def _unique(rollup: dict[str, int]) -> int | None:
    if "Private_Dirty" not in rollup:
        return None
    return sum(rollup.get(f"Private_{part}", 0) for part in ("Clean", "Dirty", "Hugetlb")) * 1024


def _fields(content: bytes) -> dict[str, int]:
    """The lines `Name:   123 kB` by name; lines that hold no number are left out."""
    found = {}
    for line in content.splitlines():
        name, _, rest = line.partition(b":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name.decode()] = int(words[0])
    return found
