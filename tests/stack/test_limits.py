"""Memory limits of a cluster's hosts."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack.cluster.limits import Limits

GROWS = "grown = b'x' * 300_000_000; print(len(grown))"
FORKS = f"import os, sys; sys.exit(os.waitstatus_to_exitcode(os.wait()[1]) + 100 if os.fork() else exec({GROWS!r}))"


@pytest.mark.cgroups
def test_what_takes_more_is_killed_and_its_parent_lives(tmp_path: Path) -> None:
    limits = Limits(tmp_path)
    command = limits.enclose("worker-1", 100 << 20, [sys.executable, "-c", FORKS])
    code = subprocess.run(command, capture_output=True, check=False).returncode
    limits.close()
    assert code == 100 - signal.SIGKILL
    assert limits.enclose("worker-1", 1 << 30, ["true"])[0] == "sh", "the group was removed and can be made again"
    limits.close()


def test_where_no_group_can_be_made_the_command_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.cluster.limits.GROUPS", tmp_path / "none")
    limits = Limits(tmp_path)
    assert limits.enclose("worker-1", 100 << 20, ["true"]) == ["true"]
    assert "No such file" in limits.fault
    limits.close()
