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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

EVERY_SECONDS = 0.5  # in the first seconds, for short runs
LATER_SECONDS = 2.0  # a sample walks the page tables of all tasks, which is not to slow the run down
FIRST_SECONDS = 10.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
RESET_PEAK = "5"  # what /proc/<pid>/clear_refs takes for this


@dataclass(frozen=True)
class Process:
    """One line of a snapshot."""

    pid: int
    parent: int
    started: int  # ticks since boot: with the pid it names a process for good
    cpu_seconds: float
    rss_bytes: int


Snapshot = Mapping[int, Process]
Pick = Callable[[Snapshot], Iterable[int]]


@dataclass(frozen=True)
class Usage:
    """A group at one moment; CPU counts from the start of the sampling."""

    cpu_seconds: float = 0.0
    rss_bytes: int = 0
    pss_bytes: int | None = None  # None when one of its processes does not let us read it


@dataclass(frozen=True)
class Sample:
    """All groups at one moment (seconds since 1970)."""

    at: float
    groups: dict[str, Usage]
    wal_bytes: int = 0


@dataclass(frozen=True)
class Trace:
    """What a sampler saw, in order of time."""

    samples: Sequence[Sample] = ()

    def cpu_seconds(self, group: str, begin: float = 0.0, end: float = float("inf")) -> float:
        """CPU that the group used between two moments."""
        return self._at(end, group).cpu_seconds - self._at(begin, group).cpu_seconds

    def wal_bytes(self, begin: float = 0.0, end: float = float("inf")) -> int:
        """WAL written between two moments."""
        return self._sample(end).wal_bytes - self._sample(begin).wal_bytes if self.samples else 0

    def peak_rss_bytes(self, group: str) -> int:
        """The largest sum of resident memory; pages that processes share count for each."""
        return max((sample.groups[group].rss_bytes for sample in self.samples), default=0)

    def peak_pss_bytes(self, group: str) -> int | None:
        """The largest sum of proportional memory, shared pages counted once; None when it was unreadable."""
        found = [sample.groups[group].pss_bytes for sample in self.samples]
        return None if None in found else max((pss for pss in found if pss is not None), default=0)

    def most_cores(self, group: str, seconds: float) -> float:
        """The most cores that the group was busy on, over so many seconds."""
        most, first = 0.0, 0
        for last in self.samples:
            if last.at - self.samples[first].at >= seconds:
                cpu = last.groups[group].cpu_seconds - self.samples[first].groups[group].cpu_seconds
                most = max(most, cpu / (last.at - self.samples[first].at))
                first += 1
        return most

    def cost(self, seconds: float, client: str, server: str = "server") -> Cost:
        """What these two groups cost in all."""
        return Cost(
            seconds, self.cpu_seconds(client), self.cpu_seconds(server), self.peak_rss_bytes(client),
            self.peak_pss_bytes(client), self.wal_bytes(),
        )  # fmt: skip

    def _sample(self, at: float) -> Sample:
        index = bisect_right([sample.at for sample in self.samples], at)
        return self.samples[max(index - 1, 0)]

    def _at(self, at: float, group: str) -> Usage:
        return self._sample(at).groups[group] if self.samples else Usage()


def cpu_of(pid: int) -> tuple[float, float]:
    """CPU seconds that a process has used so far, and that its children have which it has waited for."""
    own, system, childrens, childrens_system = map(int, _stat(pid)[11:15])
    return (own + system) / TICKS, (childrens + childrens_system) / TICKS


def cpu_of_all(pids: Iterable[int]) -> float:
    """CPU seconds that those of them that live have used so far."""
    found = snapshot()
    return sum(found[pid].cpu_seconds for pid in pids if pid in found)


def children_of(pid: int) -> list[int]:
    """The children of all threads of a process."""
    return [int(child) for file in Path(f"/proc/{pid}").glob("task/*/children") for child in file.read_text().split()]


def snapshot() -> dict[int, Process]:
    """Every process that runs now."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                process = _process(int(entry.name))
                found[process.pid] = process
    return found


def _process(pid: int) -> Process:
    fields = _stat(pid)
    cpu = (int(fields[11]) + int(fields[12])) / TICKS
    return Process(pid, int(fields[1]), int(fields[19]), cpu, int(fields[21]) * PAGE_BYTES)


def _stat(pid: int) -> list[str]:
    """The fields of its stat that follow the name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def title(pid: int) -> str:
    """The command line; PostgreSQL's backends name their role and database there."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def descendants(processes: Snapshot, root: int, *, depth: int = 0) -> list[int]:
    """The pids below `root` that are at least `depth` generations away; 0 includes itself."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found, level, distance = [], [root] if root in processes else [], 0
    while level:
        if distance >= depth:
            found += level
        level = [child for parent in level for child in children.get(parent, [])]
        distance += 1
    return found


