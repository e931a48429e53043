"""What goes wrong. Each fault says what it hit, and how it is taken back, if it lasts.

A fault that finds nothing to hit (no task runs just now) waits a while for it, and is not counted when there is none.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Protocol

import psutil

from campaign.cargo import Day, make_day
from campaign.ground import DISKS, WORKERS, Ground

Undo = Callable[[], None]
FIND_SECONDS = 30.0
GZIP = b"\x1f\x8b"
OOM_LIMIT_BYTES = 500_000
OOM_SECONDS = 10.0
GRACE_SECONDS = 60.0  # the databases' `stop_grace_period` in docker-compose.yaml
OOM_TRIES = 5
# Which file counts the kills; by whether the interface is the kernel's first.
OOM_COUNT = {True: "memory.oom_control", False: "memory.events"}


class Work(Protocol):
    """What a fault may see and do of the round that it strikes in: see `campaign.round.Round`."""

    ground: Ground
    chance: random.Random

    @property
    def day(self) -> Day:
        """What the first run was delivered."""

    @property
    def file(self) -> Path:
        """The file of the first run."""

    def add_run(self) -> None:
        """Deliver the next day's file and trigger its run."""

    def await_plan(self, seconds: float) -> bool:
        """Wait until the first run has planned its file."""

    def spoil(self, other: Day | None) -> Day:
        """Remember what takes the place of the first run's file."""


@dataclass(frozen=True)
class Hit:
    """What was hit, and how to take it back; a fault that lasts is taken back after `seconds`."""

    what: str
    undo: Undo | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Fault:
    """A kind of fault. `strike` returns None when there was nothing to hit. One of `group` at most in a round."""

    name: str
    strike: Callable[[Work], Hit | None]
    group: str = ""


def _worker(work: Work) -> str:
    return f"worker-{work.chance.randint(1, WORKERS)}"


def _found(find: Callable[[], list[psutil.Process]], work: Work) -> psutil.Process | None:
    """One of the processes that there are now, or will be soon."""
    deadline = time.monotonic() + FIND_SECONDS
    while time.monotonic() < deadline:
        found = find()
        if found:
            return work.chance.choice(sorted(found, key=lambda one: one.pid))
        time.sleep(0.02)
    return None


def _everywhere(of: Callable[[str], list[psutil.Process]]) -> list[psutil.Process]:
    return [one for number in range(1, WORKERS + 1) for one in of(f"worker-{number}")]


def _kill(find: Callable[[Ground], list[psutil.Process]], what: str) -> Callable[[Work], Hit | None]:
    def strike(work: Work) -> Hit | None:
        found = _found(lambda: find(work.ground), work)
        if found is None:
            return None
        try:
            title = " ".join(found.cmdline())[:60]
            found.kill()
        except psutil.NoSuchProcess:
            return None
        return Hit(f"{what}: {title}")

    return strike


def _kill_host(host: str) -> Callable[[Work], Hit | None]:
    def strike(work: Work) -> Hit | None:
        name = host or _worker(work)
        killed = work.ground.kill_host(name)
        return Hit(f"{killed} processes of {name}") if killed else None

    return strike


def _stop_database(host: str, number: signal.Signals) -> Callable[[Work], Hit | None]:
    def strike(work: Work) -> Hit | None:
        postmaster = work.ground.postmaster(host)
        if postmaster is None:
            return None
        postmaster.send_signal(number)
        Thread(target=_kill_after_grace, args=(postmaster,), daemon=True).start()
        return Hit(host)

    return strike


def _kill_after_grace(process: psutil.Process) -> None:
    """As an engine for containers does. PostgreSQL 18 may not end when it is told to stop while it repairs a crash."""
    with contextlib.suppress(psutil.NoSuchProcess):
        try:
            process.wait(GRACE_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()


def _cut(work: Work) -> Hit | None:
    """The worker's cable is out, for less or more than Airflow waits for a sign of life."""
    host = _worker(work)
    work.ground.in_network(host, "ip", "link", "set", "eth0", "down")
    return Hit(
        host, lambda: work.ground.in_network(host, "ip", "link", "set", "eth0", "up"), work.chance.uniform(3, 40)
    )


def _slow(work: Work) -> Hit | None:
    """Two megabits a second, and a queue of half a second."""
    host = _worker(work)
    shape = ("rate", "2mbit", "burst", "16kb", "latency", "500ms")
    work.ground.in_network(host, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", *shape)

    def undo() -> None:
        work.ground.in_network(host, "tc", "qdisc", "del", "dev", "eth0", "root", check=False)

    return Hit(host, undo, work.chance.uniform(5, 20))


def _fill(volume: str) -> Callable[[Work], Hit | None]:
    def strike(work: Work) -> Hit | None:
        filler = work.ground.place.volumes / volume / "filler"
        place = os.statvfs(filler.parent)
        with filler.open("wb") as file, contextlib.suppress(OSError):
            step = 1 << 20
            for offset in range(0, place.f_bavail * place.f_frsize + step, step):
                os.posix_fallocate(file.fileno(), offset, step)
            while True:  # the last pages
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), 4096)
        return Hit(f"{volume}, {DISKS[volume]} MB", lambda: filler.unlink(missing_ok=True), work.chance.uniform(3, 15))

    return strike


def _turn_clock(work: Work) -> Hit | None:
    host, ahead = _worker(work), work.chance.choice([-86_400, -3_600, -90, 90, 3_600, 86_400])
    work.ground.turn_clock(host, ahead)
    return Hit(f"{host} by {ahead:+d} s", lambda: work.ground.turn_clock(host, 0), work.chance.uniform(5, 30))


