"""Only what the stack started is ended, and all of it."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from stack.processes import Register, Started, children_of, end

# Starts a grandchild and says its process id; with "deaf" the grandchild ignores SIGTERM.
PARENT = """
import subprocess, sys, time
deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" if "deaf" in sys.argv else ""
child = subprocess.Popen([sys.executable, "-c", deaf + "import time; print(1, flush=True); time.sleep(600)"],
                         stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def family(*arguments: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    command = [sys.executable, "-c", PARENT, *arguments]
    parent = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        return parent, psutil.Process(int(parent.stdout.readline()))


def gone(process: psutil.Process) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("arguments", [(), ("deaf",)])
def test_a_whole_session_ends(arguments: tuple[str, ...]) -> None:
    parent, child = family(*arguments)
    end([Started.of("family", parent.pid)], grace_seconds=1)
    parent.wait(5)
    assert gone(child)


def test_orphans_of_a_killed_process_are_ended_from_the_register(tmp_path: Path) -> None:
    parent, child = family()
    register = Register(tmp_path / "processes.json")
    register.write([Started.of("family", parent.pid)])
    parent.kill()
    parent.wait()
    assert register.alive("family") is None
    assert child.is_running()
    assert Register(register.file).end_all() == ["family"]
    assert gone(child)
    assert register.read() == []


@pytest.mark.parametrize("other", [{"created": 1.0}, {"session": 1}])
def test_a_stranger_with_the_same_id_is_left_alone(tmp_path: Path, other: dict[str, Any]) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        register = Register(tmp_path / "processes.json")
        register.write([replace(Started.of("ours", stranger.pid), **other)])
        assert register.alive("ours") is None
        if "created" in other:
            assert register.end_all() == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_no_register_means_nothing_to_end(tmp_path: Path) -> None:
    assert Register(tmp_path / "none.json").read() == []


def test_a_process_that_ends_while_it_is_looked_at_has_no_children() -> None:
    parent, child = family()
    process = psutil.Process(parent.pid)
    assert children_of(process) == [child]
    parent.kill()
    parent.wait()
    child.kill()
    assert children_of(process, recursive=True) == []
