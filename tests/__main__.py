"""`./run test [--quick] [arguments of pytest]`: the tests, and nothing left behind.

Whole folders run three files at a time; a file or a test that is named runs at once. `--quick` leaves out what starts
an Airflow, a browser or a cluster, and what else takes long.

pytest runs under a guard, which adopts whatever its children leave behind (databases, stacks, workers) and ends it with
them, however the run ends: killed, too. Their files are in a folder of their own, which goes with them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import psutil

from stack.ports import scratch_folder
from tests.runner.slow import ELSEWHERE

ROOT = Path(__file__).parents[1]
# Three files at a time on two cores, in the order of tests/conftest.py: the two that have a real Airflow wait most of
# the time.
PARALLEL = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
QUICK = " and ".join(f"not {marker}" for marker in (*ELSEWHERE, "slow"))
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
FINISH_SECONDS = 60.0  # for fixtures to end what they started, after an interrupt
END_SECONDS = 10.0


def arguments_of(given: list[str]) -> list[str]:
    """What pytest is told: the defaults stand unless the command line says otherwise."""
    quick = "--quick" in given
    given = [one for one in given if one != "--quick"]
    paths = [one for one in given if not one.startswith("-") and (ROOT / one.partition("::")[0]).exists()]
    named = bool(paths) and all((ROOT / one.partition("::")[0]).is_file() for one in paths)
    # What says how many run at a time, or can't be done by several.
    chosen = any(one.startswith(("-n", "--numprocesses", "--pdb", "--trace")) or "no:xdist" in one for one in given)
    return [
        *([] if named or chosen else PARALLEL),
        *(["-m", QUICK] if quick else []),
        *given,
        *([] if paths else ["tests"]),
    ]


def main() -> int:
    """Run pytest under the guard; its exit code."""
    arguments = arguments_of(sys.argv[1:])
    lifeline, end = os.pipe()
    guard = os.fork()
    if guard == 0:
        os.close(end)
        os._exit(_guard(arguments, lifeline))
    os.close(lifeline)
    for number in (signal.SIGINT, signal.SIGQUIT):  # the terminal tells pytest itself
        signal.signal(number, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(os.waitpid(guard, 0)[1])


def _guard(arguments: list[str], lifeline: int) -> int:
    """Wait for pytest, or for the end of who started this; then end and remove what is left."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    scratch, keep = scratch_folder("millrace-tests-"), tempfile.gettempdir()
    pytest = os.fork()
    if pytest == 0:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.close(lifeline)
        # pytest keeps the folders of the last three runs itself, to look into after a failure.
        environment = {**os.environ, "TMPDIR": str(scratch), "PYTEST_DEBUG_TEMPROOT": keep}
        # The tests start hundreds of processes, each of which would compile the project's modules anew.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        os.execve(sys.executable, [sys.executable, "-m", "pytest", *arguments], environment)
    try:
        return _wait(pytest, lifeline)
    finally:
        try:
            _end_all()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _wait(pytest: int, lifeline: int) -> int:
    """The exit code of pytest. Where who started this has gone, it is interrupted first, so that fixtures can end."""
    os.set_blocking(lifeline, False)
    until: float | None = None
    while True:
        gone, status = os.waitpid(-1, os.WNOHANG)  # orphans come here too
        if gone == pytest:
            return os.waitstatus_to_exitcode(status) % 256
        with contextlib.suppress(BlockingIOError):
            if until is None and os.read(lifeline, 1) == b"":
                until = time.monotonic() + FINISH_SECONDS
                os.kill(pytest, signal.SIGINT)
        if until is not None and time.monotonic() > until:
            os.kill(pytest, signal.SIGKILL)
        time.sleep(0.05)


def _end_all() -> None:
    """End every process that descends from this one: it is the parent of all that lost theirs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + END_SECONDS
        told: set[int] = set()
        while time.monotonic() < deadline:
            left = [one for one in psutil.Process().children(recursive=True) if _lives(one)]
            if not left:
                return
            for one in left:
                if one.pid not in told:
                    told.add(one.pid)
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.send_signal(number)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.05)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it ended between two looks
        return False


if __name__ == "__main__":
    sys.exit(main())
