"""The page Memory, behind the login."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from include import pages

FILES = (
    "memory.html", "memory.css", "memory.js", "process.js", "profile.js", "tasks.js", "plot.js", "groups.js",
    "words.js", "memory.svg", "memory-dark.svg",
)  # fmt: skip


def router(may_read: Callable[..., Any]) -> APIRouter:
    """The page's files, at /memory/memory.html and beside it."""
    return pages.router(Path(__file__).parent, FILES, may_read, prefix="/memory")
