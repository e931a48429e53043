"""Colours of pictures with known shares, a hash that outlives resizing, profiles and transparency; judged by others."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance
from scipy.fft import dctn

from include.images.engine import profiles
from include.images.engine.facts.look import Look
from include.images.engine.render import render
from include.images.recipes import Recipe, Recipes, load_recipes
from tests.images import pictures
from tests.images.engine import made_set
from tests.images.engine.made_set import P3
from tests.images.engine.written import Part, chunk, encoded, gif, png

RECIPES = load_recipes()
THUMB = Recipes(renditions={"thumb": Recipe(box=(128, 128), fit="cover")})  # quick to make
SEEN_AS_ONE = 6  # bits between a picture and what was made of it
UNLIKE = 16


def look(folder: Path, data: bytes, recipes: Recipes = RECIPES) -> Look:
    (folder / "source").write_bytes(data)
    return render(folder / "source", recipes, folder).look


def striped(*shares: tuple[float, tuple[int, int, int]], size: tuple[int, int] = (900, 600)) -> Image.Image:
    """Stripes of these colours, each so wide."""
    image, left = Image.new("RGB", size), 0.0
    for share, colour in shares:
        image.paste(colour, (round(left * size[0]), 0, round((left + share) * size[0]), size[1]))
        left += share
    return image


def rgb(colour: str) -> tuple[int, ...]:
    assert len(colour) == 7
    return tuple(bytes.fromhex(colour[1:]))


RED, GREEN, BLUE, GREY, BROWN = (200, 30, 40), (20, 140, 60), (30, 60, 190), (128, 130, 126), (120, 72, 20)


@pytest.mark.parametrize(("shares", "form"), [
    (shares, form)
    for form in ("PNG", "JPEG")
    for shares in (
        ((0.6, RED), (0.3, GREEN), (0.1, BLUE)), ((0.1, BLUE), (0.3, GREEN), (0.6, RED)), ((1.0, GREY),),
        ((0.4, BROWN), (0.25, GREY), (0.15, RED), (0.12, GREEN), (0.08, BLUE)),
        ((0.55, (255, 255, 255)), (0.45, (0, 0, 0))),
        ((0.9, (250, 250, 250)), (0.1, RED)), ((0.99, GREY), (0.01, RED)),
    )
])  # fmt: skip
def test_colours_stand_in_the_order_of_their_shares(
    tmp_path: Path, shares: tuple[tuple[float, tuple[int, int, int]], ...], form: str
) -> None:
    found = look(tmp_path, encoded(striped(*shares), form, **({"quality": 92} if form == "JPEG" else {}))).colours
    wanted = [colour for share, colour in sorted(shares, reverse=True) if share > 0.05]
    assert len(found) == len(wanted), found
    for ours, one in zip(found, wanted, strict=True):
        assert np.abs(np.subtract(rgb(ours), one)).max() <= 10, (found, wanted)


def test_the_colours_of_a_photo_are_those_that_k_means_finds(tmp_path: Path) -> None:
    """Each pixel is nearly as close to one of ours as to one of as many by another method."""
    for seed in range(4):
        photo = pictures.photo(seed=seed)
        found = look(tmp_path, encoded(photo, "PNG")).colours
        assert 3 <= len(found) <= 5
        small = np.asarray(photo.resize((90, 60), Image.Resampling.BOX)).reshape(-1, 3).astype(float)
        assert _error(small, np.array([rgb(one) for one in found], float)) < 1.6 * _error(
            small, _k_means(small, len(found))
        )


def _error(pixels: np.ndarray, centres: np.ndarray) -> float:
    return float(np.linalg.norm(pixels[:, None] - centres[None], axis=2).min(axis=1).mean())


def _k_means(pixels: np.ndarray, count: int) -> np.ndarray:
    centres = pixels[np.random.default_rng(1).choice(len(pixels), count, replace=False)]
    for _ in range(30):
        nearest = np.linalg.norm(pixels[:, None] - centres[None], axis=2).argmin(axis=1)
        centres = np.array(
            [pixels[nearest == n].mean(axis=0) if (nearest == n).any() else centres[n] for n in range(count)]
        )
    return centres


def test_colours_are_those_that_are_seen(tmp_path: Path) -> None:
    """In sRGB, whatever the file's own space is; and what is invisible has none."""
    swapped = encoded(Image.new("RGB", (100, 80), (250, 10, 10)), "PNG", icc_profile=pictures.wide_gamut_profile())
    red, green, _ = rgb(look(tmp_path, swapped).colours[0])
    assert green > 230 > 60 > red
    hidden = Image.new("RGBA", (200, 100), (0, 255, 0, 0))
    assert look(tmp_path, encoded(hidden)).colours == ()
    hidden.paste((*BLUE, 255), (0, 0, 40, 100))
    assert look(tmp_path, encoded(hidden)).colours == ("#1e3cbe",)


