"""The agent inside a process: on a signal, it answers the question that waits in its folder.

`install()` arms a handler for SIGRTMIN+6 in this process and in all that it forks; $MILLRACE_MEMORY_AGENT=off keeps
it out. The handler only starts a thread, which works in slices with rests and ends with its answer; between questions
there is no thread, no socket and no cost. Nothing that goes wrong in here reaches the program.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import threading
import tracemalloc
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from include.memory.errors import MemoryAuditError
from include.memory.inside import evidence
from include.memory.watcher import exchange
from include.memory.watcher.exchange import SIGNAL
from include.memory.watcher.sample import incarnation_of


class _State:
    """What the agent of this process is doing."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.busy = _thread.allocate_lock()
        self.tracing = False
        self.hooked = False


_state = _State()


def install(folder: Path | None = None) -> bool:
    """Arm the agent, once; whether it is armed. Must be called in the main thread. Never raises.

    It stays out when it is switched off, or when somebody else handles the signal already.
    """
    try:
        if not exchange.switched_on():
            return False
        if threading.current_thread() is not threading.main_thread():
            return False
        if signal.getsignal(SIGNAL) not in (signal.SIG_DFL, _on_signal):
            return False
        _state.folder = folder
        exchange.make_private(_folder())
        signal.signal(SIGNAL, _on_signal)
        if not _state.hooked:
            _state.hooked = True
            exchange.mark(_folder())
            os.register_at_fork(after_in_child=_after_fork)
    except MemoryAuditError as fault:
        exchange.say_refused(fault)
        return False
    except Exception:
        return False
    return True


def remove() -> None:
    """Disarm the agent of this process; the signal is ignored from then on, so that a late one does no harm."""
    if signal.getsignal(SIGNAL) is _on_signal:
        signal.signal(SIGNAL, signal.SIG_IGN)


def _folder() -> Path:
    return _state.folder or exchange.default_folder()


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Runs between two steps of the main thread: no lock is waited for, no file is read."""
    with contextlib.suppress(Exception):
        if _state.busy.acquire(blocking=False):
            try:
                # Not threading.Thread: its start() takes locks that the main thread may hold at this moment.
                _thread.start_new_thread(_serve, (_state,))
            except Exception:
                _state.busy.release()


def _after_fork() -> None:
    """In a child: forget what the parent's agent was doing. The handler itself is inherited."""
    with contextlib.suppress(Exception):
        was_tracing = _state.tracing
        _state.busy, _state.tracing = _thread.allocate_lock(), False
        if was_tracing and tracemalloc.is_tracing():
            tracemalloc.stop()
        if signal.getsignal(SIGNAL) is _on_signal:
            signal.signal(SIGNAL, _on_signal)


def _serve(state: _State) -> None:
    """The thread: answer what waits, until nothing does."""
    try:
        while _answer(state):
            pass
    except BaseException:  # this thread is ours alone: whatever it was, it ends here
        pass
    finally:
        state.busy.release()


def _answer(state: _State) -> bool:
    """Answer one question; False when none waits."""
    folder, pid = _folder(), os.getpid()
    question = exchange.take(folder, pid, incarnation_of(pid).start_ticks)
    if question is None:
        return False
    target = folder / f"{pid}.{question.number}.answer"
    try:
        state.tracing = question.act == "profile" and not tracemalloc.is_tracing()
        found: dict[str, Any] = asdict(evidence.gather(question))
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    finally:
        state.tracing = False
    if os.getpid() == pid:
        exchange.write(target, {"number": question.number, "pid": pid, **found})
    return True
