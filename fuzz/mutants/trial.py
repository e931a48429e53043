"""One run of chosen tests in a forked child that may hang, grow or die."""

from __future__ import annotations

import ctypes
import os
import resource
import selectors
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fuzz.mutants.bench import Bench, BenchPlugin, move_to
from fuzz.mutants.reach import ReachPlugin

MEMORY_BYTES = 6 << 30
FILE_BYTES = 2 << 30
COLLECT_SECONDS = 900.0  # a compiled module is compiled anew, which a busy machine takes minutes for
PATIENCE, GRACE_SECONDS = 8.0, 20.0  # a test may take so many times what it took, and so much longer
PR_SET_PDEATHSIG = 1
UNWRITTEN = "ignore::pytest.PytestAssertRewriteWarning"  # plugins are imported before pytest begins


@dataclass
class Outcome:
    """What came of a run of tests. `killer` is the test that failed or hung; `seconds` leaves the collection out."""

    passed: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    killer: str | None = None
    how: str = ""
    seconds: float = 0.0
    log: str = ""


class _Teller:
    """Runs the wanted tests in the wanted order, and tells the parent how each one goes."""

    def __init__(self, wanted: Sequence[str] | None, out: int) -> None:
        self.wanted, self.out, self.started = wanted, out, 0.0

    def tell(self, word: str, nodeid: str) -> None:
        os.write(self.out, f"{word}\t{time.monotonic() - self.started:.3f}\t{nodeid}\n".encode())

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.wanted is not None:
            found = {item.nodeid: item for item in items}
            items[:] = [found[name] for name in self.wanted if name in found]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self.started = time.monotonic()
        self.tell("start", item.nodeid)
        yield
        self.tell("end", item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.tell("failed", report.nodeid)


def run_tests(
    bench: Bench,
    files: Sequence[str],
    wanted: Sequence[str] | None,
    usual: Mapping[str, float],
    *,
    seconds: float = 3600.0,
    reach: Path | None = None,
) -> Outcome:
    """Run tests of `files` on the bench's tree: `wanted` in this order up to the first that fails, or all of them.

    `usual` is how long each test took, and says when it hangs. `seconds` after the first one no other test is begun.
    `reach` is the folder for what each test runs.
    """
    shutil.rmtree(bench.scratch, ignore_errors=True)
    bench.scratch.mkdir()
    inside, outside = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(inside)
        _run_child(bench, files, wanted, outside, reach)
    os.close(outside)
    try:
        outcome = _follow(inside, usual, seconds, first=wanted is not None)
    finally:
        os.close(inside)
        _end(child)
        log = _tail(bench.scratch / "log")
        shutil.rmtree(bench.scratch, ignore_errors=True)
        bench.tidy()
    outcome.log = log
    return outcome


def end_with_parent() -> None:
    """This process is killed when the one that started it ends, however that comes."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _tail(log: Path) -> str:
    """The last words of the child."""
    return log.read_text(errors="replace")[-3000:] if log.exists() else ""


def _end(child: int) -> None:
    """The child, and whatever its tests started."""
    for end in (os.killpg, os.kill):
        with suppress(ProcessLookupError):
            end(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _follow(pipe: int, usual: Mapping[str, float], seconds: float, *, first: bool) -> Outcome:
    outcome, running, rest, began = Outcome(), "", b"", 0.0
    deadline = time.monotonic() + COLLECT_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                outcome.killer, outcome.how = running or "the import", "hung"
                return outcome
            data = os.read(pipe, 1 << 16)
            if not data:
                outcome.killer, outcome.how = running or "the import", "died"
                return outcome
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                word, taken, name = line.decode().split("\t", 2)
                if word == "start":
                    began = began or time.monotonic()
                    if time.monotonic() > began + seconds:
                        outcome.how = "out of time"
                        return outcome
                    running = name
                    deadline = time.monotonic() + PATIENCE * usual.get(name, 30.0) + GRACE_SECONDS
                elif word == "failed":
                    outcome.failed.append(name)
                    outcome.killer, outcome.how = name, "failed"
                    if first:
                        return outcome
                elif word == "end":
                    outcome.passed[name] = float(taken)
                    outcome.seconds = time.monotonic() - began
                    running, deadline = "", time.monotonic() + GRACE_SECONDS + 60
                elif word == "exit":
                    if not outcome.how:
                        outcome.how = "passed" if name == "0" else "died"
                        outcome.killer = None if name == "0" else "the import"
                    return outcome


def _run_child(bench: Bench, files: Sequence[str], wanted: Sequence[str] | None, out: int, reach: Path | None) -> None:
    """Never returns."""
    code = 99
    try:
        os.setsid()
        end_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for kind, most in ((resource.RLIMIT_DATA, MEMORY_BYTES), (resource.RLIMIT_FSIZE, FILE_BYTES)):
            resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))
        log = os.open(bench.scratch / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDONLY) if number == 0 else log, number)
        os.set_inheritable(out, False)
        teller = _Teller(wanted, out)
        plugins: list[object] = [teller, BenchPlugin(bench)]
        if reach is not None:
            plugins.append(ReachPlugin(bench.tree, "include/ingest", reach, bench.scratch / "site"))
        move_to(bench.tree)
        options = [
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-W",
            UNWRITTEN,
            "--basetemp",
            str(bench.scratch / "tmp"),
        ]
        code = int(pytest.main([*files, *options, *(["-x"] if wanted is not None else [])], plugins=plugins))
        teller.tell("exit", str(code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
