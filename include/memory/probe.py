"""Asking the agent inside another process of this machine. A process without an agent is never signalled."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from include.memory import exchange
from include.memory.errors import BadAnswer, NoAgent, NoAnswer, ProcessGone
from include.memory.exchange import SIGNAL, Ask
from include.memory.sample import PROC, Incarnation, incarnation_of

GRACE_SECONDS = 20.0  # beyond a profile's own window


def has_agent(pid: int, proc: Path = PROC) -> bool:
    """Whether the process handles the agent's signal, by SigCgt. Unhandled, the signal would kill it."""
    return bool(_status(pid, "SigCgt", 16, proc) >> (SIGNAL - 1) & 1)


def count(
    process: Incarnation, *, folder: Path | None = None, seconds: float = 5.0, collect: bool = True
) -> dict[str, Any]:
    """The counters of a process. Raises ProcessGone, NoAgent, NoAnswer or BadAnswer."""
    return ask(process, Ask(_number(), process.start_ticks, "count", collect), folder=folder, seconds=seconds)


def profile(process: Incarnation, *, folder: Path | None = None, **wanted: Any) -> dict[str, Any]:
    """The deep profile of a process; `wanted` are fields of Ask. Raises as `count` does.

    It collects only where that is expected to take less than 50 ms, unless `longest_pause_seconds` says otherwise.
    """
    question = Ask(_number(), process.start_ticks, "profile", **{"longest_pause_seconds": 0.05, **wanted})
    seconds = question.seconds + 2 * question.chain_seconds + GRACE_SECONDS
    return ask(process, question, folder=folder, seconds=seconds)


def ask(process: Incarnation, question: Ask, *, folder: Path | None, seconds: float) -> dict[str, Any]:
    """Lay the question down, send the signal, wait for the answer as long as the process lives."""
    pid = process.pid
    folder = folder or exchange.default_folder(_status(pid, "Uid", 10))
    _look_into(folder, pid)
    handle = _open(process)
    try:
        if not has_agent(pid):
            raise NoAgent(f"process {pid} has no agent: it does not handle signal {int(SIGNAL)}")
        exchange.sweep(folder)
        answer = exchange.ask(folder, pid, question.checked())
        _signal(handle, pid)
        return _wait(answer, process, question, seconds)
    finally:
        os.close(handle)
        (folder / f"{pid}.ask").unlink(missing_ok=True)


def _wait(answer: Path, process: Incarnation, question: Ask, seconds: float) -> dict[str, Any]:
    until, pause = time.monotonic() + seconds, 0.005
    while not answer.exists():
        if time.monotonic() > until:
            raise NoAnswer(f"process {process.pid} did not answer within {seconds:.0f} s: it is busy in compiled code")
        if incarnation_of(process.pid) != process:
            raise ProcessGone(f"process {process.pid} has ended meanwhile")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)
    try:
        content: dict[str, Any] = json.loads(answer.read_bytes())
    finally:
        answer.unlink()
    if content.get("number") != question.number or content.get("pid") != process.pid:
        raise BadAnswer(f"process {process.pid} answered another question")
    if "error" in content:
        raise BadAnswer(f"the agent of process {process.pid} failed: {content['error']}")
    return content


def _look_into(folder: Path, pid: int) -> None:
    try:
        next(folder.iterdir(), None)
    except FileNotFoundError as error:
        raise NoAgent(f"process {pid} has no agent: there is no folder {folder}") from error
    except PermissionError as error:
        raise NoAgent(f"process {pid} may not be asked by this user: {folder} is another's") from error


def _open(process: Incarnation) -> int:
    """A handle that no other process can get, even if the id is used again."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError as error:
        raise ProcessGone(f"process {process.pid} has ended") from error
    if incarnation_of(process.pid) == process:
        return handle
    os.close(handle)
    raise ProcessGone(f"process {process.pid} has ended, its id is another's now")


def _signal(handle: int, pid: int) -> None:
    try:
        signal.pidfd_send_signal(handle, SIGNAL)
    except PermissionError as error:
        raise NoAgent(f"process {pid} belongs to another user and may not be signalled") from error
    except ProcessLookupError as error:
        raise ProcessGone(f"process {pid} has ended") from error


def _status(pid: int, name: str, base: int, proc: Path = PROC) -> int:
    """The first number of that line of /proc/<pid>/status."""
    try:
        lines = (proc / str(pid) / "status").read_text(errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessGone(f"process {pid} has ended") from error
    return next((int(line.split()[1], base) for line in lines if line.startswith(f"{name}:")), 0)


def _number() -> str:
    return os.urandom(8).hex()
