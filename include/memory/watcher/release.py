"""Which release of the project runs here, so that a deploy can be marked beside what memory did."""

from __future__ import annotations

import os
from pathlib import Path

CHOSEN = "MILLRACE_RELEASE"
REPOSITORY = Path(__file__).parents[3]


def release(repository: Path = REPOSITORY) -> str | None:
    """$MILLRACE_RELEASE, or the commit that is checked out, its first twelve digits; None where neither is known."""
    return os.environ.get(CHOSEN) or _commit(repository)


def _commit(repository: Path) -> str | None:
    try:
        git = repository / ".git"
        if git.is_file():  # a worktree
            git = repository / git.read_text().removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        name = head.removeprefix("ref: ")
        common = git / "commondir"
        store = git / common.read_text().strip() if common.exists() else git
        loose = store / name
        if loose.exists():
            return loose.read_text().strip()[:12]
        packed = (store / "packed-refs").read_text().splitlines()
        return next((line[:12] for line in packed if line.endswith(f" {name}")), None)
    except (OSError, ValueError):
        return None
