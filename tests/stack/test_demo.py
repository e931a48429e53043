"""`./run demo --once`, as a user runs it first: from nothing to the account of a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.stack.here import run


@pytest.mark.airflow
def test_a_demo_ingests_a_file_and_leaves_nothing_running(tmp_path: Path) -> None:
    environment = {"MILLRACE_STATE": str(tmp_path / "state")}
    try:
        done = run("demo", "--once", "--mb", "2", **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        read, inserted, updated, unchanged, superseded, rejected = account(done.stdout)
        assert read > 10_000
        assert read == inserted + updated + unchanged + superseded + rejected
        assert "torn.jpg is cut short on purpose" in done.stdout
        assert "Airflow starting tasks" in done.stdout
        assert "http://" not in done.stdout, "no address that does not answer any more"
        assert "./run up starts it again" in done.stdout
        assert run("status", **environment).returncode == 1
    finally:
        run("down", "--delete", **environment)


def account(output: str) -> list[int]:
    """The six counts below the account's head."""
    lines = output.splitlines()
    head = next(index for index, line in enumerate(lines) if line.split()[:2] == ["read", "inserted"])
    return [int(number.replace(",", "")) for number in re.findall(r"[\d,]+", lines[head + 1])[:6]]
