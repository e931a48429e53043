"""What is done to a rendition once it has its size: focal point, blur, watermark, and a quality by target."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from include.images.engine import encode as encoder
from include.images.engine.render import Rendered, render
from include.images.engine.similarity import ssim
from include.images.recipes import Recipe, Recipes
from tests.images import pictures
from tests.images.test_render import PNG, made, one, pixel

COVER = {"box": [50, 50], "fit": "cover", **PNG}


@pytest.mark.parametrize(("point", "colour"), [
    ((0.0, 0.5), (255, 0, 0)), ((0.2, 0.5), (255, 0, 0)), ((0.9, 0.5), (0, 255, 0)), ((1.0, 0.0), (0, 255, 0)),
])  # fmt: skip
def test_a_point_is_kept(tmp_path: Path, point: tuple[float, float], colour: tuple[int, ...]) -> None:
    crop = {"x": point[0], "y": point[1]}
    _, files = made(tmp_path, pictures.encoded(pictures.quarters(), "PNG"), square={**COVER, "crop": crop})
    assert files["square.png"].size == (50, 50)
    assert pixel(files["square.png"], 0.5, 0.1)[:3] == colour


def test_a_point_is_of_the_picture_as_it_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    stored = pictures.quarters().transpose(Image.Transpose.ROTATE_90)
    data = pictures.encoded(stored, "PNG", exif=exif.tobytes())
    _, files = made(tmp_path, data, square={**COVER, "crop": {"x": 1.0, "y": 0.5}})
    assert pixel(files["square.png"], 0.5, 0.1)[:3] == (0, 255, 0)


def test_a_focal_point_that_nobody_names_is_where_the_detail_is(tmp_path: Path) -> None:
    image = Image.new("RGB", (400, 100), "white")
    image.paste(pictures.photo(80, 80), (310, 10))
    box = {"box": [100, 100], "fit": "cover", **PNG}
    _, files = made(
        tmp_path, pictures.encoded(image, "PNG"), a={**box, "crop": "focal"}, b={**box, "crop": "attention"}
    )
    assert files["a.png"].tobytes() == files["b.png"].tobytes()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("sigma", [1.0, 4.0])
def test_a_blur_is_that_of_scipy(tmp_path: Path, mode: str, sigma: float) -> None:
    photo = pictures.photo(200, 150).convert(mode)
    _, files = made(tmp_path, pictures.encoded(photo, "PNG"), soft={"side": 200, "blur": sigma, **PNG})
    wanted = np.asarray(photo.convert("RGB"), float)
    wanted = gaussian_filter(wanted, (sigma, sigma, 0), mode="nearest")
    difference = np.asarray(files["soft.png"].convert("RGB"), float) - wanted
    assert np.abs(difference).mean() < 1.0
    assert np.abs(difference).max() < 12


def test_invisible_colours_do_not_show_in_a_blur(tmp_path: Path) -> None:
    image = Image.new("RGBA", (60, 60), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 30, 60))
    _, files = made(tmp_path, pictures.encoded(image, "PNG"), soft={"side": 60, "blur": 3, **PNG})
    seen = np.asarray(files["soft.png"], int)
    edge = seen[30][(seen[30, :, 3] > 40) & (seen[30, :, 3] < 215)]
    assert len(edge)
    assert edge[:, 1].max() < 10, "the invisible green bled in"


def logo(folder: Path, image: Image.Image, **options: Any) -> None:
    (folder / "logo.png").write_bytes(pictures.encoded(image, "PNG", **options))


def marked(folder: Path, source: bytes, **recipe: Any) -> tuple[Rendered, dict[str, Image.Image]]:
    """Render with a watermark out of the folder."""
    mark = {"file": "logo.png", **recipe.pop("watermark", {})}
    values = {"renditions": {"a": {"side": 200, **PNG, **recipe, "watermark": mark}}}
    (folder / "source").write_bytes(source)
    found = render(folder / "source", Recipes.model_validate(values, context={"folder": folder}), folder)
    return found, {one.file: Image.open(io.BytesIO((folder / one.file).read_bytes())) for one in found.renditions}


@pytest.mark.parametrize(("position", "box"), [
    ("top-left", (10, 10, 60, 35)), ("top-right", (140, 10, 190, 35)), ("bottom-left", (10, 65, 60, 90)),
    ("bottom-right", (140, 65, 190, 90)), ("centre", (75, 37, 125, 62)),
])  # fmt: skip
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_watermark_lies_where_it_should(tmp_path: Path, position: str, box: tuple[int, ...], mode: str) -> None:
    logo(tmp_path, Image.new("RGB", (100, 50), (0, 0, 255)))
    ground = pictures.encoded(Image.new("RGB", (200, 100), (200, 200, 200)).convert(mode), "PNG")
    _, files = marked(tmp_path, ground, watermark={"position": position, "size": 0.25, "margin": 0.1})
    blue = np.argwhere(np.asarray(files["a.png"].convert("RGB"))[:, :, 0] < 100)
    (top, left), (bottom, right) = blue.min(axis=0), blue.max(axis=0) + 1
    assert (left, top, right, bottom) == box


@pytest.mark.parametrize(("alpha", "opacity"), [(255, 1.0), (255, 0.3), (128, 1.0), (128, 0.5)])
def test_a_watermark_lets_through_what_it_should(tmp_path: Path, alpha: int, opacity: float) -> None:
    logo(tmp_path, Image.new("RGBA", (50, 50), (10, 20, 250, alpha)))
    ground = pictures.encoded(Image.new("RGB", (200, 200), (200, 100, 50)), "PNG")
    _, files = marked(tmp_path, ground, watermark={"position": "centre", "opacity": opacity})
    share = alpha / 255 * opacity
    wanted = np.array([200, 100, 50]) * (1 - share) + np.array([10, 20, 250]) * share
    assert np.abs(np.array(pixel(files["a.png"], 0.5, 0.5)[:3]) - wanted).max() <= 1.5
    assert pixel(files["a.png"], 0.1, 0.1)[:3] == (200, 100, 50)


def test_a_watermark_shows_on_what_is_transparent(tmp_path: Path) -> None:
    logo(tmp_path, Image.new("RGB", (50, 50), (0, 0, 255)))
    ground = pictures.encoded(Image.new("RGBA", (200, 200), (9, 9, 9, 0)), "PNG")
    _, files = marked(tmp_path, ground, watermark={"position": "centre"})
    assert pixel(files["a.png"], 0.5, 0.5) == (0, 0, 255, 255)
    assert pixel(files["a.png"], 0.1, 0.1)[3] == 0


def test_the_colours_of_a_watermark_are_those_of_its_profile(tmp_path: Path) -> None:
    logo(tmp_path, Image.new("RGB", (50, 50), (250, 10, 10)), icc_profile=pictures.wide_gamut_profile())
    ground = pictures.encoded(Image.new("RGB", (200, 200), "white"), "PNG")
    _, files = marked(tmp_path, ground, watermark={"position": "centre"})
    red, green, _ = pixel(files["a.png"], 0.5, 0.5)[:3]
    assert green > 230 > 60 > red


def test_a_tall_watermark_stays_inside(tmp_path: Path) -> None:
    logo(tmp_path, Image.new("RGB", (50, 1000), (0, 0, 255)))
    ground = pictures.encoded(Image.new("RGB", (200, 100), "white"), "PNG")
    _, files = marked(tmp_path, ground, watermark={"size": 1, "margin": 0.1})
    assert pixel(files["a.png"], 0.94, 0.02)[:3] == (255, 255, 255)
    assert pixel(files["a.png"], 0.94, 0.5)[:3] == (0, 0, 255)


def test_a_watermark_lies_on_every_frame_and_on_no_other_rendition(tmp_path: Path) -> None:
    logo(tmp_path, Image.new("RGB", (40, 40), (0, 255, 0)))
    mark = {"file": "logo.png", "position": "top-right"}
    values = {"renditions": {
        "a": {"side": 120, "formats": ["webp", "jpeg"], "watermark": mark}, "b": {"side": 110, "formats": ["webp"]},
    }}  # fmt: skip
    (tmp_path / "source").write_bytes(pictures.animation())
    found = render(tmp_path / "source", Recipes.model_validate(values, context={"folder": tmp_path}), tmp_path)
    assert [one(found, name).animated for name in "ab"] == [False, True]  # a.jpg is the first
    for file, green in (("a.webp", True), ("b.webp", False)):
        with Image.open(tmp_path / file) as moving:
            for number in range(5):
                moving.seek(number)
                red, seen, blue = pixel(moving, 0.88, 0.12)[:3]
                assert (seen > 200 and max(red, blue) < 60) == green, (file, number)


def same_as_wang(one: Image.Image, other: Image.Image) -> float:
    """SSIM by scipy's filter, in doubles: Gaussian of sigma 1.5 over 11 x 11, population statistics, inner mean."""
    x, y = (np.asarray(image.convert("L"), float) for image in (one, other))

    def mean(plane: Any) -> Any:
        return gaussian_filter(plane, 1.5, truncate=3.5)[5:-5, 5:-5]

    ux, uy = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - ux * ux, mean(y * y) - uy * uy, mean(x * y) - ux * uy
    c1, c2 = 6.5025, 58.5225
    return float(((2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))).mean())


