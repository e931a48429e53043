"""What comes out of every kind of picture: size, orientation, colour, transparency, motion."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from include.images.engine.render import Rendered, Rendition, render
from include.images.errors import Rejected
from include.images.limits import LIMITS
from include.images.recipes import Recipe, Recipes
from tests.images import pictures


def recipes(**renditions: dict[str, Any]) -> Recipes:
    return Recipes(renditions={name: Recipe(**values) for name, values in renditions.items()})


PNG = {"formats": ["png"]}


def made(folder: Path, data: bytes, **renditions: dict[str, Any]) -> tuple[Rendered, dict[str, Image.Image]]:
    """Render a file's bytes; the pictures by file name."""
    source = folder / "source"
    source.write_bytes(data)
    found = render(source, recipes(**renditions), folder)
    return found, {one.file: Image.open(io.BytesIO((folder / one.file).read_bytes())) for one in found.renditions}


def one(found: Rendered, name: str) -> Rendition:
    return next(part for part in found.renditions if part.name == name)


def pixel(image: Image.Image, x: float, y: float) -> tuple[int, ...]:
    """The colour at that share of width and height."""
    return tuple(image.convert("RGBA").getpixel((int(x * image.width), int(y * image.height))))  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["jpeg", "webp", "avif", "png"])
def test_each_format_is_what_it_says(tmp_path: Path, form: str) -> None:
    found, files = made(tmp_path, pictures.encoded(pictures.photo()), large={"side": 300, "formats": [form]})
    image = next(iter(files.values()))
    assert (image.format or "").lower() == form
    assert image.size == (300, 200)
    assert found.facts.width == 900
    assert one(found, "large").bytes == len((tmp_path / one(found, "large").file).read_bytes())
    assert "exif" not in image.info
    assert "icc_profile" not in image.info
    if form == "jpeg":
        assert image.info["progressive"]


def test_renditions_are_close_to_a_full_lanczos(tmp_path: Path) -> None:
    photo = pictures.photo(2400, 1600)
    _, files = made(
        tmp_path,
        pictures.encoded(photo, quality=98),
        a={"side": 1024, **PNG},
        b={"side": 512, **PNG},
        c={"side": 128, **PNG},
    )
    for file, size in (("a.png", (1024, 683)), ("b.png", (512, 341)), ("c.png", (128, 85))):
        wanted = np.asarray(photo.resize(size, Image.Resampling.LANCZOS), float)
        assert np.sqrt(((np.asarray(files[file].convert("RGB"), float) - wanted) ** 2).mean()) < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = pictures.quarters()
    turned = upright
    undo = {2: 0, 3: 1 + 2, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that makes the stored pixels
    if orientation in undo:
        stored = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
                  5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
                  8: Image.Transpose.ROTATE_270}[orientation]  # fmt: skip
        turned = upright.transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found, files = made(tmp_path, pictures.encoded(turned, "PNG", exif=exif.tobytes()), large={"side": 100, **PNG})
    image = files["large.png"]
    assert (found.facts.width, found.facts.height) == (200, 100)
    assert image.size == (100, 50)
    assert [pixel(image, *at)[:3] for at in ((0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8))] == [
        (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255),
    ]  # fmt: skip


@pytest.mark.parametrize(("mode", "colour"), [
    ("RGB", (200, 100, 50)), ("L", (120, 120, 120)), ("CMYK", (237, 28, 36)), ("P", (200, 100, 50)),
    ("1", (255, 255, 255)), ("LA", (120, 120, 120)), ("RGBA", (200, 100, 50)), ("I;16", (128, 128, 128)),
])  # fmt: skip
def test_every_mode_keeps_its_colour(tmp_path: Path, mode: str, colour: tuple[int, ...]) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((80, 100), 128 * 257, np.uint16))
    elif mode == "CMYK":
        image = Image.new("CMYK", (100, 80), (0, 255, 255, 0))  # the red of printing inks
    else:
        base = Image.new("RGB", (100, 80), (200, 100, 50) if colour == (200, 100, 50) else colour)
        image = base.convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else base.convert(mode)
    data = pictures.encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    _, files = made(tmp_path, data, large={"side": 40, **PNG})
    assert np.abs(np.array(pixel(files["large.png"], 0.5, 0.5)[:3]) - colour).max() <= 12
    assert files["large.png"].size == (40, 32)


def test_a_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    image = Image.new("RGB", (100, 100), (250, 10, 10))
    data = pictures.encoded(image, "PNG", icc_profile=pictures.wide_gamut_profile())
    _, files = made(tmp_path, data, large={"side": 50, **PNG})
    red, green, _ = pixel(files["large.png"], 0.5, 0.5)[:3]
    assert green > 230 > 60 > red


def test_a_broken_profile_is_passed_over(tmp_path: Path) -> None:
    data = pictures.encoded(Image.new("RGB", (60, 60), (9, 99, 199)), "PNG", icc_profile=b"not a profile at all")
    _, files = made(tmp_path, data, large={"side": 30, **PNG})
    assert pixel(files["large.png"], 0.5, 0.5)[:3] == (9, 99, 199)


def test_transparency_is_kept_or_laid_on_the_background(tmp_path: Path) -> None:
    image = Image.new("RGBA", (200, 200), (0, 255, 0, 0))  # invisible green must not bleed
    image.paste((255, 0, 0, 255), (0, 0, 101, 200))
    recipe = {"side": 50, "formats": ["png", "jpeg"], "background": "#0000ff", "quality": {"jpeg": 95}}
    _, files = made(tmp_path, pictures.encoded(image, "PNG"), large=recipe)
    kept = np.asarray(files["large.png"].convert("RGBA"))
    assert kept[25, 40, 3] == 0
    assert kept[25, 10].tolist() == [255, 0, 0, 255]
    edge = kept[25][(kept[25, :, 3] > 20) & (kept[25, :, 3] < 235)]
    assert len(edge)
    assert edge[:, 1].max() < 40, "the invisible green bled in"
    flat = np.asarray(files["large.jpg"], int)
    assert np.abs(flat[25, 40] - (0, 0, 255)).max() < 12


