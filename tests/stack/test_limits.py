"""Memory limits of a cluster's hosts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from stack.cluster.limits import Limits

GROWS = "grown = b'x' * 300_000_000; print(len(grown))"
FORKS = f"import os, sys; sys.exit(os.waitstatus_to_exitcode(os.wait()[1]) + 100 if os.fork() else exec({GROWS!r}))"


def test_what_takes_more_is_killed_and_its_parent_lives(tmp_path: Path) -> None:
    limits = Limits(tmp_path)
    command = limits.enclose("worker-1", 100 << 20, [sys.executable, "-c", FORKS])
    code = subprocess.run(command, capture_output=True, check=False).returncode
    limits.close()
    if limits.fault:  # an ordinary user, or a container that may not make groups: it runs without
        assert (code, command[0]) == (100, sys.executable)
        assert os.geteuid() != 0 or "Read-only" in limits.fault or "No such" in limits.fault
    else:
        assert code == 100 - signal.SIGKILL
        assert limits.enclose("worker-1", 1 << 30, ["true"])[0] == "sh", "the group was removed and can be made again"
        limits.close()