@pytest.mark.parametrize(("data", "transparent"), [
    (encoded(pictures.photo(60, 40), "JPEG"), False),
    (encoded(pictures.photo(60, 40), "PNG"), False),
    (encoded(pictures.photo(60, 40).convert("RGBA")), False),
    (encoded(made_set.picture("RGBA")), True),
    (encoded(made_set.picture("LA")), True),
    (encoded(made_set.picture("RGBA"), "WEBP", lossless=True), True),
    (gif(Part(1)), False),
    (gif(Part(1, hole=5), clear=5), True),
    (gif(Part(1), Part(2, hole=5), clear=5), False),
    (png(2, 1, 8, 2, bytes([1, 2, 3, 9, 9, 9]), chunk(b"tRNS", bytes([0, 9, 0, 9, 0, 9]))), True),
    (png(2, 1, 8, 2, bytes([1, 2, 3, 9, 9, 9]), chunk(b"tRNS", bytes([0, 8, 0, 9, 0, 9]))), False),
], ids=range(11))  # fmt: skip
def test_transparency_counts_where_it_is_used(tmp_path: Path, data: bytes, transparent: bool) -> None:
    assert look(tmp_path, data).transparent == transparent


def test_one_transparent_pixel_of_many(tmp_path: Path) -> None:
    image = pictures.photo(1500, 1000).convert("RGBA")
    assert not look(tmp_path, encoded(image, "PNG", compress_level=1)).transparent
    image.putpixel((700, 333), (0, 0, 0, 254))
    assert look(tmp_path, encoded(image, "PNG", compress_level=1)).transparent


@pytest.mark.parametrize(("icc", "name"), [
    (made_set.SRGB, "sRGB built-in"), (b"no profile", None), (profiles.by_gamma(1 / 2.4, P3), None), (None, None),
])  # fmt: skip
def test_the_name_of_a_profile(tmp_path: Path, icc: bytes | None, name: str | None) -> None:
    for form in ("PNG", "JPEG", "WEBP", "TIFF"):
        assert look(tmp_path, encoded(pictures.photo(60, 40), form, icc_profile=icc)).profile == name


def bits(number: int | None) -> np.ndarray:
    assert number is not None
    assert -(1 << 63) <= number < 1 << 63
    return np.array([number >> shift & 1 for shift in range(63, -1, -1)])


def distance(one: int | None, other: int | None) -> int:
    return int((bits(one) != bits(other)).sum())


def as_published(image: Image.Image) -> np.ndarray:
    """pHash as ImageHash's `phash` computes it, by SciPy's transform, of the whole picture."""
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), float)
    low = dctn(grey)[:8, :8]
    return np.asarray(low > np.median(low)).flatten().astype(int)


@cache
def scenes() -> tuple[Image.Image, ...]:
    """Fifty pictures that have nothing in common: landscapes of waves, and drawings."""
    return (*(pictures.photo(480, 320, seed) for seed in range(25)), *map(drawing, range(25)))


