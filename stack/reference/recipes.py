"""The fields of the recipe file, from the models that check it."""

from __future__ import annotations

from pydantic import BaseModel

from include.images.recipes import Point, Quality, Recipe, Recipes, RecipeSet, Watermark
from stack.reference.markdown import code, fields, page

PARTS: dict[type[BaseModel], str] = {
    RecipeSet: "sets.<name>",
    Recipe: "renditions.<name>",
    Point: "crop",
    Quality: "quality",
    Watermark: "watermark",
}


def write() -> str:
    """The page."""
    return page(
        "Recipe file",
        "The fields of `include/images/recipes.yaml`, or of a `recipes.yaml` in a folder of `MILLRACE_DATASETS`."
        " How to use them: [change the renditions](../how-to/upload-pictures.md#change-the-renditions).",
        "## The file",
        fields(Recipes.model_json_schema()),
        *(part for model, where in PARTS.items() for part in _part(model, where)),
    )


def _part(model: type[BaseModel], where: str) -> list[str]:
    intro = (model.__doc__ or "").strip().splitlines()[0]
    return [f"## {model.__name__}", f"Field {code(where)}. {intro}", fields(model.model_json_schema())]
