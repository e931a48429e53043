"""What the always-on part takes: the watcher with its child, and the agent in a process that it watches.

The processes do nothing of their own here, so that all they use is the agent's; the first has a large heap of Python
objects. Rounds follow each other every few seconds and are reckoned as one a minute, as in production.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Say, rounded
from bench.measure import cpu_of
from bench.memory.programs import FILL, Program, running
from bench.report import Sheet
from include.memory.shipping.ship import CONNECTION
from include.memory.watcher import spool
from include.memory.watcher.exchange import FOLDER
from include.memory.watcher.processes import NAMED
from include.memory.watcher.sample import sample
from include.memory.watcher.watch import EVERY_SECONDS
from stack import databases
from stack.errors import StackError
from stack.postgres import PostgresServer
from stack.settings import REPOSITORY

ROUNDS, QUICK_ROUNDS = 20, 4
PROCESSES = 8
BENCH_EVERY_SECONDS = 3.0
# As `python -m include.memory.watcher.watch` runs it, but as a child of this process, so that the kernel tells what it
# used, and beside no other Airflow that happens to run on this machine.
RUN = """
import sys
from pathlib import Path
from include.memory.watcher import watch
watch.AIRFLOW = ()
folder = Path(sys.argv[1])
(folder / watch.LOCK).touch()
watch.Watcher(folder, float(sys.argv[2])).run()
"""
PASSWORDS = {"airflow": "airflow-secret", "ingest": "ingest-secret"}

# Imports what Airflow's processes import for the audit, after it has noted what it takes without that.
HEAD = """
    import gc, os, sys, time
    from pathlib import Path
    import pandas
"""
TAIL = """
    lines = Path("/proc/self/status").read_text().splitlines()
    before = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
    from include.memory.inside import agent
    from include.memory.tasks import task
    from include.memory.watcher import watch
    assert agent.install(Path(sys.argv[1]))
    (Path(sys.argv[1]).parent / "before").write_text(str(before))
    gc.freeze()  # as Airflow does before it forks its workers
    for _ in range(int(sys.argv[2]) - 1):
        if os.fork() == 0:
            break
    else:
        gc.unfreeze()
        print("ready", flush=True)
    while True:
        time.sleep(3600)
"""


@dataclass(frozen=True)
class Found:
    """Seconds of a processor a round, and bytes. `shipping` is what the watcher's child used."""

    rounds: int
    watcher_seconds: float
    shipping_seconds: float
    agent_seconds: float
    watcher_bytes: int
    growth_bytes: int

    @property
    def percent(self) -> float:
        """Of one core, with a round a minute."""
        return 100 * (self.watcher_seconds + self.shipping_seconds + self.agent_seconds) / EVERY_SECONDS

    @property
    def megabytes(self) -> float:
        """The watcher's own memory, and what the agent adds to a process."""
        return (self.watcher_bytes + self.growth_bytes) / 1e6


def measure(folder: Path, rounds: int, say: Say) -> Found:
    """Let the watcher work for so many rounds. Raises StackError when it does not."""
    with (
        _warehouse(folder) as dsn,
        tempfile.TemporaryDirectory(prefix="millrace-watched-") as place,
        running(FILL, Path(place), str(PROCESSES), head=HEAD, tail=TAIL) as program,
    ):
        try:
            found = _measure(program, dsn, rounds)
        finally:
            program.end_children()
    say(f"  {found.rounds} rounds: {found.percent:.2f} % of a core, {found.megabytes:.1f} MB")
    return found


def _measure(program: Program, dsn: str, rounds: int) -> Found:
    before = int((program.folder.parent / "before").read_text())
    agent_began = cpu_of(program.process.pid)[0]
    with _watching(program, dsn) as watcher:
        time.sleep(2 * BENCH_EVERY_SECONDS)  # what it does first is no round like the others
        began, agent_at = cpu_of(watcher.pid), cpu_of(program.process.pid)[0]
        time.sleep(rounds * BENCH_EVERY_SECONDS)
        ended, agent_ended = cpu_of(watcher.pid), cpu_of(program.process.pid)[0]
        if watcher.poll() is not None or agent_ended == agent_began or spool.waiting(program.folder)[1:]:
            raise StackError("the watcher has not watched, or its child has brought nothing to the warehouse")
        own, childs = ((late - early) / rounds for early, late in zip(began, ended, strict=True))
        grown = sample(program.process.pid).anonymous_bytes - before
        return Found(rounds, own, childs, (agent_ended - agent_at) / rounds, sample(watcher.pid).used_bytes, grown)


@contextmanager
def _watching(program: Program, dsn: str) -> Iterator[subprocess.Popen[bytes]]:
    watched = {FOLDER: str(program.folder), NAMED: json.dumps({"worker": str(program.source)}), CONNECTION: dsn}
    command = [sys.executable, "-S", "-c", RUN, str(program.folder), str(BENCH_EVERY_SECONDS)]
    watcher = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **watched})
    try:
        yield watcher
    finally:
        watcher.kill()
        watcher.wait()


@contextmanager
def _warehouse(folder: Path) -> Iterator[str]:
    """The URL of a fresh warehouse on a server of its own."""
    server = PostgresServer(folder / "postgres", settings={"fsync": "off", "shared_buffers": "128MB"})
    server.start()
    try:
        databases.prepare(server.dsn(), PASSWORDS)
        dsn = server.dsn("warehouse", "ingest", PASSWORDS["ingest"])
        databases.migrate_warehouse(dsn)
        yield dsn
    finally:
        server.destroy()


def sheets(found: Found) -> list[Sheet]:
    """One line a part."""
    rows = [
        ["watcher", f"{found.watcher_seconds * 1e3:.1f}", f"{found.watcher_bytes / 1e6:.1f}"],
        ["its child, which brings samples to the warehouse", f"{found.shipping_seconds * 1e3:.1f}", "ends each time"],
        ["agent in a process of a million objects", f"{found.agent_seconds * 1e3:.1f}",
         f"{found.growth_bytes / 1e6:.1f}"],
        ["in all, a round a minute", f"{found.percent:.2f} % of a core", f"{found.megabytes:.1f}"],
    ]  # fmt: skip
    title = f"The always-on part beside {PROCESSES} processes, {found.rounds} rounds"
    return [Sheet(title, ["part", "CPU ms a round", "MB"], rows)]


def figures(found: Found | None) -> list[Figure]:
    """CPU and memory."""
    percent, megabytes = (found.percent, found.megabytes) if found else (None, None)
    return [
        Figure("always-on part, % of a core", rounded(percent, 2), 1.0, 0.3, unit="%"),
        Figure("always-on part, MB", rounded(megabytes, 1), 10.0, 5.0, unit="MB"),
    ]