def pss_bytes(pid: int) -> int | None:
    """Proportional set size; None when the kernel does not let us see it, 0 when the process has ended."""
    try:
        return _field(Path(f"/proc/{pid}/smaps_rollup"), "Pss")
    except PermissionError:
        return None


def rss_bytes(pid: int, field: str = "VmRSS") -> int:
    """Resident bytes now (VmRSS) or at most (VmHWM); 0 when the process has ended."""
    return _field(Path(f"/proc/{pid}/status"), field)


def _field(file: Path, name: str) -> int:
    """A line `name: number kB`, in bytes."""
    try:
        lines = file.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


class MemoryWatch:
    """From `with` to its end: what processes held at first and at most. PSS is None when it can't be read."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> MemoryWatch:
        for pid in self._pids:
            Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
        self.first_rss = sum(map(rss_bytes, self._pids))
        self.peak_pss = self._pss()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        self.peak_rss = sum(rss_bytes(pid, "VmHWM") for pid in self._pids)  # the kernel's own, so not by sampling

    def _loop(self) -> None:
        while not self._stop.wait(EVERY_SECONDS / 2):
            now = self._pss()
            self.peak_pss = None if now is None or self.peak_pss is None else max(self.peak_pss, now)

    def _pss(self) -> int | None:
        return total([pss_bytes(pid) for pid in self._pids])


def total(values: Sequence[int | None]) -> int | None:
    """Their sum; None when one is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


class Sampler:
    """Samples the groups every 0.5 s, later every 2 s, in a thread, from `start` to `stop`.

    Memory is read for `memory` groups only.
    """

    def __init__(
        self, groups: Mapping[str, Pick], memory: Sequence[str] = (), wal: Callable[[], int] | None = None
    ) -> None:
        self._groups, self._memory, self._wal = groups, memory, wal
        self._samples: list[Sample] = []
        self._seen: dict[str, dict[tuple[int, int], float]] = {name: {} for name in groups}
        self._base: dict[tuple[int, int], float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Sampler:
        self._base = {(p.pid, p.started): p.cpu_seconds for p in snapshot().values()}
        self._take()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=30)
        self._take()

    @property
    def trace(self) -> Trace:
        """What was seen so far."""
        return Trace(tuple(self._samples))

    def _loop(self) -> None:
        began = time.monotonic()
        while not self._done.wait(EVERY_SECONDS if time.monotonic() - began < FIRST_SECONDS else LATER_SECONDS):
            self._take()

    def _take(self) -> None:
        now, processes = time.time(), snapshot()
        usage = {name: self._usage(name, pick, processes) for name, pick in self._groups.items()}
        self._samples.append(Sample(now, usage, self._wal() if self._wal else 0))

    def _usage(self, name: str, pick: Pick, processes: Snapshot) -> Usage:
        members = [processes[pid] for pid in pick(processes) if pid in processes]
        seen = self._seen[name]
        for process in members:
            identity = (process.pid, process.started)
            seen[identity] = process.cpu_seconds - self._base.get(identity, 0.0)
        cpu = sum(seen.values())
        if name not in self._memory:
            return Usage(cpu)
        pss = total([pss_bytes(process.pid) for process in members])
        return Usage(cpu, sum(process.rss_bytes for process in members), pss)


@dataclass(frozen=True)
class Cost:
    """What a run took: of its client (a command, or a DAG run's tasks), and of the server that it loaded."""

    seconds: float
    client_cpu_seconds: float
    server_cpu_seconds: float
    peak_rss_bytes: int
    peak_pss_bytes: int | None
    wal_bytes: int

    @property
    def peak_bytes(self) -> int:
        """PSS where it can be read."""
        return self.peak_rss_bytes if self.peak_pss_bytes is None else self.peak_pss_bytes


@dataclass(frozen=True)
class Run(Cost):
    """What one command did and cost."""

    code: int | None  # None when it was ended because it took too long
    output: str = field(repr=False, default="")

    @property
    def done(self) -> bool:
        """Whether it ended by itself, with success."""
        return self.code == 0

    @property
    def fault(self) -> str:
        """One line on what went wrong, or an empty string."""
        if self.done:
            return ""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        chosen = [line for line in lines if "rror" in line] or lines or [""]
        return "took too long" if self.code is None else f"exit code {self.code}: {chosen[-1]}"[:160]


def run(
    command: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    server: Pick = lambda _: (),
    wal: Callable[[], int] | None = None,
    output: Path,
) -> Run:
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
            _end(child)
    trace = seen.trace
    cost = asdict(trace.cost(seconds, "client"))
    if cpu is not None:
        cost["client_cpu_seconds"] = cpu
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


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the session that the child led."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait(timeout=30)
