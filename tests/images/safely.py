"""One picture in a child process of its own."""

from __future__ import annotations

import time
from pathlib import Path

from include.images.engine.render import Rendered
from include.images.engine.sandbox import Sandbox
from include.images.errors import Rejected
from include.images.limits import LIMITS, Limits
from include.images.recipes import Recipes

LONGEST_SECONDS = 10.0


def render_safely(path: Path, recipes: Recipes, folder: Path, limits: Limits = LIMITS) -> Rendered:
    """As a batch renders it, with nothing before and after."""
    with Sandbox(recipes, limits) as sandbox:
        return sandbox.render(path, folder)


def outcome(folder: Path, data: bytes, recipes: Recipes) -> Rendered | Rejected:
    """What comes of a file as a task renders it; a child that is killed, or takes long, fails the test."""
    (folder / "source").write_bytes(data)
    began = time.monotonic()
    try:
        return render_safely(folder / "source", recipes, folder)
    except Rejected as fault:
        return fault
    finally:
        assert time.monotonic() - began < LONGEST_SECONDS
