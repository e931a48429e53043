"""A run of the tests that is killed leaves no process and no folder behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.__main__ import PARALLEL, QUICK, arguments_of
from tests.waiting import until

REPOSITORY = Path(__file__).parents[2]
# A test that starts a daemon, as a stack is one, writes into the temporary folder, and tells where both are.
STUCK = """
import os, subprocess, sys, tempfile, time
from pathlib import Path

def test_it():
    folder = tempfile.mkdtemp()
    daemon = subprocess.run(
        [sys.executable, "-c", "import os, time\\nif os.fork():\\n os._exit(0)\\nos.setsid()\\n"
         "print(os.getpid(), flush=True)\\nos.dup2(os.open(os.devnull, os.O_WRONLY), 1)\\ntime.sleep(600)"],
        stdout=subprocess.PIPE, text=True, check=True,
    ).stdout
    told = Path(__file__).with_suffix(".told")
    told.with_suffix(".part").write_text(f"{os.getpid()} {int(daemon)} {folder}")
    told.with_suffix(".part").rename(told)
    time.sleep(600)
"""


@pytest.mark.parametrize("killed", ["the command", "pytest"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_leaves_nothing(killed: str, number: signal.Signals, tmp_path: Path) -> None:
    file = tmp_path / "test_stuck.py"
    file.write_text(STUCK)
    command = [
        sys.executable,
        "-m",
        "tests",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(tmp_path / "none.ini"),
        str(file),
    ]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        told = file.with_suffix(".told")
        until(told.exists, "the test to start its daemon")
        pytest_pid, daemon, folder = told.read_text().split()
        os.kill(running.pid if killed == "the command" else int(pytest_pid), number)
        until(lambda: not Path(folder).parent.exists(), "the folder to go")
    until(lambda: not psutil.pid_exists(int(daemon)) and not psutil.pid_exists(int(pytest_pid)), "the processes to go")


def test_options_and_paths_go_with_the_defaults() -> None:
    assert arguments_of([]) == [*PARALLEL, "tests"]
    assert arguments_of(["--durations=20"]) == [*PARALLEL, "--durations=20", "tests"]
    assert arguments_of(["tests/images", "-x"]) == [*PARALLEL, "tests/images", "-x"]
    assert arguments_of(["--quick"]) == [*PARALLEL, "-m", QUICK, "tests"]
    assert arguments_of(["tests/test_slots.py::test_x"]) == ["tests/test_slots.py::test_x"]
    assert arguments_of(["-n0", "tests/images"]) == ["-n0", "tests/images"]
    assert arguments_of(["-p", "no:xdist", "tests/images"]) == ["-p", "no:xdist", "tests/images"]
