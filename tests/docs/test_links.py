"""Every relative link of the Markdown files leads somewhere, to the heading that it names."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.docs.fences import FENCE, REPOSITORY

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
TEST = re.compile(r"\[`(tests/[\w/]+\.py)::(\w+)`\]\((\S+?)\)")


def listed() -> list[Path]:
    """The Markdown files of the project, new ones too."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return sorted(REPOSITORY / name for name in done.stdout.splitlines() if (REPOSITORY / name).exists())


FILES = listed()


@cache
def prose(file: Path) -> str:
    """A page without its code."""
    return re.sub(r"(`+)[^`\n]+\1(?!\])", "", FENCE.sub("", file.read_text()))


@cache
def anchors(file: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", file.read_text())):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        found.add(name if name not in found else f"{name}-1")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_links_lead_somewhere(file: Path) -> None:
    broken = []
    for link in LINK.findall(prose(file)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (file.parent / name).resolve() if name else file
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_tests_that_hold_the_promises_exist() -> None:
    promised = TEST.findall((REPOSITORY / "README.md").read_text())
    assert len(promised) >= 12
    for file, name, link in promised:
        assert link == file
        assert re.search(rf"^def {name}\(", (REPOSITORY / file).read_text(), re.MULTILINE), f"{file}::{name}"


def test_every_page_is_in_the_index() -> None:
    text = (REPOSITORY / "docs" / "README.md").read_text()
    linked = {(REPOSITORY / "docs" / link.partition("#")[0]).resolve() for link in LINK.findall(text)}
    pages = {file for file in FILES if file.is_relative_to(REPOSITORY / "docs")} - {REPOSITORY / "docs" / "README.md"}
    assert {file for file in pages if file.parent.name != "decisions"} <= linked


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text().split()) <= 1200
