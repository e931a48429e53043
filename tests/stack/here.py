"""The project's own command, and what this machine lets a test do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from stack.cluster import command
from stack.errors import StackError
from tests.waiting import PATIENCE_SECONDS

REPOSITORY = Path(__file__).resolve().parents[2]


def run(*arguments: str, cwd: Path = REPOSITORY, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [cwd / "run", *arguments],
        cwd="/",
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def refusal() -> str:
    """Why there can be no cluster here: an ordinary user, or a container that may not make namespaces."""
    try:
        command.check_machine()
    except StackError as fault:
        return str(fault)
    return ""
