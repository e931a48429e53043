"""HEIC of phones, TIFF, BMP and JPEG XL: what they show, and that hostile ones harm nobody."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pillow_jxl  # noqa: F401 (lets Pillow write JPEG XL)
import pytest
from PIL import Image
from playwright.sync_api import Browser

from include.images.engine.formats import jxl
from include.images.engine.render import Rendered
from include.images.errors import Rejected
from include.images.limits import LIMITS
from include.images.recipes import Recipe, Recipes
from tests.images import pictures
from tests.images.engine import made_set
from tests.images.engine.chromium import decoding_page, shown
from tests.images.engine.written import encoded
from tests.images.safely import outcome
from tests.images.test_render import PNG, made, pixel

HEIC = Path(__file__).with_name("heic")
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
CORNERS = ((0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9))


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours of the quarters, to the nearest of those that there are."""
    found = [pixel(image, *at)[:3] for at in CORNERS]
    return [min((RED, GREEN, BLUE, WHITE), key=lambda one: sum(map(abs, np.subtract(one, colour)))) for colour in found]


@pytest.mark.parametrize(("name", "wanted"), [
    ("plain", [RED, GREEN, BLUE, WHITE]), ("ten_bits", [RED, GREEN, BLUE, WHITE]), ("two", [RED, GREEN, BLUE, WHITE]),
    ("turned6", [BLUE, RED, WHITE, GREEN]), ("turned8", [GREEN, WHITE, RED, BLUE]),
])  # fmt: skip
def test_a_heic(tmp_path: Path, name: str, wanted: list[tuple[int, ...]]) -> None:
    found, files = made(tmp_path, (HEIC / f"{name}.heic").read_bytes(), large={"side": 32, "formats": ["png", "webp"]})
    assert (found.facts.format, found.facts.frames) == ("HEIC", 1)
    size = (24, 32) if name.startswith("turned") else (32, 24)
    assert files["large.png"].size == files["large.webp"].size == size
    assert corners(files["large.png"]) == wanted


@pytest.mark.parametrize(("name", "colour"), [
    ("second_is_primary", (90, 90, 90)), ("grey", (120, 120, 120)), ("p3", (215, 93, 31)), ("pq", (132, 132, 132)),
])  # fmt: skip
def test_the_colours_of_a_heic(tmp_path: Path, name: str, colour: tuple[int, ...]) -> None:
    _, files = made(tmp_path, (HEIC / f"{name}.heic").read_bytes(), large={"side": 32, **PNG})
    assert np.abs(np.subtract(pixel(files["large.png"], 0.5, 0.5)[:3], colour)).max() <= 2


def test_the_transparency_of_a_heic(tmp_path: Path) -> None:
    _, files = made(tmp_path, (HEIC / "alpha.heic").read_bytes(), large={"side": 64, **PNG})
    alpha = np.asarray(files["large.png"].getchannel("A"), int)
    assert np.abs(alpha - np.asarray(Image.linear_gradient("L").resize((64, 48)), int)).max() <= 4


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize("lossless", [True, False])
def test_a_jpeg_xl(tmp_path: Path, mode: str, lossless: bool) -> None:
    image = made_set.picture(mode)
    data = encoded(image, "JXL", lossless=lossless, quality=95)
    assert jxl.size(data) == image.size
    found, files = made(tmp_path, data, large={"side": 120, **PNG})
    assert found.facts.format == "JXL"
    ours, wanted = np.asarray(files["large.png"].convert("RGBA"), int), np.asarray(image.convert("RGBA"), int)
    assert np.abs((ours - wanted)[wanted[..., 3] > 0]).mean() < (0.1 if lossless else 3)


@pytest.mark.parametrize(
    "size", [(1, 1), (8, 8), (256, 256), (320, 240), (600, 1000), (1000, 500), (3000, 7), (40, 300)]
)
@pytest.mark.parametrize("container", [True, False])
def test_the_size_of_a_jpeg_xl_is_known_before_it_is_decoded(size: tuple[int, int], container: bool) -> None:
    assert jxl.size(encoded(Image.new("RGB", size), "JXL", effort=1, use_container=container)) == size


