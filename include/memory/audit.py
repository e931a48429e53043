"""One round of the audit: look at every process, judge each by its history, prove what is suspected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from include.memory import history, probe
from include.memory.errors import MemoryAuditError
from include.memory.judge import judge
from include.memory.processes import AIRFLOW, Pattern, find, sample_all
from include.memory.sample import Incarnation, incarnation_of

ANSWER_SECONDS = 3.0
PROOFS = 3  # processes that are profiled in one round
PROOF_HOURS = 6.0  # before the same process is profiled again


def look(connection: Connection[Any], more: Sequence[Pattern] = ()) -> dict[str, int]:
    """Sample every long-lived process of this machine, and keep what was seen. Returns counts."""
    found = sample_all(find([*more, *AIRFLOW]))
    suspects = history.suspects(connection)
    counted = 0
    for one, sample in found.samples:
        try:
            answer = probe.count(one.incarnation, seconds=ANSWER_SECONDS, collect=one.incarnation in suspects)
        except MemoryAuditError:  # no agent, or it is busy: the sample from outside remains
            answer = None
        history.add_sample(connection, one.role, sample, answer and answer["counters"])
        counted += answer is not None
    return {"processes": len(found.samples), "counted_inside": counted, "ended": len(found.unread)}


def judge_all(
    connection: Connection[Any], hours: float, limit_bytes: float | None = None, forced: bool = False
) -> list[dict[str, Any]]:
    """Judge every process by its history. Returns those to be profiled: leaks and suspects without fresh evidence.

    With `forced`, all that were judged.
    """
    wanted = []
    for process, series in history.series(connection, hours, limit_bytes).items():
        said = judge(series)
        history.note(connection, process, said)
        urgent = said.verdict == "leaking", said.verdict == "growing (watch)"
        if forced or (any(urgent) and not history.proved(connection, process, PROOF_HOURS)):
            wanted.append((urgent, process))
    wanted.sort(key=lambda one: one[0], reverse=True)
    most = len(wanted) if forced else PROOFS
    return [{"host": one.host, "pid": one.pid, "start_ticks": one.start_ticks} for _, one in wanted[:most]]


def prove(connection: Connection[Any], process: Incarnation, seconds: float) -> dict[str, Any] | None:
    """Profile a process of this machine and keep what was found; None when it is not there or does not answer."""
    try:
        if incarnation_of(process.pid) != process:
            return None
        found = probe.profile(process, seconds=seconds)
    except MemoryAuditError:
        return None
    history.add_evidence(connection, process, found)
    return found


def sentence(found: dict[str, Any]) -> str:
    """About a flagged process: which, how fast, until when, what holds it, and the line that put it there."""
    left = f", {found['hours_left']:.1f} hours until its limit" if found["hours_left"] else ""
    rate = f" {found['rate']:.1f} MB/h" if found["rate"] else ""
    words = [f"{found['role']} {found['pid']} on {found['host']} leaks{rate} ({found['kind']}){left}. {found['why']}"]
    evidence = found["evidence"] or {}
    holder = next(iter(evidence.get("holders") or ()), None)
    line = next(iter((evidence.get("traced") or {}).get("lines") or ()), None)
    if holder:
        words.append(f"Held by {' > '.join(holder['chain'])}.")
    if line:
        words.append(f"Allocated at {line['frames'][0]}: {line['bytes'] / 1000:,.0f} kB while it was traced.")
    return " ".join(words)
