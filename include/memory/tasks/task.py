"""What a task takes: peak and kept memory of its process, and what it left in the worker that forked it.

`begin` is called in the task's process before the task, `end` after it. Each reads two or three small files of /proc,
and `end` writes one record into the spool. Neither ever raises: a task is not to fail for being watched.

A worker is measured by its anonymous memory, of which `status` tells, and not by its unique pages: while it has a
child, nearly all pages of a process are shared with that child, so none of them counts as unique.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from include.memory.watcher import exchange, spool
from include.memory.watcher.sample import Incarnation, incarnation_of, status_of

RESET_PEAK = "5"  # proc(5), clear_refs
log = logging.getLogger("millrace")


@dataclass(frozen=True)
class Task:
    """One try of a task, by Airflow's names."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int


@dataclass(frozen=True)
class Begun:
    """How things stood before the task. Sizes in bytes, times in seconds since 1970."""

    task: Task
    pid: int
    worker: Incarnation
    started_at: float
    anonymous_bytes: int
    worker_bytes: int | None


_begun: Begun | None = None


def begin(task: Task) -> None:
    """Note how this process and its worker, the parent, stand before the task; costs a fraction of a millisecond."""
    global _begun
    _begun = None
    if not exchange.switched_on():
        return
    try:
        worker = incarnation_of(os.getppid())
        _reset_peak()
        _begun = Begun(task, os.getpid(), worker, time.time(), _anonymous_bytes("self") or 0, _bytes_of(worker))
    except Exception as error:
        log.info("the memory of this task is not recorded: %s", error)


def end(state: str, folder: Path | None = None) -> None:
    """Put the record of the task that began in this process into the spool; nothing, where none did."""
    global _begun
    begun, _begun = _begun, None
    if begun is None or begun.pid != os.getpid():  # a state that a person has set, or a child that the task forked
        return
    try:
        spool.put("task", _record(begun, state), folder)
    except Exception as error:
        log.info("the memory of this task is not recorded: %s", error)


def _record(begun: Begun, state: str) -> dict[str, object]:
    """The columns of millrace.memory_task."""
    return {
        **asdict(begun.task),
        **asdict(begun.worker),
        "started_at": begun.started_at,
        "ended_at": time.time(),
        "state": state,
        "peak_bytes": status_of("self")["VmHWM"] * 1024,
        "retained_bytes": (_anonymous_bytes("self") or 0) - begun.anonymous_bytes,
        "worker_before_bytes": begun.worker_bytes,
        "worker_after_bytes": _bytes_of(begun.worker),
    }


def _reset_peak() -> None:
    """Let the high-water mark of this process begin anew.

    Where that is not permitted (Airflow's tasks are not dumpable, so it takes root) the mark is taken as it is: since
    the fork, which begins it anew too, and so with the parsing of the DAG file.
    """
    with suppress(OSError), Path("/proc/self/clear_refs").open("w") as file:
        file.write(RESET_PEAK)


def _bytes_of(worker: Incarnation) -> int | None:
    """What the worker has now; None when it is not this process's parent any more, or may not be read."""
    return _anonymous_bytes(worker.pid) if os.getppid() == worker.pid else None


def _anonymous_bytes(pid: int | str) -> int | None:
    """Anonymous memory, in memory or swapped out."""
    try:
        status = status_of(pid)
        return (status["RssAnon"] + status.get("VmSwap", 0)) * 1024
    except (OSError, KeyError):
        return None
