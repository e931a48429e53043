"""The version stands in one place, and what goes with a release says the same."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
CHANGELOG = (REPOSITORY / "CHANGELOG.md").read_text()
HEADINGS = re.findall(r"^## (.+)$", CHANGELOG, re.M)


def test_the_newest_release_in_the_changelog_is_the_projects_version() -> None:
    released = [heading for heading in HEADINGS if heading != "[Unreleased]"]
    found = re.fullmatch(r"\[([\d.]+)\] - (\d{4}-\d\d-\d\d)", released[0])
    assert found, f"not of the form [1.2.3] - 2026-01-31: {released[0]}"
    assert found[1] == VERSION
    assert date.fromisoformat(found[2]).year >= 2026


def test_what_is_not_released_stands_first() -> None:
    assert HEADINGS[0] == "[Unreleased]"


def test_groups_are_those_of_keep_a_changelog() -> None:
    groups = set(re.findall(r"^### (.+)$", CHANGELOG, re.M))
    assert groups <= {"Upgrade notes", "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_security_policy_supports_this_release() -> None:
    minor = ".".join(VERSION.split(".")[:2])
    assert f"| {minor} | yes |" in (REPOSITORY / "SECURITY.md").read_text()
