"""Runs one picture in a child process that may fail, loop, or eat memory without harm to the worker.

A C call can not be interrupted from Python, so no time-out inside the process holds. The kernel limits the child in
memory, CPU time and file size; the parent kills it by the clock. Its only way back is a pipe with JSON.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from include.images.decode import Facts
from include.images.errors import ImageError, Killed, Rejected
from include.images.limits import LIMITS, Limits
from include.images.recipes import Recipes
from include.images.render import Rendered, Rendition, render

ANSWER_BYTES = 1 << 20


def render_safely(path: Path, recipes: Recipes, folder: Path, limits: Limits = LIMITS) -> Rendered:
    """`render` in a child. Raises Rejected as it does, and Killed when the child did not live to answer."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _child(write, path, recipes, folder, limits)
    os.close(write)
    try:
        answer = _await(read, time.monotonic() + limits.wall_seconds)
    finally:
        os.close(read)
        if not _ended(pid):
            os.kill(pid, signal.SIGKILL)
    status = _status(pid)
    if answer is None:
        raise Killed("timeout", f"it took more than {limits.wall_seconds:g} seconds")
    return _result(answer, status, limits)


def _child(write: int, path: Path, recipes: Recipes, folder: Path, limits: Limits) -> None:
    """Never returns: whatever happens, the process ends without running the parent's exit handlers."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU):
            signal.signal(number, signal.SIG_DFL)
        _limit(limits)
        try:
            answer: dict[str, Any] = {"rendered": asdict(render(path, recipes, folder, limits))}
        except MemoryError:
            answer = {"code": "memory", "reason": _memory(limits), "permanent": False}
        except ImageError as error:
            answer = {"code": error.code, "reason": str(error), "permanent": error.permanent}
        data = json.dumps(answer).encode()
        while data:
            data = data[os.write(write, data) :]
        code = 0
    finally:
        os._exit(code)


def _limit(limits: Limits) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_AS, used + limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.rendition_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _await(read: int, deadline: float) -> bytes | None:
    """What the child says before its end; None when the time is over."""
    parts: list[bytes] = []
    while True:
        ready, _, _ = select.select([read], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        part = os.read(read, 1 << 16)
        if not part or sum(map(len, parts)) > ANSWER_BYTES:
            return b"".join(parts)
        parts.append(part)


def _ended(pid: int) -> bool:
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found is not None


def _status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _result(answer: bytes, status: int, limits: Limits) -> Rendered:
    try:
        found = json.loads(answer)
    except ValueError:
        if status == -signal.SIGXCPU:
            raise Killed("timeout", f"it took more than {limits.cpu_seconds} CPU seconds") from None
        raise Killed("killed", f"the process that decoded it died (exit {status})") from None
    if "rendered" in found:
        values = found["rendered"]
        renditions = tuple(Rendition(**one) for one in values.pop("renditions"))
        return Rendered(facts=Facts(**values.pop("facts")), renditions=renditions, **values)
    if found["permanent"]:
        raise Rejected(found["code"], found["reason"])
    raise Killed(found["code"], found["reason"])


def _memory(limits: Limits) -> str:
    return f"it needs more than {limits.memory_bytes // 1_000_000:,} MB of memory"