def _out_of_memory(work: Work) -> Hit | None:
    """The kernel kills a task, as its control group has no memory left. One that needs no more ends in peace."""
    for _ in range(OOM_TRIES):
        found = _found(lambda: _everywhere(work.ground.tasks), work)
        if found is None:
            return None
        group = _memory_group(work)
        with contextlib.suppress(OSError, psutil.TimeoutExpired):
            try:
                (group / "cgroup.procs").write_text(str(found.pid))
                found.wait(OOM_SECONDS)
                if "oom_kill 0\n" not in (group / OOM_COUNT[group.parent.name == "memory"]).read_text():
                    return Hit(f"task {found.pid} by the kernel")
            finally:
                _remove(group)
    return None


def _memory_group(work: Work) -> Path:
    """A control group of a few pages, by either version of the kernel's interface."""
    first = Path("/sys/fs/cgroup/memory")
    root, limit = (first, "memory.limit_in_bytes") if first.is_dir() else (first.parent, "memory.max")
    group = root / f"millrace-campaign-{os.getpid()}-{work.chance.randrange(10**6)}"
    group.mkdir()
    (group / limit).write_text(str(OOM_LIMIT_BYTES))
    return group


def _remove(group: Path) -> None:
    """Its last process moves to the parent first, if it lives."""
    for _ in range(20):
        with contextlib.suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                (group.parent / "cgroup.procs").write_text(pid)
            group.rmdir()
            return
        time.sleep(0.1)


def _replace(work: Work) -> Hit | None:
    if not work.await_plan(FIND_SECONDS):
        return None
    work.spoil(make_day(work.chance, 20_000)).deliver(work.file)
    return Hit(work.file.name)


def _truncate(work: Work) -> Hit | None:
    """What remains is a whole file to whoever sees it for the first time; of a packed one, half of it."""
    if not work.await_plan(FIND_SECONDS):
        return None
    records = work.day.records
    rest = work.spoil(Day.of(records[: work.chance.randrange(1, len(records))]))
    whole = work.day.data
    os.truncate(work.file, len(whole) // 2 if whole.startswith(GZIP) else len(rest.data))
    return Hit(work.file.name)


def _delete(work: Work) -> Hit | None:
    if not work.await_plan(FIND_SECONDS):
        return None
    work.spoil(None)
    work.file.unlink(missing_ok=True)
    return Hit(work.file.name)


def _second_run(work: Work) -> Hit | None:
    work.add_run()
    return Hit("a later file")


def _deploy(work: Work) -> Hit | None:
    """The dataset file changes, and every service is told to end and starts anew, as `docker compose up` does."""
    lines = [line for line in work.ground.dataset.read_text().splitlines() if not line.startswith("description:")]
    work.ground.dataset.write_text("\n".join([*lines, f"description: release {work.chance.randrange(10**6)}", ""]))
    for host in ("worker-1", "worker-2", "scheduler", "dag-processor", "triggerer", "api-server"):
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            work.ground.processes(host)[0].terminate()
    return Hit("all of Airflow")


def _backends(host: str) -> Callable[[Ground], list[psutil.Process]]:
    return lambda ground: ground.backends(host)


FAULTS: Sequence[Fault] = (
    Fault("task killed", _kill(lambda ground: _everywhere(ground.tasks), "SIGKILL")),
    Fault("task's supervisor killed", _kill(lambda ground: _everywhere(ground.supervisors), "SIGKILL")),
    Fault("task out of memory", _out_of_memory),
    Fault("worker killed", _kill_host("")),
    Fault("scheduler killed", _kill_host("scheduler")),
    Fault("dag-processor killed", _kill_host("dag-processor")),
    Fault("triggerer killed", _kill_host("triggerer")),
    Fault("api-server killed", _kill_host("api-server")),
    Fault("Redis killed", _kill_host("redis")),
    Fault("warehouse: server process killed", _kill(_backends("warehouse-db"), "SIGKILL")),
    Fault("metadata: server process killed", _kill(_backends("metadata-db"), "SIGKILL")),
    Fault("warehouse restarted", _stop_database("warehouse-db", signal.SIGINT)),
    Fault("metadata restarted", _stop_database("metadata-db", signal.SIGINT)),
    Fault("warehouse shut down at once", _stop_database("warehouse-db", signal.SIGQUIT)),
    Fault("metadata shut down at once", _stop_database("metadata-db", signal.SIGQUIT)),
    Fault("worker cut off", _cut, "network"),
    Fault("network slow", _slow, "network"),
    Fault("disk full: warehouse", _fill("warehouse")),
    Fault("disk full: image store", _fill("images")),
    Fault("disk full: logs", _fill("logs")),
    Fault("worker's clock turned", _turn_clock, "clock"),
    Fault("source replaced", _replace, "source"),
    Fault("source truncated", _truncate, "source"),
    Fault("source deleted", _delete, "source"),
    Fault("two runs on one table", _second_run, "second run"),
    Fault("deploy", _deploy, "deploy"),
)


def deal(chance: random.Random, faults: int, each: int) -> list[list[Fault]]:
    """So many faults in rounds of `each`: all kinds equally often, in an order by chance, no group twice in a round."""
    waiting: list[Fault] = []
    while len(waiting) < faults:
        waiting += chance.sample(FAULTS, len(FAULTS))
    waiting = waiting[:faults]
    rounds: list[list[Fault]] = []
    while waiting:
        hand: list[Fault] = []
        for fault in list(waiting):
            if len(hand) < each and not any(fault.name == one.name or fault.group == one.group != "" for one in hand):
                hand.append(fault)
                waiting.remove(fault)
        rounds.append(hand)
    return rounds
