"""Animations and colours come out as Chromium shows the source."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.images import pictures
from tests.images.engine.chromium import decoding_page, shown
from tests.images.engine.written import COLOURS, Part, apng, chunk, encoded, gif
from tests.images.test_render import made

pytestmark = pytest.mark.browser
SHARP = {"side": 64, "formats": ["webp", "png"], "quality": {"webp": 100}}
SMALL = (16, 16, 32, 32)
PARTS = (Part(0), Part(1, SMALL), Part(2))


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with decoding_page(browser) as found:
        yield found


def moving(form: str, plays: int) -> bytes:
    frames = [Image.new("RGB", (64, 64), colour) for colour in COLOURS[:3]]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=[50, 120, 300], loop=plays)


def bad_frame(data: bytes) -> bytes:
    """A WebP whose last frame's pixels are nonsense."""
    at = data.rindex(b"VP8 ")
    return data[: at + 18] + b"\xff" * (len(data) - at - 18)


def out_of_order(data: bytes) -> bytes:
    """An APNG whose last frame has a wrong number."""
    at = data.rindex(b"fcTL")
    body = struct.pack(">I", 99) + data[at + 8 : at + 30]
    return data[: at - 4] + chunk(b"fcTL", body) + data[at + 34 :]


ANIMATIONS = {
    "gif-without-a-word-on-loops": ("gif", gif(*PARTS)),
    "gif-for-ever": ("gif", gif(*PARTS, loop=0)),
    "gif-repeats-twice": ("gif", gif(*PARTS, loop=2)),
    "gif-cleared": ("gif", gif(Part(0, disposal=2), Part(1, SMALL, disposal=2), Part(2, (0, 0, 16, 16)), loop=0)),
    "gif-cleared-with-transparency": ("gif", gif(Part(0, hole=5), Part(1, SMALL, 5, 2), Part(2, SMALL), clear=5)),
    "gif-small-first": ("gif", gif(Part(0, SMALL), Part(1, (0, 0, 32, 32)), loop=0)),
    "gif-restored": ("gif", gif(Part(0), Part(1, SMALL, disposal=3), Part(2, (0, 0, 16, 16)), loop=0)),
    "gif-larger-than-its-canvas": ("gif", gif(Part(0, (0, 0, 64, 64)), Part(1, (16, 16, 32, 32)), size=(32, 32))),
    "gif-durations": ("gif", gif(Part(0, milliseconds=500), Part(1, milliseconds=20), Part(2, milliseconds=100))),
    "gif-cut-off": ("gif", gif(*PARTS, loop=0)[:-200]),
    "apng-palette": ("png", apng(*PARTS)),
    "apng-palette-with-transparency": (
        "png", apng(Part(0, hole=5), Part(1, SMALL, 5, blend=1), Part(2, SMALL, 5), clear=5)
    ),
    "apng-plays-three-times": ("png", apng(*PARTS, plays=3)),
    "apng-default-is-no-frame": ("png", apng(*PARTS, default=Part(6))),
    "apng-cleared": (
        "png", apng(Part(0, disposal=1), Part(1, SMALL, disposal=2), Part(2, (0, 0, 16, 16)), palette=False)
    ),
    "apng-over": ("png", apng(Part(0), Part(1, SMALL, 5, 0, blend=1), Part(2, SMALL, 5), palette=False, clear=5)),
    "apng-out-of-order": ("png", out_of_order(apng(*PARTS))),
    "webp-for-ever": ("webp", moving("WEBP", 0)),
    "webp-plays-three-times": ("webp", moving("WEBP", 3)),
    "webp-bad-last-frame": ("webp", bad_frame(moving("WEBP", 0))),
    "avif": ("avif", moving("AVIF", 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", ANIMATIONS)
def test_an_animation(tmp_path: Path, page: Page, name: str) -> None:
    form, data = ANIMATIONS[name]
    wanted = shown(page, data, form)
    found, files = made(tmp_path, data, large=SHARP)
    moved = shown(page, (tmp_path / "large.webp").read_bytes(), "webp")
    assert (found.facts.frames, len(moved.frames)) == (len(wanted.frames), len(wanted.frames))
    if len(wanted.frames) > 1:
        assert moved.plays == wanted.plays
        assert moved.durations == wanted.durations
    for one, other in zip(moved.frames, wanted.frames, strict=True):
        assert np.abs(one[..., 3].astype(int) - other[..., 3]).max() == 0
        assert np.abs((one.astype(int) - other)[other[..., 3] > 0]).mean() < 4
    still = np.asarray(files["large.png"].convert("RGBA"), int)
    assert np.abs((still - wanted.frames[0])[wanted.frames[0][..., 3] > 0]).max() <= 6


STRIPES = [(0, 0, 0), (64, 64, 64), (128, 128, 128), (200, 200, 200), (255, 255, 255), (255, 0, 0), (0, 255, 0),
           (0, 0, 255), (200, 100, 50), (50, 100, 200), (100, 200, 50), (20, 20, 20), (128, 0, 0)]  # fmt: skip
P3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def stripes() -> Image.Image:
    image = Image.new("RGB", (8 * len(STRIPES), 8))
    for number, colour in enumerate(STRIPES):
        image.paste(colour, (8 * number, 0, 8 * number + 8, 8))
    return image


def striped(*chunks: bytes) -> bytes:
    plain = encoded(stripes())
    return plain[:33] + b"".join(chunks) + plain[33:]


def gamma(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def code_points(primaries: int, transfer: int) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, 0, 1]))


SPACES = {
    "linear": [gamma(100_000)], "gamma-1.8": [gamma(55_556)], "gamma-of-srgb": [gamma(45_455)],
    "gamma-0": [gamma(0)], "p3-and-gamma": [gamma(45_455), chunk(b"cHRM", P3)], "p3-alone": [chunk(b"cHRM", P3)],
    "srgb-goes-before-gamma": [gamma(100_000), chunk(b"sRGB", b"\0")],
    "code-points-go-before-gamma": [gamma(100_000), code_points(12, 13)],
    "nonsense-primaries": [gamma(100_000), chunk(b"cHRM", bytes(32))],
    **{f"{primaries}-{transfer}": [code_points(primaries, transfer)]
       for primaries, transfer in ((1, 13), (12, 13), (9, 1), (9, 14), (9, 16), (9, 18), (1, 8), (1, 4), (1, 5),
                                   (5, 13), (6, 13), (11, 13), (4, 13), (22, 13), (1, 16), (2, 13), (12, 2), (99, 99))},
}  # fmt: skip


@pytest.mark.parametrize("name", SPACES)
def test_a_colour_space_of_a_png(tmp_path: Path, page: Page, name: str) -> None:
    data = striped(*SPACES[name])
    wanted = shown(page, data, "png").frames[0][..., :3]
    _, files = made(tmp_path, data, large={"side": 500, "formats": ["png"]})
    assert np.abs(np.asarray(files["large.png"].convert("RGB"), int) - wanted).max() <= 2


@pytest.mark.parametrize(
    ("primaries", "transfer"), [(1, 13), (1, 1), (2, 2), (12, 13), (9, 16), (9, 18), (1, 4), (12, 1), (9, 2)]
)
def test_a_colour_space_of_an_avif(tmp_path: Path, page: Page, primaries: int, transfer: int) -> None:
    plain = encoded(stripes(), "AVIF", quality=100, subsampling="4:4:4")
    at = plain.index(b"nclx") + 4
    data = plain[:at] + struct.pack(">HH", primaries, transfer) + plain[at + 4 :]
    wanted = shown(page, data, "avif").frames[0][..., :3]
    _, files = made(tmp_path, data, large={"side": 500, "formats": ["png"]})
    assert np.abs(np.asarray(files["large.png"].convert("RGB"), int) - wanted)[:, 4::8].max() <= 4


@pytest.mark.parametrize("form", ["WEBP", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_animation_that_lies_on_its_side(tmp_path: Path, form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    frames = [pictures.quarters(), pictures.quarters().transpose(Image.Transpose.ROTATE_180)]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=100, exif=exif.tobytes())
    found, files = made(tmp_path, data, large={**SHARP, "formats": ["webp", "png"], "side": 100})
    still, moved = files["large.png"].convert("RGB"), files["large.webp"]
    assert moved.size == still.size == ((100, 50) if orientation < 5 else (50, 100))
    assert np.abs(np.asarray(moved.convert("RGB"), int) - np.asarray(still, int)).mean() < 6
    assert found.renditions[0].width == still.width


def test_a_webp_that_was_cut_off_keeps_its_whole_frames(tmp_path: Path) -> None:
    found, files = made(tmp_path, moving("WEBP", 0)[:-20], large=SHARP)
    assert found.facts.frames == 2
    assert getattr(files["large.webp"], "n_frames", 1) == 2
