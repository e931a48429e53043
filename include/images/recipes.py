"""The renditions that are made of every picture, as `recipes.yaml` declares them.

`python -m include.images.recipes` writes the JSON Schema for editors.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from include.images.engine.recipe import Format, Model, Point, Quality, Recipe, Watermark
from include.images.errors import RecipeError
from include.own_folders import own_recipes

__all__ = ["Choice", "Format", "Point", "Quality", "Recipe", "RecipeSet", "Recipes", "Watermark", "load_recipes"]
RECIPES = Path(__file__).parent / "recipes.yaml"
SCHEMA_FILE = RECIPES.with_suffix(".schema.json")
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")  # of renditions and sets
DEFAULT = "default"  # what the recipes are called that belong to no set


class RecipeSet(Model):
    """Renditions that are made of a picture together."""

    renditions: dict[str, Recipe] = Field(min_length=1, description="Recipes by the rendition's name.")

    @field_validator("renditions")
    @classmethod
    def _names(cls, renditions: dict[str, Recipe]) -> dict[str, Recipe]:
        for name in renditions:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a valid rendition name: lower-case letters, digits and _ only")
        return renditions

    @cached_property
    def identity(self) -> str:
        """16 hex digits of all recipes and formats: a source is done when it is done for these."""
        values = sorted((name, recipe.identity, *recipe.formats) for name, recipe in self.renditions.items())
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


class Choice(NamedTuple):
    """Which renditions an upload gets: those of a set, "" for the file's own, around a focal point if it names one.

    As text, in the warehouse, it is `set@x,y`.
    """

    name: str = ""
    point: Point | None = None

    @classmethod
    def of(cls, text: str) -> Choice:
        """The choice that stands in the warehouse."""
        name, _, place = text.partition("@")
        if not place:
            return cls(name)
        x, y = map(float, place.split(","))
        return cls(name, Point(x=x, y=y))

    def __str__(self) -> str:
        return self.name if self.point is None else f"{self.name}@{self.point.x:.3g},{self.point.y:.3g}"


class Recipes(RecipeSet):
    """The recipe file."""

    sets: dict[str, RecipeSet] = Field(
        default_factory=dict, description="Other renditions, by the name that an upload asks for them by."
    )
    owners: dict[str, str] = Field(
        default_factory=dict, description="By user, the set that is made of an upload which names none."
    )

    @model_validator(mode="after")
    def _known(self) -> Recipes:
        for name in self.sets:
            if not NAME.fullmatch(name) or name == DEFAULT:
                raise ValueError(f"sets: {name!r} is no valid name: lower-case letters, digits and _, not {DEFAULT}")
        for owner, name in self.owners.items():
            if name not in self.names:
                raise ValueError(f"owners.{owner}: there is no set {name!r}; there are {', '.join(self.names)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """What an upload may ask for."""
        return DEFAULT, *self.sets

    def choose(self, owner: str, name: str | None = None, point: Point | None = None) -> Choice:
        """What this user's upload gets that names this set, or none. Raises RecipeError for one that is not there."""
        name = self.owners.get(owner, DEFAULT) if name is None else name
        if name not in self.names:
            raise RecipeError(f"there is no set of recipes {name!r}; there are: {', '.join(self.names)}")
        return Choice("" if name == DEFAULT else name, point)

    def of(self, choice: str) -> RecipeSet:
        """The recipes of a choice: of a set that is not there any more, the file's own."""
        chosen, point = Choice.of(choice)
        found = self.sets.get(chosen, self)
        if point is None:
            return found
        return RecipeSet(renditions={name: recipe.around(point) for name, recipe in found.renditions.items()})

    @property
    def identities(self) -> dict[str, str]:
        """Of the file's own recipes, as "", and of each set."""
        return {"": self.identity, **{name: found.identity for name, found in self.sets.items()}}

    def identity_of(self, choice: str) -> str:
        """Of the set that is chosen; the focal point stands in the choice itself."""
        return self.sets.get(Choice.of(choice).name, self).identity


def load_recipes(path: Path | None = None) -> Recipes:
    """Read the recipe file: `recipes.yaml` in a folder of the user's ($MILLRACE_DATASETS), or ours.

    Raises RecipeError that names file and field.
    """
    path = path or own_recipes() or RECIPES
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Recipes.model_validate(values, context={"folder": path.parent})
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: {error}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise RecipeError(f"{path}: {faults}") from None


_last: tuple[tuple[Path, int, int], Recipes] | None = None


def recipes_now() -> Recipes:
    """`load_recipes`, but the file is only read again when it has changed. Blocks; may be called by many threads."""
    global _last
    path = own_recipes() or RECIPES
    try:
        seen = path.stat()
    except OSError as fault:
        raise RecipeError(f"{path}: {fault.strerror}") from None
    mark = (path, seen.st_size, seen.st_mtime_ns)
    if _last is None or _last[0] != mark:
        _last = (mark, load_recipes(path))
    return _last[1]


def schema_text() -> str:
    """The JSON Schema of the recipe file, for editors."""
    return json.dumps(Recipes.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
