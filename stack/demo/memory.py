"""The last part of `./run demo`: two workers in fast motion, one of which leaks, and what the memory audit says."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
from rich.console import Console

from include.memory import fast_motion
from include.memory.audit import sentence
from include.memory.verdict import time_lapse
from include.memory.verdict.time_lapse import Audit, Program
from include.memory.watcher import exchange
from include.memory.watcher.sample import host, incarnation_of
from stack.errors import StackError
from stack.settings import Settings

ROLE = "demo"
NAMES = ("leaky", "innocent")
SECONDS = 15.0
PROFILE_SECONDS = 3.0
START_SECONDS = 10.0


def demo_memory(console: Console, settings: Settings) -> bool:
    """Watch both, and say what is said of them. True when the one that leaks is flagged and the other is not."""
    folder = settings.state / "memory"
    exchange.make_private(folder)
    minutes = 60 * time_lapse.HOURS / SECONDS
    console.print(
        f"memory audit: two workers, in fast motion (a second stands for {minutes:.0f} minutes)", style="bold"
    )
    with started("leaky", folder) as leaky, started("innocent", folder) as innocent, ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda program: time_lapse.audit(program, SECONDS, PROFILE_SECONDS), (leaky, innocent)))
    _keep(settings, said)
    for name, program, audit in zip(NAMES, (leaky, innocent), said, strict=True):
        console.print(f"  {name:<9} [bold]{audit.said.verdict}[/bold]: {_words(program, audit)}", soft_wrap=True)
    console.print()
    return [audit.said.verdict for audit in said] == ["leaking", "steady"]


def _keep(settings: Settings, said: list[Audit]) -> None:
    """Let the page Memory show both, in place of those of the last demo."""
    with psycopg.connect(settings.database_url("warehouse"), autocommit=True, connect_timeout=10) as connection:
        fast_motion.forget(connection, ROLE)
        for audit in said:
            fast_motion.keep(connection, ROLE, audit, SECONDS)


def _words(program: Program, audit: Audit) -> str:
    said = audit.said
    if said.verdict != "leaking":
        return said.why
    return sentence(
        {
            "role": ROLE, "pid": program.incarnation.pid, "host": host(), "kind": said.kind, "why": said.why,
            "rate": said.growth and said.growth.rate, "hours_left": said.hours_left, "evidence": audit.profile,
        }
    )  # fmt: skip


@contextmanager
def started(name: str, folder: Path) -> Iterator[Program]:
    """The worker, once it has begun to work."""
    counter = folder / f"{name}.done"
    counter.unlink(missing_ok=True)
    command = [sys.executable, "-m", "samples.workers", name, str(folder)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while not (counter.exists() and counter.read_text()):
            if process.poll() is not None or time.monotonic() > until:
                raise StackError(f"the worker `{name}` of the demo did not start")
            time.sleep(0.05)
        yield Program(incarnation_of(process.pid), folder, lambda: int(counter.read_text()))
    finally:
        process.kill()
        process.wait()
        counter.unlink(missing_ok=True)
