"""One picture in a child process of its own."""

from __future__ import annotations

from pathlib import Path

from include.images.engine.render import Rendered
from include.images.engine.sandbox import Sandbox
from include.images.limits import LIMITS, Limits
from include.images.recipes import Recipes


def render_safely(path: Path, recipes: Recipes, folder: Path, limits: Limits = LIMITS) -> Rendered:
    """As a batch renders it, with nothing before and after."""
    with Sandbox(recipes, limits) as sandbox:
        return sandbox.render(path, folder)
