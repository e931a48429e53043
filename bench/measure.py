"""What processes cost: CPU and memory by group, sampled from /proc, and WAL. Linux only.

A group is a name and a function that picks its processes from a snapshot. CPU of a process that ends between two
samples is lost for less than one interval; `Run.client_cpu_seconds` of a command is exact, as the kernel counts it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

EVERY_SECONDS = 0.5  # in the first seconds, for short runs
LATER_SECONDS = 2.0  # a sample walks the page tables of all tasks, which is not to slow the run down
FIRST_SECONDS = 10.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
RESET_PEAK = "5"  # what /proc/<pid>/clear_refs takes for this


class Process(NamedTuple):
    """One line of a snapshot."""

    pid: int
    parent: int
    started: int  # ticks since boot: with the pid it names a process for good
    cpu_seconds: float
    rss_bytes: int


Snapshot = Mapping[int, Process]
Pick = Callable[[Snapshot], Iterable[int]]


@dataclass(frozen=True)
class Cost:
    """What a run took: of its client (a command, or a DAG run's tasks), and of the server that it loaded."""

    seconds: float
    client_cpu_seconds: float
    server_cpu_seconds: float
    peak_rss_bytes: int
    peak_bytes: int  # PSS, which counts shared pages once
    wal_bytes: int


class Usage(NamedTuple):
    """A group at one moment; CPU counts from the start of the sampling."""

    cpu_seconds: float = 0.0
    rss_bytes: int = 0
    pss_bytes: int = 0


class Sample(NamedTuple):
    """All groups at one moment (seconds since 1970)."""

    at: float = 0.0
    groups: Mapping[str, Usage] = defaultdict(Usage)
    wal_bytes: int = 0


@dataclass(frozen=True)
class Trace:
    """What a sampler saw, in order of time."""

    samples: Sequence[Sample] = (Sample(),)

    def cpu_seconds(self, group: str, begin: float = 0.0, end: float = float("inf")) -> float:
        """CPU that the group used between two moments."""
        return self._sample(end).groups[group].cpu_seconds - self._sample(begin).groups[group].cpu_seconds

    def wal_bytes(self, begin: float = 0.0, end: float = float("inf")) -> int:
        """WAL written between two moments."""
        return self._sample(end).wal_bytes - self._sample(begin).wal_bytes

    def most_cores(self, group: str, seconds: float) -> float:
        """The most cores that the group was busy on, over so many seconds."""
        most, rest = 0.0, list(self.samples)
        for last in self.samples:
            if (took := last.at - rest[0].at) >= seconds:
                spent = last.groups[group].cpu_seconds - rest.pop(0).groups[group].cpu_seconds
                most = max(most, spent / took)
        return most

    def cost(self, seconds: float, client: str, server: str = "server") -> Cost:
        """What two groups cost in all."""
        used = [sample.groups[client] for sample in self.samples]
        rss, pss = max(one.rss_bytes for one in used), max(one.pss_bytes for one in used)
        return Cost(seconds, self.cpu_seconds(client), self.cpu_seconds(server), rss, pss, self.wal_bytes())

    def _sample(self, at: float) -> Sample:
        return self.samples[max(bisect_right([sample.at for sample in self.samples], at) - 1, 0)]


def snapshot() -> dict[int, Process]:
    """Every process that runs now."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                pid, fields = int(entry.name), _stat(int(entry.name))
                cpu = (int(fields[11]) + int(fields[12])) / TICKS
                found[pid] = Process(pid, int(fields[1]), int(fields[19]), cpu, int(fields[21]) * PAGE_BYTES)
    return found


def cpu_of(pid: int) -> tuple[float, float]:
    """CPU seconds that a process has used so far, and that its children have which it has waited for."""
    own, system, childrens, childrens_system = map(int, _stat(pid)[11:15])
    return (own + system) / TICKS, (childrens + childrens_system) / TICKS


def children_of(pid: int) -> list[int]:
    """The children of all threads of a process."""
    return [int(child) for file in Path(f"/proc/{pid}").glob("task/*/children") for child in file.read_text().split()]


def descendants(processes: Snapshot, root: int, *, depth: int = 0) -> list[int]:
    """The pids below `root` that are at least `depth` generations away; 0 includes itself."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found, level = [], [root] if root in processes else []
    while level:
        found += level if depth <= 0 else []
        level, depth = [child for parent in level for child in children.get(parent, [])], depth - 1
    return found


def memory(pid: int, name: str = "VmRSS") -> int:
    """Bytes that are resident now (VmRSS) or were at most (VmHWM), or proportional (Pss); 0 when it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/{'smaps_rollup' if name == 'Pss' else 'status'}").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


@contextmanager
def watching(pids: Sequence[int]) -> Iterator[dict[str, float]]:
    """To the end of `with`: MB that processes held at most, `rss`, the kernel's own number, and `pss`."""
    found, done = {"pss": 0.0}, threading.Event()

    def look() -> None:
        while not done.wait(EVERY_SECONDS / 2):
            found["pss"] = max(found["pss"], sum(memory(pid, "Pss") for pid in pids) / 1e6)

    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join(timeout=10)
        found["rss"] = sum(memory(pid, "VmHWM") for pid in pids) / 1e6


class Sampler:
    """Samples the groups every 0.5 s, later every 2 s, in a thread. Memory is read for `memory` groups only."""

    def __init__(
        self, groups: Mapping[str, Pick], memory: Sequence[str] = (), wal: Callable[[], int] = lambda: 0
    ) -> None:
        self._groups, self._memory, self._wal = groups, memory, wal
        self._samples: list[Sample] = []
        self._seen: dict[str, dict[tuple[int, int], float]] = {name: {} for name in groups}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Sampler:
        self._base = {(one.pid, one.started): one.cpu_seconds for one in snapshot().values()}
        self._take()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=30)
        self._take()
        self.trace = Trace(tuple(self._samples))

    def _loop(self) -> None:
        began = time.monotonic()
        while not self._done.wait(EVERY_SECONDS if time.monotonic() - began < FIRST_SECONDS else LATER_SECONDS):
            self._take()

    def _take(self) -> None:
        now, processes = time.time(), snapshot()
        usage = {}
        for name, pick in self._groups.items():
            members, seen = [processes[pid] for pid in pick(processes) if pid in processes], self._seen[name]
            for one in members:
                seen[one.pid, one.started] = one.cpu_seconds - self._base.get((one.pid, one.started), 0.0)
            pss = sum(memory(one.pid, "Pss") for one in members if name in self._memory)
            usage[name] = Usage(sum(seen.values()), sum(one.rss_bytes for one in members), pss)
        self._samples.append(Sample(now, usage, self._wal()))


