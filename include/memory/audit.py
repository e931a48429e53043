"""One round of the audit: judge each process by its history, order proofs of what is suspected, say what leaks."""

from __future__ import annotations

import re
import time
from typing import Any

from psycopg import Connection

from include.memory import history
from include.memory.errors import MemoryAuditError
from include.memory.shipping import orders
from include.memory.verdict.judge import judge
from include.memory.watcher import watch
from include.memory.watcher.sample import Incarnation

PROOFS = 3  # processes that are profiled in one round: tracing slows each of them down, and the round waits for it
PROOF_HOURS = 6.0  # before the same process is profiled again
# A watcher takes an order within three minutes, profiles one process after the other, and brings what it found.
PATIENCE_SECONDS = 420.0


def judge_all(
    connection: Connection[Any], hours: float, *, only: str | None = None, forced: bool = False
) -> list[dict[str, Any]]:
    """Judge every process by its history. Returns those to be profiled: leaks and suspects without fresh evidence.

    `only` is a regular expression that is searched in "role pid host". With `forced`, all that were judged are
    returned. Raises MemoryAuditError when `only` is no expression.
    """
    chosen = _expression(only)
    known = set() if forced else history.proved(connection, PROOF_HOURS)
    wanted = []
    for process, role, series in history.series(connection, hours):
        if not chosen.search(f"{role} {process.pid} {process.host}"):
            continue
        said = judge(series)
        history.note(connection, process, said)
        urgent = said.verdict == "leaking", said.verdict == "growing (watch)"
        if forced or (any(urgent) and process not in known):
            wanted.append((urgent, process))
    wanted.sort(key=lambda one: one[0], reverse=True)
    most = len(wanted) if forced else PROOFS
    return [{"host": one.host, "pid": one.pid, "start_ticks": one.start_ticks} for _, one in wanted[:most]]


def prove(connection: Connection[Any], process: Incarnation, seconds: float, frames: int) -> str | None:
    """Have a process profiled by the watcher of its machine, and wait for it. Returns why there is no evidence."""
    order = orders.add(connection, process, seconds, frames)
    watch.ring()  # the watcher of another machine comes by itself
    until = time.monotonic() + seconds + PATIENCE_SECONDS
    while time.monotonic() < until:
        done, fault = orders.done(connection, order)
        if done:
            return fault
        time.sleep(0.5)
    return f"the watcher of {process.host} has not answered: does it run, and does it reach the warehouse?"


def sentence(found: dict[str, Any]) -> str:
    """About a flagged process: which, how fast, until when, what holds it, and the line that put it there."""
    left = f", {found['hours_left']:.1f} hours until its limit" if found["hours_left"] else ""
    rate = f" {found['rate']:.1f} MB/h" if found["rate"] else ""
    words = [f"{found['role']} {found['pid']} on {found['host']} leaks{rate} ({found['kind']}){left}. {found['why']}"]
    # What is allocated by a C library has neither a holder nor a line of Python's.
    evidence = (found["evidence"] if found["kind"] == "Python objects" else None) or {}
    holder = next(iter(evidence.get("holders") or ()), None)
    line = next(iter((evidence.get("traced") or {}).get("lines") or ()), None)
    if holder:
        words.append(f"Held by {' > '.join(holder['chain'])}.")
    if line:
        words.append(f"Allocated at {line['frames'][0]}: {line['bytes'] / 1000:,.0f} kB while it was traced.")
    return " ".join(words)


def _expression(only: str | None) -> re.Pattern[str]:
    try:
        return re.compile(only or "")
    except re.error as error:
        raise MemoryAuditError(f"{only!r} is not a valid regular expression: {error}") from error
