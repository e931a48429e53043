"""The renditions that are made of every picture, as `recipes.yaml` declares them.

`python -m include.images.recipes` writes the JSON Schema for editors.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from include.images.errors import RecipeError
from include.own_folders import own_recipes

RECIPES = Path(__file__).parent / "recipes.yaml"
SCHEMA_FILE = RECIPES.with_suffix(".schema.json")
ENGINE = 2  # goes up when the same recipe comes out otherwise, so that renditions are made anew
Format = Literal["jpeg", "webp", "avif", "png"]
SUFFIX: dict[str, str] = {"jpeg": "jpg", "webp": "webp", "avif": "avif", "png": "png"}
ALPHA = ("webp", "avif", "png")
ANIMATED = ("webp",)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Quality(_Model):
    """How well each format is encoded."""

    jpeg: int = Field(82, ge=1, le=95, description="Quality of JPEG.")
    webp: int = Field(80, ge=1, le=100, description="Quality of WebP.")
    avif: int = Field(60, ge=1, le=100, description="Quality of AVIF.")
    webp_effort: int = Field(
        2, ge=0, le=6, description="How long WebP is tried to be made smaller: 4 takes twice as 2."
    )
    avif_speed: int = Field(8, ge=0, le=10, description="How fast AVIF is encoded; below 6 takes seconds a picture.")


class Recipe(_Model):
    """One rendition."""

    side: int | None = Field(None, ge=1, le=16_000, description="Pixels of the longer side.")
    box: tuple[int, int] | None = Field(None, description="Width and height in pixels.")
    fit: Literal["inside", "cover", "contain"] = Field(
        "inside", description="inside the box; cover it and crop the rest; contained in it, on the background."
    )
    crop: Literal["centre", "attention"] = Field(
        "centre", description="What `cover` keeps: the centre, or where most of the detail is."
    )
    formats: tuple[Format, ...] = Field(("jpeg", "webp"), min_length=1, description="Files made of the rendition.")
    background: str = Field("#ffffff", pattern=r"^#[0-9a-f]{6}$", description="Laid under transparency and around.")
    quality: Quality = Field(default_factory=lambda: Quality.model_validate({}), description="Encoder settings.")
    sharpen: float = Field(0.0, ge=0, le=5, description="Strength of an unsharp mask after resizing; 0 for none.")
    enlarge: bool = Field(False, description="Whether a smaller picture is made larger.")
    salvage: bool = Field(
        False, description="Whether it is made of what is there of a file that was cut off or damaged."
    )
    keep_copyright: bool = Field(False, description="Whether artist and copyright stay in the file.")

    @field_validator("box")
    @classmethod
    def _positive(cls, box: tuple[int, int] | None) -> tuple[int, int] | None:
        if box is not None and not all(1 <= side <= 16_000 for side in box):
            raise ValueError("width and height must be 1 to 16000")
        return box

    @model_validator(mode="after")
    def _one_size(self) -> Recipe:
        if (self.side is None) == (self.box is None):
            raise ValueError("needs either side or box")
        if self.side is not None and self.fit != "inside":
            raise ValueError(f"fit {self.fit} needs a box")
        if len(set(self.formats)) != len(self.formats):
            raise ValueError("a format is listed twice")
        return self

    @cached_property
    def identity(self) -> str:
        """16 hex digits of all that decides what comes out."""
        values = {"engine": ENGINE, **self.model_dump(mode="json", exclude={"formats"})}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


class Recipes(_Model):
    """The recipe file."""

    renditions: dict[str, Recipe] = Field(min_length=1, description="Recipes by the rendition's name.")

    @field_validator("renditions")
    @classmethod
    def _names(cls, renditions: dict[str, Recipe]) -> dict[str, Recipe]:
        for name in renditions:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name):
                raise ValueError(f"{name!r} is not a valid rendition name: lower-case letters, digits and _ only")
        return renditions

    @cached_property
    def identity(self) -> str:
        """16 hex digits of all recipes and formats: a source is done when it is done for these."""
        values = sorted((name, recipe.identity, *recipe.formats) for name, recipe in self.renditions.items())
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def load_recipes(path: Path | None = None) -> Recipes:
    """Read the recipe file: `recipes.yaml` in a folder of the user's ($MILLRACE_DATASETS), or ours.

    Raises RecipeError that names file and field.
    """
    path = path or own_recipes() or RECIPES
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Recipes.model_validate(values)
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: {error}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise RecipeError(f"{path}: {faults}") from None


def schema_text() -> str:
    """The JSON Schema of the recipe file, for editors."""
    return json.dumps(Recipes.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