@pytest.mark.parametrize("size", [(300, 200), (40, 700), (11, 11)])
def test_similarity_is_that_of_its_authors(size: tuple[int, int]) -> None:
    photo = pictures.photo(*size)
    for quality in (5, 30, 80):
        worse = Image.open(io.BytesIO(pictures.encoded(photo, quality=quality)))
        assert ssim(photo, worse) == pytest.approx(same_as_wang(photo, worse), abs=2e-4)
    assert ssim(photo, photo) == pytest.approx(1, abs=1e-5)


def test_a_picture_smaller_than_the_window_is_compared() -> None:
    assert ssim(Image.new("L", (1, 3), 9), Image.new("L", (1, 3), 9)) == pytest.approx(1)
    assert ssim(Image.new("L", (1, 3), 9), Image.new("L", (1, 3), 200)) < 0.2


LOSSY = ["jpeg", "webp", "avif"]


def tries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How large each file is that is encoded from now on."""
    sizes: list[int] = []
    save: Callable[..., bytes] = encoder._save

    def counted(*given: Any) -> bytes:
        data = save(*given)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(encoder, "_save", counted)
    return sizes


OPTIONS: dict[str, dict[str, Any]] = {
    "jpeg": {"progressive": True, "optimize": True, "subsampling": "4:4:4"},
    "webp": {"method": 2},
    "avif": {"speed": 8},
}


def every_quality(image: Image.Image, form: str) -> list[tuple[int, float]]:
    """Bytes and likeness of the file of each quality that there is."""
    files = [
        pictures.encoded(image, form.upper(), quality=quality, **OPTIONS[form])
        for quality in range(1, 96 if form == "jpeg" else 101)
    ]
    return [(len(file), same_as_wang(image, Image.open(io.BytesIO(file)))) for file in files]


@pytest.mark.parametrize("form", LOSSY)
def test_the_smallest_file_that_is_alike_enough(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By all that Pillow can make of it: none that is alike enough is much smaller."""
    data = pictures.encoded(pictures.photo(600, 400), "PNG")
    _, exact = made(tmp_path, data, a={"side": 300, **PNG})
    known = every_quality(exact["a.png"].convert("RGB"), form)
    for target in (0.96, 0.985):
        with monkeypatch.context() as patch:
            sizes = tries(patch)
            recipe = {"side": 300, "formats": [form], "quality": {"target_ssim": target}}
            found, files = made(tmp_path, data, a=recipe)
        assert found.renditions[0].reached
        assert same_as_wang(exact["a.png"], next(iter(files.values()))) >= target - 2e-4
        assert len(sizes) <= 7
        best = min(size for size, alike in known if alike >= target)
        assert best < max(size for size, _ in known), "there is something to be found"
        assert found.renditions[0].bytes <= best * 1.03


