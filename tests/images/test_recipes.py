"""The recipe file: what it may say, and what makes a rendition another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from include.images.engine.geometry import layout
from include.images.errors import RecipeError
from include.images.recipes import (
    SCHEMA_FILE,
    Choice,
    Point,
    Recipe,
    Recipes,
    load_recipes,
    recipes_now,
    schema_text,
)
from tests.images import pictures


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
    ("renditions: {large: {side: 10, crop: {x: 1.1, y: 0}}}", "renditions.large.crop"),
    ("renditions: {large: {side: 10, crop: face}}", "renditions.large.crop"),
    ("renditions: {large: {side: 10, blur: -1}}", "renditions.large.blur"),
    ("renditions: {large: {side: 10, quality: {target_ssim: 1}}}", "renditions.large.quality.target_ssim"),
    ("renditions: {large: {side: 10, quality: {target_ssim: 0.9, max_bytes: 9}}}", "not both"),
    ("renditions: {large: {side: 10, watermark: {file: none.png}}}",
     "renditions.large.watermark: Value error, file: there is no file"),
    ("renditions: {large: {side: 10, watermark: {file: recipes.yaml}}}", "recipes.yaml can't be used as a PNG"),
    ("renditions: {large: {side: 10, watermark: {file: cut.png}}}", "cut.png can't be used as a PNG"),
    ("renditions: {large: {side: 10, watermark: {file: photo.jpg}}}", "photo.jpg can't be used as a PNG"),
    ("renditions: {large: {side: 10, watermark: {file: wide.png}}}", "more than 4000 pixels"),
    ("renditions: {large: {side: 10, watermark: {file: ../outside.png}}}", "does not lie below"),
    ("renditions: {large: {side: 10, watermark: {file: link.png}}}", "does not lie below"),
    ("renditions: {large: {side: 10, watermark: {file: logo.png, opacity: 0}}}", "watermark.opacity"),
    ("renditions: {large: {side: 10}}\nsets: {Product: {renditions: {a: {side: 9}}}}", "'Product' is no valid name"),
    ("renditions: {large: {side: 10}}\nsets: {default: {renditions: {a: {side: 9}}}}", "'default' is no valid name"),
    ("renditions: {large: {side: 10}}\nsets: {product: {renditions: {}}}", "sets.product.renditions"),
    ("renditions: {large: {side: 10}}\nsets: {product: {renditions: {a: {side: 9}}}}\nowners: {ann: avatar}",
     "owners.ann: there is no set 'avatar'; there are default, product"),
])  # fmt: skip
def test_a_fault_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / "recipes.yaml"
    file.write_text(text)
    logo = pictures.encoded(pictures.quarters(), "PNG")
    (tmp_path / "outside.png").write_bytes(logo)
    (tmp_path / "own" / "link.png").symlink_to(tmp_path / "outside.png")
    (tmp_path / "own" / "logo.png").write_bytes(logo)
    (tmp_path / "own" / "cut.png").write_bytes(logo[:-40])
    (tmp_path / "own" / "photo.jpg").write_bytes(pictures.encoded(pictures.quarters()))
    (tmp_path / "own" / "wide.png").write_bytes(pictures.encoded(Image.new("1", (4001, 1)), "PNG"))
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


def test_fields_that_came_later_leave_the_recipes_before_as_they_were() -> None:
    """Else an upgrade would make all stored pictures anew, to the same files."""
    found = load_recipes()
    assert {name: recipe.identity for name, recipe in found.renditions.items()} == {
        "large": "9cc1872167648852", "medium": "283083dcdaf1a325", "thumb": "d9291c46e0c0346c",
    }  # fmt: skip
    assert found.identity == "4388c8e2f7b74878"


def test_identity_follows_the_new_fields_too(tmp_path: Path) -> None:
    plain = Recipe(box=(10, 10), fit="cover")
    others: list[dict[str, Any]] = [
        {"crop": "focal"}, {"crop": {"x": 0.5, "y": 0.5}}, {"crop": {"x": 0.5, "y": 0.4}}, {"blur": 2},
        {"quality": {"target_ssim": 0.9}}, {"quality": {"max_bytes": 9}},
    ]  # fmt: skip
    found = [Recipe.model_validate({"box": (10, 10), "fit": "cover", **other}).identity for other in others]
    assert len({plain.identity, *found}) == len(others) + 1


def test_a_watermark_is_known_by_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "recipes.yaml"

    def identity(name: str, data: bytes, more: str = "") -> str:
        (tmp_path / name).write_bytes(data)
        file.write_text(f"renditions: {{a: {{side: 9, watermark: {{file: {name}{more}}}}}}}")
        return load_recipes(file).identity

    one, other = (pictures.encoded(pictures.quarters(width, 100), "PNG") for width in (100, 200))
    found = [identity("logo.png", one), identity("logo.png", other), identity("logo.png", one, ", opacity: 0.5")]
    assert len({Recipes(renditions={"a": Recipe(side=9)}).identity, *found}) == 4
    (tmp_path / "brand").mkdir()
    assert identity("brand/same.png", one) == found[0]


def test_sets_are_chosen_by_name_or_owner(tmp_path: Path) -> None:
    file = tmp_path / "recipes.yaml"
    file.write_text(
        "renditions: {large: {side: 100}}\nowners: {ann: product}\n"
        "sets: {product: {renditions: {square: {box: [9, 9], fit: cover, crop: focal}}}}"
    )
    found = load_recipes(file)
    point = Point(x=0.3, y=2 / 3)
    chosen = [found.choose("ann"), found.choose("bob"), found.choose("ann", "default"), found.choose("bob", "product")]
    assert [str(choice) for choice in chosen] == ["product", "", "", "product"]
    text = str(found.choose("ann", None, point))
    assert text == "product@0.3,0.667"
    assert Choice.of(text) == ("product", Point(x=0.3, y=0.667))
    assert found.of(text).renditions["square"].crop == Point(x=0.3, y=0.667)
    assert found.of("product").renditions["square"].crop == "focal"
    assert len({found.of(text).identity, found.of("product").identity, found.identity}) == 3
    assert found.identity_of(text) == found.of("product").identity
    assert found.of("gone@0,1").renditions.keys() == found.renditions.keys(), "a set that is not there any more"
    with pytest.raises(RecipeError, match="there is no set of recipes 'avatar'; there are: default, product"):
        found.choose("ann", "avatar")


def test_the_file_is_read_again_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DATASETS", str(tmp_path))
    (tmp_path / "recipes.yaml").write_text("renditions: {large: {side: 100}}")
    first = recipes_now()
    assert recipes_now() is first
    (tmp_path / "recipes.yaml").write_text("renditions: {other: {side: 99}}")
    assert set(recipes_now().renditions) == {"other"}
    (tmp_path / "recipes.yaml").write_text("renditions: {}")
    with pytest.raises(RecipeError):
        recipes_now()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (4000, 3000), (3, 2)])
@pytest.mark.parametrize("fit", ["inside", "cover", "contain"])
def test_no_size_is_empty_or_enlarged(size: tuple[int, int], fit: str) -> None:
    found = layout(size, Recipe(box=(100, 40), fit=fit))
    assert min(*found.scaled, *found.final) >= 1
    assert found.scaled[0] <= size[0]
    assert found.scaled[1] <= size[1]
    if fit == "contain":
        assert found.final == (100, 40)
