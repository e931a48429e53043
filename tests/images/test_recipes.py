"""The recipe file: what it may say, and what makes a rendition another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.images.engine.geometry import layout
from include.images.errors import RecipeError
from include.images.recipes import SCHEMA_FILE, Recipe, load_recipes, schema_text


def test_the_committed_recipes_and_schema_are_right() -> None:
    assert set(load_recipes().renditions) == {"large", "medium", "thumb"}
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), "run `python -m include.images.recipes`"


@pytest.mark.parametrize(("text", "said"), [
    ("renditions: {}", "renditions"),
    ("renditions: {large: {}}", "renditions.large: Value error, needs either side or box"),
    ("renditions: {large: {side: 1, box: [1, 1]}}", "needs either side or box"),
    ("renditions: {large: {side: 10, fit: cover}}", "fit cover needs a box"),
    ("renditions: {large: {side: 10, formats: [gif]}}", "renditions.large.formats.0"),
    ("renditions: {large: {side: 10, formats: [jpeg, jpeg]}}", "a format is listed twice"),
    ("renditions: {Large: {side: 10}}", "is not a valid rendition name"),
    ("renditions: {large: {side: 10, size: 4}}", "renditions.large.size"),
    ("renditions: {large: {box: [0, 4]}}", "width and height"),
    ("renditions: [", "recipes.yaml"),
])  # fmt: skip
def test_a_fault_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "recipes.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipes(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


def test_identity_follows_what_comes_out() -> None:
    plain = Recipe(side=100)
    assert plain.identity == Recipe(side=100, formats=("png",)).identity
    others = [
        Recipe(side=101),
        Recipe(side=100, sharpen=1),
        Recipe(side=100, background="#000000"),
        Recipe(box=(100, 100)),
    ]
    assert len({plain.identity, *(other.identity for other in others)}) == 5


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (4000, 3000), (3, 2)])
@pytest.mark.parametrize("fit", ["inside", "cover", "contain"])
def test_no_size_is_empty_or_enlarged(size: tuple[int, int], fit: str) -> None:
    found = layout(size, Recipe(box=(100, 40), fit=fit))
    assert min(*found.scaled, *found.final) >= 1
    assert found.scaled[0] <= size[0]
    assert found.scaled[1] <= size[1]
    if fit == "contain":
        assert found.final == (100, 40)
