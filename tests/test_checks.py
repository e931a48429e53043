"""A commit, `./run check` and the workflow run the same checks, on files that are there, with pinned tools."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import maintain
from stack.errors import StackError

REPOSITORY = Path(__file__).parents[1]
HOOK = ".venv/bin/python -m stack check "


def read(path: str) -> dict[str, Any]:
    return dict(yaml.safe_load((REPOSITORY / path).read_text()))


def test_a_commit_runs_what_the_command_runs() -> None:
    (local,) = read(".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"] for hook in local["hooks"]]
    hooked = [entry.removeprefix(HOOK) for entry in entries if entry.startswith(HOOK)]
    assert sorted(hooked) == sorted({command[0] for command in maintain.all_checks()})


def test_a_pattern_that_fits_no_file_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintain, "SCHEMAS", {"nowhere/*.yaml": "vendor.dependabot"})
    with pytest.raises(StackError, match=r"no file is named nowhere/\*\.yaml"):
        maintain.all_checks()


def named(name: str, version: str) -> str:
    """A pin with the name as indexes write it."""
    return f"{name.lower().replace('_', '-')}=={version}"


@pytest.mark.parametrize("source", maintain.LOCKS)
def test_a_lock_holds_what_is_pinned(source: str) -> None:
    pins = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)", (REPOSITORY / source).read_text(), re.M)
    locked = (REPOSITORY / source.replace(".txt", ".lock")).read_text()
    assert pins
    held = {
        (name.lower().replace("_", "-"), version)
        for name, version in re.findall(r"^([\w.-]+)==(\S+)(?: ; .*)? \\$", locked, re.M)
    }
    assert {(name.lower().replace("_", "-"), version) for name, version in pins} <= held


def test_actions_are_pinned_by_commit() -> None:
    files = sorted((REPOSITORY / ".github").rglob("*.yaml"))
    used = [line for file in files for line in re.findall(r"uses: *(\S+.*)", file.read_text())]
    assert len(used) >= 4
    assert [line for line in used if not re.fullmatch(r"\./\S+|[\w/-]+@[0-9a-f]{40} # v[\d.]+", line)] == []


def test_the_workflow_tries_every_version_that_is_supported() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    first, end = map(int, re.findall(r"3\.(\d+)", project["requires-python"]))
    matrix = read(".github/workflows/ci.yaml")["jobs"]["quick"]["strategy"]["matrix"]
    assert matrix["python"] == [f"3.{minor}" for minor in range(first, end)]
