"""The code of README.md and docs/: its fences, and the commands in them."""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")))
FENCE = re.compile(r"^( *)```(.*)\n((?:.*\n)*?)\1```$", re.MULTILINE)
HERE = re.compile(r"<<'?(\w+)'?")


@dataclass(frozen=True)
class Fence:
    """A block of code. `after` is the text that follows it: what it prints, if that is a fence of `text`."""

    page: str
    line: int
    language: str
    text: str
    after: str

    @property
    def place(self) -> str:
        """Where it is."""
        return f"{self.page}:{self.line}"

    @property
    def output(self) -> str | None:
        """What it is said to print, if that stands right below."""
        below = FENCE.match(self.after.lstrip("\n"))
        return textwrap.dedent(below[3]) if below and below[2] == "text" else None


def of(file: Path) -> list[Fence]:
    """All fences of a page."""
    text = file.read_text()
    return [
        Fence(
            str(file.relative_to(REPOSITORY)), text.count("\n", 0, found.start()) + 1, found[2],
            textwrap.dedent(found[3]), text[found.end() :],
        )
        for found in FENCE.finditer(text)
    ]  # fmt: skip


def written_in(*languages: str) -> list[Fence]:
    """All fences of all pages in these languages."""
    return [fence for file in PAGES for fence in of(file) if fence.language in languages]


def commands(text: str) -> list[str]:
    """The commands of a shell script, each with its continued lines, quoted newlines and here-document."""
    found: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        command = line
        while command.endswith("\\") or _is_open(command):
            command += "\n" + next(lines)
        for mark in HERE.findall(command):
            for below in lines:
                command += "\n" + below
                if below == mark:
                    break
        found.append(command)
    return found


def _is_open(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


def words(command: str) -> list[str]:
    """A command's words, without its comment."""
    return shlex.split(command, comments=True)