@dataclass(frozen=True)
class Run(Cost):
    """What one command did and cost."""

    code: int | None  # None when it was ended because it took too long
    output: str = field(repr=False, default="")

    @property
    def fault(self) -> str:
        """One line on what went wrong; empty when it ended by itself, with success."""
        if self.code == 0:
            return ""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        chosen = [line for line in lines if "rror" in line] or lines or [""]
        return "took too long" if self.code is None else f"exit code {self.code}: {chosen[-1]}"[:160]


def run(
    command: Sequence[str], *, timeout_seconds: float, environment: Mapping[str, str], server: Pick,
    wal: Callable[[], int], output: Path,
) -> Run:  # fmt: skip
    """Run a command to its end or its time limit; nothing that it started outlives it."""
    with output.open("wb") as log:
        began = time.monotonic()
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            groups: dict[str, Pick] = {"client": lambda processes: descendants(processes, child.pid), "server": server}
            with Sampler(groups, ["client"], wal) as seen:
                code, cpu = _wait(child, began + timeout_seconds)
                seconds = time.monotonic() - began
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(timeout=30)
    cost = asdict(seen.trace.cost(seconds, "client")) | ({} if cpu is None else {"client_cpu_seconds": cpu})
    return Run(**cost, code=code, output=output.read_text(errors="replace")[-4000:])


def _wait(child: subprocess.Popen[bytes], deadline: float) -> tuple[int | None, float | None]:
    """Exit code and the CPU of the child with everything that it waited for."""
    while time.monotonic() < deadline:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode, usage.ru_utime + usage.ru_stime
        time.sleep(0.01)
    return None, None


def _stat(pid: int) -> list[str]:
    """The fields of its stat that follow the name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
