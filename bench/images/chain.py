"""What every contender makes of a picture, with which encoder settings: declared once, handed to all as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from include.images.engine.encode import SMALL_PIXELS
from include.images.recipes import Format, Quality, Recipe, Recipes

SIDES = {"large": 1024, "medium": 512, "thumb": 128}
FILES: tuple[Format, ...] = ("jpeg", "webp")
LOSSLESS: tuple[Format, ...] = ("png",)  # shows the resizing alone
QUALITY = Quality.model_validate({"jpeg": 82, "webp": 80, "webp_effort": 2})


def order(forms: Sequence[Format]) -> str:
    """The words on a contender's command line."""
    renditions = [
        {"name": name, "side": side, "full_chroma": side * side <= SMALL_PIXELS} for name, side in SIDES.items()
    ]
    settings = {"jpeg": QUALITY.jpeg, "webp": QUALITY.webp, "effort": QUALITY.webp_effort}
    return json.dumps({"renditions": renditions, "forms": list(forms), **settings})


def recipes(words: str) -> Recipes:
    """The same for Millrace's engine."""
    found = json.loads(words)
    made = {one["name"]: {"side": one["side"], "formats": found["forms"], "quality": QUALITY}
            for one in found["renditions"]}  # fmt: skip
    return Recipes(renditions={name: Recipe.model_validate(recipe) for name, recipe in made.items()})