@pytest.mark.parametrize("form", LOSSY)
def test_the_best_file_that_fits(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pictures.encoded(pictures.photo(600, 400), "PNG")
    found, _ = made(tmp_path, data, a={"side": 300, "formats": [form]})
    most = found.renditions[0].bytes * 2 // 3
    sizes = tries(monkeypatch)
    found, _ = made(tmp_path, data, a={"side": 300, "formats": [form], "quality": {"max_bytes": most}})
    assert found.renditions[0].reached
    assert found.renditions[0].bytes == max(size for size in sizes if size <= most)
    assert found.renditions[0].bytes > most * 0.85
    assert len(sizes) <= 7


@pytest.mark.parametrize("form", LOSSY)
@pytest.mark.parametrize("quality", [{"target_ssim": 0.99999}, {"max_bytes": 10}])
def test_what_can_not_be_reached_is_told(
    tmp_path: Path, form: str, quality: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = tries(monkeypatch)
    data = pictures.encoded(pictures.photo(600, 400), "PNG")
    found, _ = made(tmp_path, data, a={"side": 300, "formats": [form], "quality": quality})
    assert found.renditions[0].reached is False
    assert found.renditions[0].bytes == (max(sizes) if "target_ssim" in quality else min(sizes))


def test_a_recipe_without_a_target_has_nothing_to_reach(tmp_path: Path) -> None:
    found, _ = made(tmp_path, pictures.encoded(pictures.photo()), a={"side": 60})
    assert [part.reached for part in found.renditions] == [None, None]


@pytest.mark.parametrize(("quality", "reached"), [
    ({"target_ssim": 0.9}, True), ({"max_bytes": 1_000_000}, True), ({"max_bytes": 100}, False),
])  # fmt: skip
def test_png_loses_nothing_whatever_the_target(tmp_path: Path, quality: dict[str, float], reached: bool) -> None:
    data = pictures.encoded(pictures.photo(60, 60), "PNG")
    found, files = made(tmp_path, data, a={"side": 60, **PNG, "quality": quality})
    assert found.renditions[0].reached is reached
    assert files["a.png"].convert("RGB").tobytes() == pictures.photo(60, 60).convert("RGB").tobytes()


@pytest.mark.parametrize("quality", [{"target_ssim": 0.95}, {"max_bytes": 2_000}])
def test_an_animation_has_a_target_too(tmp_path: Path, quality: dict[str, float]) -> None:
    webp = {"side": 120, "formats": ["webp"], "quality": quality}
    found, files = made(tmp_path, pictures.animation(), a=webp)
    assert found.renditions[0].reached
    assert getattr(files["a.webp"], "n_frames", 1) == 5
    assert found.renditions[0].bytes <= quality.get("max_bytes", 1e9)


def test_transparency_is_judged_on_the_background(tmp_path: Path) -> None:
    image = pictures.photo(300, 200).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((300, 200)))
    recipe = Recipe(side=300, formats=("webp",), quality={"target_ssim": 0.97}, background="#336699")
    (tmp_path / "source").write_bytes(pictures.encoded(image, "PNG"))
    found = render(tmp_path / "source", Recipes(renditions={"a": recipe}), tmp_path)
    ground = Image.new("RGBA", image.size, "#336699")
    with Image.open(tmp_path / "a.webp") as file:
        shown = [Image.alpha_composite(ground, each.convert("RGBA")) for each in (image, file)]
    assert found.renditions[0].reached
    assert same_as_wang(*shown) >= 0.968
