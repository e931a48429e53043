"""Asking the agent inside another process of this machine. A process without an agent is never signalled."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import deque
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.memory.errors import BadAnswer, MemoryAuditError, NoAgent, NoAnswer, ProcessGone
from include.memory.watcher import exchange
from include.memory.watcher.exchange import SIGNAL, Ask
from include.memory.watcher.sample import PROC, Incarnation, incarnation_of

GRACE_SECONDS = 80.0  # beyond a profile's own window and search: to count a large heap on a busy machine takes a minute
AT_ONCE = 16  # processes that count at the same time: each wants a core for it
LOOK_SECONDS = 0.005  # before the first look for an answer; longer before each further one


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
    seconds = question.seconds + question.chain_seconds + GRACE_SECONDS
    return ask(process, question, folder=folder, seconds=seconds)


@dataclass
class Answers:
    """What each process that answered has counted, and why each other one did not answer."""

    found: dict[Incarnation, dict[str, Any]] = field(default_factory=dict)
    missing: dict[Incarnation, MemoryAuditError] = field(default_factory=dict)


def count_all(
    processes: Iterable[Incarnation],
    *,
    folder: Path | None = None,
    seconds: float = 5.0,
    collect: Container[Incarnation] = (),
    at_once: int = AT_ONCE,
) -> Answers:
    """The counters of many processes, some of which count at the same time; only those in `collect` collect.

    Each has so many seconds to answer. One that does not is no error here: see `Answers.missing`.
    """
    waiting, asked, answers, pause = deque(processes), list[_Asked](), Answers(), LOOK_SECONDS
    while waiting or asked:
        while waiting and len(asked) < at_once:
            process = waiting.popleft()
            try:
                question = Ask(_number(), process.start_ticks, "count", process in collect)
                asked.append(_Asked(process, question, folder, seconds))
            except MemoryAuditError as error:
                answers.missing[process] = error
        time.sleep(pause if asked else 0)
        left = [one for one in asked if not _arrived(one, answers)]
        pause = LOOK_SECONDS if len(left) < len(asked) else _longer(pause)
        asked = left
    return answers


def _arrived(one: _Asked, answers: Answers) -> bool:
    """Whether that question is settled."""
    try:
        content = one.answer()
    except MemoryAuditError as error:
        answers.missing[one.process] = error
        return True
    if content is not None:
        answers.found[one.process] = content
    return content is not None


def ask(process: Incarnation, question: Ask, *, folder: Path | None, seconds: float) -> dict[str, Any]:
    """Lay the question down, send the signal, wait for the answer as long as the process lives."""
    asked, pause = _Asked(process, question, folder, seconds), LOOK_SECONDS
    while (content := asked.answer()) is None:
        time.sleep(pause)
        pause = _longer(pause)
    return content


def _longer(pause: float) -> float:
    """Between two looks for an answer: one that does not come soon is looked for less often."""
    return min(pause * 1.5, 0.25)


class _Asked:
    """A question that was laid down and signalled. Raises as `count` does."""

    def __init__(self, process: Incarnation, question: Ask, folder: Path | None, seconds: float) -> None:
        self.process, self.question, self.seconds = process, question.checked(), seconds
        self.owner = _status(process.pid, "Uid", 10)
        folder = folder or exchange.default_folder(self.owner)
        _look_into(folder, process.pid)
        handle = _open(process)
        try:
            if not has_agent(process.pid):
                raise NoAgent(f"process {process.pid} has no agent: it does not handle signal {int(SIGNAL)}")
            exchange.sweep(folder, self.owner)
            self.file = exchange.ask(folder, process.pid, question, self.owner)
            self.laid = folder / f"{process.pid}.ask"
            with self._taken_back_on_error():
                _signal(handle, process.pid)
        finally:
            os.close(handle)
        self.until = time.monotonic() + seconds

    @contextmanager
    def _taken_back_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.laid.unlink(missing_ok=True)
            raise

    def answer(self) -> dict[str, Any] | None:
        """What came back; None as long as it has not. An error takes the question back."""
        with self._taken_back_on_error():
            return self._read()

    def _read(self) -> dict[str, Any] | None:
        pid = self.process.pid
        if not os.path.lexists(self.file):  # a link is not followed
            if time.monotonic() > self.until:
                raise NoAnswer(f"process {pid} did not answer within {self.seconds:.0f} s: it is busy in compiled code")
            if incarnation_of(pid) != self.process:
                raise ProcessGone(f"process {pid} has ended meanwhile")
            return None
        try:
            content: dict[str, Any] = json.loads(exchange.read(self.file, (self.owner,)))
        except (OSError, ValueError, MemoryAuditError) as error:
            raise BadAnswer(f"process {pid} left no readable answer") from error
        finally:
            self.file.unlink()
        if content.get("number") != self.question.number or content.get("pid") != pid:
            raise BadAnswer(f"process {pid} answered a different question")
        if "error" in content:
            raise BadAnswer(f"the agent of process {pid} failed: {content['error']}")
        return content


def _look_into(folder: Path, pid: int) -> None:
    try:
        next(folder.iterdir(), None)
    except FileNotFoundError as error:
        raise NoAgent(f"process {pid} has no agent: there is no folder {folder}") from error
    except PermissionError as error:
        raise NoAgent(f"process {pid} can't be queried by this user: {folder} is another's") from error


def _open(process: Incarnation) -> int:
    """A handle that no other process can get, even if the id is used again."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError as error:
        raise ProcessGone(f"process {process.pid} has ended") from error
    if incarnation_of(process.pid) == process:
        return handle
    os.close(handle)
    raise ProcessGone(f"process {process.pid} has ended, and another process has its id now")


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