@pytest.mark.parametrize(("recipe", "size", "corner"), [
    ({"side": 90}, (90, 45), (255, 0, 0)),
    ({"box": [50, 50]}, (50, 25), (255, 0, 0)),
    ({"box": [50, 50], "fit": "cover"}, (50, 50), (255, 0, 0)),
    ({"box": [60, 60], "fit": "contain", "background": "#123456"}, (60, 60), (0x12, 0x34, 0x56)),
    ({"side": 5000}, (200, 100), (255, 0, 0)),
    ({"side": 400, "enlarge": True}, (400, 200), (255, 0, 0)),
    ({"box": [500, 500], "fit": "cover"}, (200, 100), (255, 0, 0)),
])  # fmt: skip
def test_fit(tmp_path: Path, recipe: dict[str, Any], size: tuple[int, int], corner: tuple[int, ...]) -> None:
    _, files = made(tmp_path, pictures.encoded(pictures.quarters(), "PNG"), large={**recipe, **PNG})
    assert files["large.png"].size == size
    assert pixel(files["large.png"], 0.02, 0.02)[:3] == corner


def test_attention_keeps_the_detail(tmp_path: Path) -> None:
    image = Image.new("RGB", (400, 100), "white")
    image.paste(pictures.photo(80, 80), (310, 10))
    data = pictures.encoded(image, "PNG")
    box = {"box": [100, 100], "fit": "cover", **PNG}
    _, files = made(tmp_path, data, centre=box, detail={**box, "crop": "attention"})
    assert np.asarray(files["centre.png"].convert("RGB")).min() == 255
    assert np.asarray(files["detail.png"].convert("RGB")).std() > 20


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_an_animation_stays_one_where_the_format_can(tmp_path: Path, form: str) -> None:
    data = pictures.animation(form=form)
    found, files = made(tmp_path, data, large={"side": 60, "formats": ["webp", "jpeg"]})
    assert found.facts.frames == 5
    assert getattr(files["large.webp"], "n_frames", 1) == 5
    assert files["large.webp"].size == (60, 40)
    assert files["large.jpg"].size == (60, 40)
    assert {part.format: part.animated for part in found.renditions} == {"jpeg": False, "webp": True}
    files["large.webp"].seek(1)
    files["large.webp"].load()
    assert files["large.webp"].info["duration"] == 80
    assert not found.still


@pytest.mark.parametrize(("frames", "still"), [(20, False), (21, True), (30, True)])
def test_an_animation_over_the_limits_is_a_still(tmp_path: Path, frames: int, still: bool) -> None:
    source = tmp_path / "source"
    source.write_bytes(pictures.animation(frames))
    found = render(source, recipes(large={"side": 60}), tmp_path, replace(LIMITS, frames=20))
    assert found.still == still
    assert [part.animated for part in found.renditions if part.format == "webp"] == [not still]


def test_copyright_is_kept_if_asked(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8298], exif[0x0110] = "(c) somebody", "camera"
    data = pictures.encoded(pictures.photo(), exif=exif.tobytes())
    _, files = made(
        tmp_path,
        data,
        kept={"side": 100, "formats": ["jpeg"], "keep_copyright": True},
        bare={"side": 50, "formats": ["jpeg"]},
    )
    assert dict(files["kept.jpg"].getexif()) == {0x8298: "(c) somebody"}
    assert not files["bare.jpg"].getexif()


def test_the_same_bytes_come_out_the_same(tmp_path: Path) -> None:
    data = pictures.encoded(pictures.photo())
    first, _ = made(tmp_path, data, large={"side": 200, "formats": ["jpeg", "webp"]})
    second, _ = made(tmp_path, data, large={"side": 200, "formats": ["jpeg", "webp"]})
    assert first == second


@pytest.mark.parametrize(("data", "code"), [
    (b"", "broken"),
    (b"hello", "type"),
    (b"\xff\xd8\xff\xe0 no jpeg", "broken"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n", "type"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "type"),
    (pictures.png_header(60_000, 10), "too-large"),
    (pictures.png_header(12_000, 12_000), "too-large"),
    (pictures.png_header(30_000, 30_000), "too-large"),
    (pictures.png_header(0, 10), "broken"),
    (pictures.png_header(100, 100), "broken"),
    (pictures.scan_flood(100), "bomb"),
    (pictures.encoded(pictures.photo())[:4000], "broken"),
    (pictures.animation()[:60], "broken"),
], ids=range(13))  # fmt: skip
def test_an_unfit_picture_is_rejected_with_its_reason(tmp_path: Path, data: bytes, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        made(tmp_path, data, large={"side": 64})
    assert caught.value.code == code
    assert str(caught.value)


@pytest.mark.memory_budget("1 MB", warm=1)
@pytest.mark.parametrize("form", ["jpeg", "webp", "avif", "png"])
def test_pictures_one_after_another_leave_nothing(tmp_path: Path, form: str) -> None:
    data = pictures.encoded(pictures.photo())  # 1.6 MB as pixels
    for _ in range(5):
        made(tmp_path, data, large={"side": 300, "formats": [form]}, small={"side": 64, "formats": [form]})