def test_a_jpeg_in_a_jpeg_xl_is_turned_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    source = tmp_path / "photo.jpg"
    source.write_bytes(encoded(pictures.quarters(), "JPEG", quality=95, exif=exif.tobytes()))
    with Image.open(source) as opened:
        data = encoded(opened, "JXL", lossless_jpeg=True, exif=exif.tobytes())
    found, files = made(tmp_path, data, large={"side": 100, **PNG})
    assert (found.facts.width, found.facts.height) == (100, 200)
    assert corners(files["large.png"]) == [BLUE, RED, WHITE, GREEN]


@pytest.mark.browser
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_bmp(tmp_path: Path, browser: Browser, mode: str) -> None:
    image = made_set.scene().quantize(16) if mode == "P" else made_set.picture(mode)
    data = encoded(image, "BMP")
    with decoding_page(browser) as page:
        wanted = shown(page, data, "bmp").frames[0]
    found, files = made(tmp_path, data, large={"side": 120, **PNG})
    assert found.facts.format == "BMP"
    ours = np.asarray(files["large.png"].convert("RGBA"), int)
    assert np.array_equal(ours[..., 3], wanted[..., 3])
    assert np.abs(ours - wanted)[wanted[..., 3] > 0].max() <= 2


def raw_like(**tags: int) -> bytes:
    numbers = {"dng": 50706, "subfile": 254}
    return encoded(Image.new("RGB", (32, 24)), "TIFF", tiffinfo={numbers[name]: value for name, value in tags.items()})


@pytest.mark.parametrize("data", [raw_like(subfile=1), raw_like(dng=1)], ids=["preview", "dng"])
def test_a_cameras_raw_file_is_not_taken_for_its_preview(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Rejected, match="this is a camera's raw file; expected JPEG"):
        made(tmp_path, data, large={"side": 10})


@pytest.mark.parametrize("kind", ["HEIC", "TIFF", "BMP", "JXL"])
def test_each_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    data = WHOLE[kind]
    assert made(tmp_path, data, large={"side": 10})[0].facts.format == kind
    monkeypatch.setenv("MILLRACE_IMAGE_KINDS", "jpeg,png,webp,gif,avif")
    with pytest.raises(Rejected, match=r"^this is a .* picture; expected JPEG, PNG, WebP, GIF or AVIF$") as caught:
        made(tmp_path, data, large={"side": 10})
    assert caught.value.code == "type"


WHOLE = {
    "HEIC": (HEIC / "two.heic").read_bytes(), "TIFF": encoded(pictures.photo(120, 80), "TIFF", compression="tiff_lzw"),
    "BMP": encoded(pictures.photo(120, 80).quantize(16), "BMP"), "JXL": encoded(pictures.photo(120, 80), "JXL"),
}  # fmt: skip
SMALL = Recipes(renditions={"small": Recipe(side=64, formats=("png",))})


ended = partial(outcome, recipes=SMALL)


@pytest.mark.parametrize("kind", WHOLE)
def test_torn_and_damaged_ones_end_with_a_reason(tmp_path: Path, kind: str) -> None:
    chance, whole, codes = random.Random(kind), WHOLE[kind], set()
    for number in range(60):
        damaged = bytearray(whole)
        if number % 2:
            del damaged[chance.randrange(8, len(whole)) :]
        else:
            for _ in range(chance.randrange(1, 20)):
                damaged[chance.randrange(12, len(whole))] = chance.randrange(256)
        end = ended(tmp_path, bytes(damaged))
        codes |= {end.code} if isinstance(end, Rejected) else set()
    assert "broken" in codes
    assert codes <= {"broken", "too-large", "type"}


def huge_bmp(width: int, height: int) -> bytes:
    data = bytearray(WHOLE["BMP"])
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def huge_tiff(width: int, height: int) -> bytes:
    data = encoded(Image.new("1", (40, 30)), "TIFF", tiffinfo={256: 40, 257: 30})
    changed = bytearray(data)
    start = struct.unpack("<I", data[4:8])[0]
    for number in range(struct.unpack("<H", data[start : start + 2])[0]):
        at = start + 2 + 12 * number
        tag = struct.unpack("<H", data[at : at + 2])[0]
        if tag in (256, 257):
            changed[at + 2 : at + 12] = struct.pack("<HII", 4, 1, width if tag == 256 else height)
    return bytes(changed)


