"""Renders pictures in a child process that may fail, loop, or eat memory without harm to the worker.

A C call can not be interrupted from Python, so no time-out inside the process holds. The kernel limits the child in
memory, CPU time and file size; the parent kills it by the clock. Its only way back is a pipe with JSON. Starting one
takes as long as some pictures do, so it goes on to the next; after a fault, or when it has grown, it is replaced.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from include.images.engine.decode import Facts
from include.images.engine.facts.capture import Capture
from include.images.engine.facts.look import Look
from include.images.engine.render import Rendered, Rendition, render
from include.images.errors import ImageError, Killed, Rejected
from include.images.limits import LIMITS, Limits
from include.images.recipes import Recipes

ANSWER_BYTES = 1 << 20  # a child that has gone wild must not fill the memory of the worker
PICTURES = 50  # of one child: what decoders leave behind ends with it
GROWTH_BYTES = 200 << 20  # of one child; beyond it what is left of earlier pictures would count against the next one


class Sandbox:
    """Renders one picture after the other. Use it as a context: its child ends with it."""

    def __init__(self, recipes: Recipes, limits: Limits = LIMITS, *, position: bool = False) -> None:
        self._work = _Work(recipes, limits, position)
        self._child: _Child | None = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def render(self, path: Path, folder: Path, choice: str = "") -> Rendered:
        """`render` in a child, by the recipes of a choice.

        Raises Rejected as it does, and Killed when the child did not live to answer.
        """
        if self._child is None:
            self._child = _start(self._work)
        answer = self._child.ask((str(path), str(folder), choice), time.monotonic() + self._work.limits.wall_seconds)
        try:
            found = json.loads(answer or b"")
        except ValueError:
            status = self._end()
            if answer is None:
                raise Killed("timeout", f"it took more than {self._work.limits.wall_seconds:g} seconds") from None
            raise _death(status, self._work.limits) from None
        if found.pop("last"):
            self._end()
        return _result(found)

    def _end(self) -> int:
        """Let the child go, and wait for its end. Returns its exit status."""
        if self._child is None:
            return 0
        child, self._child = self._child, None
        return child.end()


@dataclass(frozen=True)
class _Work:
    """What the child does with each picture."""

    recipes: Recipes
    limits: Limits
    position: bool  # whether it reads where the picture was taken


@dataclass
class _Child:
    """The parent's side of a child: its pid, where orders go, and where answers come from."""

    pid: int
    orders: int
    answers: int

    def ask(self, order: tuple[str, str, str], deadline: float) -> bytes | None:
        """The answer to an order, empty or broken off when the child died; None, and the child killed, in time."""
        try:
            os.write(self.orders, json.dumps(order).encode() + b"\n")
        except BrokenPipeError:
            return b""
        parts: list[bytes] = []
        while True:
            ready, _, _ = select.select([self.answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                os.kill(self.pid, signal.SIGKILL)
                return None
            part = os.read(self.answers, 1 << 16)
            parts.append(part)
            if not part or part.endswith(b"\n") or sum(map(len, parts)) > ANSWER_BYTES:
                return b"".join(parts)

    def end(self) -> int:
        """Close its pipes, which ends it; one that is at work still is killed."""
        os.close(self.orders)
        os.close(self.answers)
        deadline = time.monotonic() + 1.0  # an idle child ends at once
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                break
            time.sleep(0.001)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _start(work: _Work) -> _Child:
    orders, send = os.pipe()
    answers, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(send)
        os.close(answers)
        _serve(orders, write, work)
    os.close(orders)
    os.close(write)
    return _Child(pid, send, answers)


def _serve(orders: int, write: int, work: _Work) -> None:
    """The child. Never returns: whatever happens, it ends without running the parent's exit handlers."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU):
            signal.signal(number, signal.SIG_DFL)
        start = _size_bytes()
        _limit(work.limits, start)
        for count, line in enumerate(os.fdopen(orders, "rb"), start=1):
            path, folder, choice = json.loads(line)
            _limit_cpu(work.limits)
            answer = _answer(Path(path), Path(folder), choice, work)
            last = count >= PICTURES or _size_bytes() - start > GROWTH_BYTES or answer.get("code") == "memory"
            data = json.dumps({**answer, "last": last}).encode() + b"\n"
            while data:
                data = data[os.write(write, data) :]
            if last:
                break
        code = 0
    finally:
        os._exit(code)


def _answer(path: Path, folder: Path, choice: str, work: _Work) -> dict[str, Any]:
    try:
        return {"rendered": asdict(render(path, work.recipes.of(choice), folder, work.limits, work.position))}
    except MemoryError:
        reason = f"it needs more than {work.limits.memory_bytes // 1_000_000:,} MB of memory"
        return {"code": "memory", "reason": reason, "permanent": False}
    except ImageError as error:
        return {"code": error.code, "reason": str(error), "permanent": error.permanent}


def _size_bytes() -> int:
    """The address space of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _limit(limits: Limits, used: int) -> None:
    # A lower limit that the machine or container has set stays.
    for what, most in (
        (resource.RLIMIT_AS, used + limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.rendition_bytes),
        (resource.RLIMIT_CORE, 0),  # a dump would be as large as the memory, and holds the picture
    ):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _limit_cpu(limits: Limits) -> None:
    """So much from now on; the hard limit stays, as it could not be raised for the next picture."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    most = int(time.process_time()) + limits.cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _death(status: int, limits: Limits) -> Killed:
    if status == -signal.SIGXCPU:
        return Killed("timeout", f"it took more than {limits.cpu_seconds} CPU seconds")
    return Killed("killed", f"the process that decoded it died (exit {status})")


def _result(found: dict[str, Any]) -> Rendered:
    if "rendered" in found:
        values = found["rendered"]
        renditions = tuple(Rendition(**one) for one in values.pop("renditions"))
        seen = values.pop("look")
        return Rendered(
            facts=Facts(**values.pop("facts")), renditions=renditions, capture=Capture(**values.pop("capture")),
            look=Look(**{**seen, "colours": tuple(seen["colours"])}), **values,
        )  # fmt: skip
    if found["permanent"]:
        raise Rejected(found["code"], found["reason"])
    raise Killed(found["code"], found["reason"])