def drawing(seed: int) -> Image.Image:
    """Some shapes, anywhere."""
    chance = np.random.default_rng(seed)
    image = Image.new("RGB", (400, 320), tuple(chance.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y, width, height = chance.integers(0, 320, 4).tolist()
        shape = draw.ellipse if chance.random() < 0.5 else draw.rectangle
        shape((x, y, x + 20 + width // 2, y + 20 + height // 2), fill=tuple(chance.integers(0, 256, 3).tolist()))
    return image


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> list[int | None]:
    folder = tmp_path_factory.mktemp("hashes")
    return [look(folder, encoded(image, "PNG", compress_level=1)).perceptual_hash for image in scenes()]


def test_the_hash_is_the_published_one(hashes: list[int | None]) -> None:
    """But for a bit or two that are nearly even: ours is of a picture that was made smaller before."""
    off = [int((bits(ours) != as_published(image)).sum()) for ours, image in zip(hashes, scenes(), strict=True)]
    assert max(off) <= 4
    assert np.mean(off) < 1


def test_what_is_made_of_a_picture_is_near_it(tmp_path: Path, hashes: list[int | None]) -> None:
    worst = 0
    for image, first in zip(scenes(), hashes, strict=True):
        for data in variants(image):
            worst = max(worst, distance(first, look(tmp_path, data, THUMB).perceptual_hash))
    assert worst <= SEEN_AS_ONE


def variants(image: Image.Image) -> list[bytes]:
    """Resized, encoded anew, brighter, grey."""
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
    return [
        encoded(half, "JPEG", quality=80), encoded(image, "JPEG", quality=40), encoded(image, "WEBP", quality=60),
        encoded(image.resize((300, 220)), "AVIF", quality=60, speed=10),
        encoded(ImageEnhance.Brightness(half).enhance(1.1)),
        encoded(half.convert("L")), encoded(half.convert("RGBA")),
    ]  # fmt: skip


def test_pictures_with_nothing_in_common_are_far_apart(hashes: list[int | None]) -> None:
    assert min(distance(one, other) for one, other in combinations(hashes, 2)) >= UNLIKE


def test_what_it_does_not_find(tmp_path: Path, hashes: list[int | None]) -> None:
    """As the documentation says: turned, mirrored, or cropped by much."""
    for image, first in list(zip(scenes(), hashes, strict=True))[::6]:
        for other in (
            image.transpose(Image.Transpose.ROTATE_90), image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            image.crop((0, 0, image.width // 2, image.height // 2)),
        ):  # fmt: skip
            assert distance(first, look(tmp_path, encoded(other)).perceptual_hash) > 8


def test_orientation_is_applied_before(tmp_path: Path, hashes: list[int | None]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = scenes()[0].transpose(Image.Transpose.ROTATE_90)
    assert distance(hashes[0], look(tmp_path, encoded(lying, "JPEG", exif=exif.tobytes())).perceptual_hash) <= 2


def test_a_picture_of_one_colour_has_no_hash(tmp_path: Path) -> None:
    for colour in (0, 127, 255):
        assert look(tmp_path, encoded(Image.new("L", (300, 200), colour), "JPEG")).perceptual_hash is None
    assert look(tmp_path, encoded(Image.new("RGBA", (30, 20), (0, 0, 0, 0)))).perceptual_hash is None
    assert look(tmp_path, encoded(pictures.quarters())).perceptual_hash is not None


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (2, 2), (7, 3000), (31, 31)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    found = look(tmp_path, encoded(pictures.photo(900, 900).resize(size)))
    assert 1 <= len(found.colours) <= 5


@pytest.mark.parametrize("recipe", [Recipe(side=2000), Recipe(side=16), Recipe(box=(20, 20), fit="cover")])
def test_other_recipes_find_the_same(tmp_path: Path, recipe: Recipe) -> None:
    data = encoded(scenes()[1], "JPEG")
    usual, other = look(tmp_path, data), look(tmp_path, data, Recipes(renditions={"one": recipe}))
    assert len(set(usual.colours)) >= 3
    assert distance(usual.perceptual_hash, other.perceptual_hash) <= SEEN_AS_ONE


def test_every_mode_is_looked_at(tmp_path: Path) -> None:
    photo = pictures.photo(200, 150)
    deep = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    grey = photo.convert("L")
    for image in (deep, grey.convert("F"), *map(photo.convert, ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"))):
        assert look(tmp_path, encoded(image, "TIFF")).perceptual_hash is not None, image.mode