def huge_heic(width: int, height: int) -> bytes:
    size, other = (b"ispe" + bytes(4) + struct.pack(">II", *one) for one in ((64, 64), (width, height)))
    assert size in WHOLE["HEIC"]
    return WHOLE["HEIC"].replace(size, other).replace(b"clap", b"skip")


def huge_jxl(width: int, height: int) -> bytes:
    bits = (3 << 1) | ((height - 1) << 3) | (3 << 36) | ((width - 1) << 38)
    return b"\xff\x0a" + bits.to_bytes(12, "little") + bytes(40)


@pytest.mark.parametrize("make", [huge_bmp, huge_tiff, huge_heic, huge_jxl])
@pytest.mark.parametrize("size", [(60_000, 60_000), (25_000, 8), (2**30, 2**30)])
def test_a_bomb_is_known_by_its_header(
    tmp_path: Path, make: Callable[[int, int], bytes], size: tuple[int, int]
) -> None:
    found = ended(tmp_path, make(*size))
    assert isinstance(found, Rejected)
    assert found.code in ("too-large", "broken")
    if size == (25_000, 8):
        assert found.code == "too-large"


@pytest.mark.parametrize("make", [
    lambda: encoded(Image.new("RGB", (12_000, 9000), (200, 100, 50)), "JPEG"),
    lambda: encoded(Image.new("RGB", (7760, 5800), (200, 100, 50)), "JPEG", progressive=True, subsampling="4:4:4"),
    lambda: encoded(Image.new("RGB", (12_000, 9000), (200, 100, 50)), "JPEG", progressive=True),
    lambda: (HEIC / "large.heic").read_bytes(),
    lambda: encoded(Image.new("I;16", (12_000, 9000), 30_000), "PNG", compress_level=1),
], ids=["108-megapixels", "45-progressive", "108-progressive", "108-heic", "108-in-16-bits"])  # fmt: skip
def test_what_cameras_and_phones_make_of_today_fits(tmp_path: Path, make: Callable[[], bytes]) -> None:
    found = ended(tmp_path, make())
    assert isinstance(found, Rendered), found


def test_a_flat_bomb_within_the_limits_is_made(tmp_path: Path) -> None:
    flat = Image.new("L", (7000, 7000), 90)
    for data in (encoded(flat, "TIFF", compression="tiff_adobe_deflate"), encoded(flat, "JXL", effort=1)):
        assert len(data) < 1_000_000
        found = ended(tmp_path, data)
        assert isinstance(found, Rendered), found
    assert LIMITS.pixels >= 49_000_000


def test_a_tiff_of_many_pages_or_in_a_circle_ends(tmp_path: Path) -> None:
    page = Image.new("1", (8, 8))
    data = encoded(page, "TIFF", save_all=True, append_images=[page] * 2000)
    found = ended(tmp_path, data)
    assert isinstance(found, Rendered)
    assert found.facts.frames == 1
    plain = bytearray(encoded(page, "TIFF"))
    start = struct.unpack("<I", plain[4:8])[0]
    count = struct.unpack("<H", plain[start : start + 2])[0]
    plain[start + 2 + 12 * count : start + 6 + 12 * count] = struct.pack("<I", start)  # the next page is this one
    assert isinstance(ended(tmp_path, bytes(plain)), Rendered)


@pytest.mark.parametrize(("numbers", "colour"), [
    ((137, 128, 128), (128, 128, 128)), ((138, 209, 198), (255, 0, 0)), ((255, 128, 128), (255, 255, 255)),
])  # fmt: skip
def test_a_tiff_in_lab(tmp_path: Path, numbers: tuple[int, ...], colour: tuple[int, ...]) -> None:
    data = encoded(Image.new("LAB", (32, 32), numbers), "TIFF")  # CIELAB as bytes: grey, the red of sRGB, white
    _, files = made(tmp_path, data, large={"side": 16, **PNG})
    assert np.abs(np.subtract(pixel(files["large.png"], 0.5, 0.5)[:3], colour)).max() <= 6
