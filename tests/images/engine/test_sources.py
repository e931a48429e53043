"""Files of phones, cameras and designers: what browsers take is taken, and each step keeps colour and transparency."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from playwright.sync_api import Browser

from include.images.engine.formats import jpeg
from include.images.engine.render import render
from include.images.errors import Rejected
from include.images.recipes import Recipe, Recipes
from tests.images import pictures
from tests.images.engine import boxes, libvips, made_set
from tests.images.engine.chromium import decoding_page, shown
from tests.images.engine.written import Part, apng, chunk, encoded, grey_profile, png
from tests.images.test_render import PNG, made, pixel

GREY_LINEAR = grey_profile(1.0)


def alpha_of(folder: Path, data: bytes) -> list[int]:
    _, files = made(folder, data, large={"side": 4, **PNG})
    return [int(one) for one in np.asarray(files["large.png"].convert("RGBA"))[0, :, 3]]


@pytest.mark.parametrize(("depth", "key", "row"), [
    (1, 1, b"\x80"), (2, 1, b"\x70"), (4, 3, b"\x37"), (8, 77, b"\x4d\x4e"), (16, 0x1234, b"\x12\x34\x12\x35"),
], ids=["1", "2", "4", "8", "16"])  # fmt: skip
def test_the_transparent_value_of_grey_of_every_depth(tmp_path: Path, depth: int, key: int, row: bytes) -> None:
    assert alpha_of(tmp_path, png(2, 1, depth, 0, row, chunk(b"tRNS", struct.pack(">H", key)))) == [0, 255]


@pytest.mark.parametrize(("depth", "key", "row"), [
    (8, (1, 2, 3), bytes([1, 2, 3, 3, 2, 1])),
    (16, (0x1234, 0x2345, 0x3456), struct.pack(">6H", 0x1234, 0x2345, 0x3456, 0x1334, 0x2345, 0x3456)),
], ids=["8", "16"])  # fmt: skip
def test_the_transparent_colour(tmp_path: Path, depth: int, key: tuple[int, ...], row: bytes) -> None:
    assert alpha_of(tmp_path, png(2, 1, depth, 2, row, chunk(b"tRNS", struct.pack(">3H", *key)))) == [0, 255]


@pytest.mark.parametrize(("mode", "colour"), [("L", 128), ("LA", (128, 255)), ("LA", (128, 90))])
def test_a_profile_of_grey(tmp_path: Path, mode: str, colour: int | tuple[int, ...]) -> None:
    data = encoded(Image.new(mode, (8, 8), colour), icc_profile=GREY_LINEAR)
    _, files = made(tmp_path, data, large={"side": 4, **PNG})
    assert abs(pixel(files["large.png"], 0.5, 0.5)[0] - 188) <= 1  # sRGB of half the light


def test_a_profile_of_grey_beside_a_transparent_value(tmp_path: Path) -> None:
    profile = chunk(b"iCCP", b"grey\0\0" + zlib.compress(GREY_LINEAR))
    data = png(2, 1, 8, 0, b"\x80\x07", profile, chunk(b"tRNS", b"\0\x07"))
    _, files = made(tmp_path, data, large={"side": 4, **PNG})
    assert abs(pixel(files["large.png"], 0, 0)[0] - 188) <= 1
    assert alpha_of(tmp_path, data) == [255, 0]


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_a_grey_picture_on_a_coloured_ground(tmp_path: Path, mode: str, form: str) -> None:
    box = {"box": [60, 60], "fit": "contain", "background": "#ff0000", "formats": [form], "quality": {"jpeg": 95}}
    found, files = made(tmp_path, encoded(Image.new("L", (80, 20), 255).convert(mode)), large=box)
    image = files[found.renditions[0].file]
    assert np.abs(np.array(pixel(image, 0.5, 0.05)[:3]) - (255, 0, 0)).max() < 9
    assert np.abs(np.array(pixel(image, 0.5, 0.5)[:3]) - (255, 255, 255)).max() < 9


def test_attention_does_not_look_at_what_is_invisible(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    pixels = chance.integers(0, 256, (100, 400, 4), np.uint8)
    pixels[..., 3] = 0
    pixels[20:80, 320:380] = (40, 90, 160, 255)
    box = {"box": [100, 100], "fit": "cover", "crop": "attention", **PNG}
    _, files = made(tmp_path, encoded(Image.fromarray(pixels)), large=box)
    assert np.asarray(files["large.png"].convert("RGBA"))[..., 3].mean() > 80


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_an_orientation_that_is_not_in_exif_is_not_applied(tmp_path: Path, form: str) -> None:
    image = pictures.quarters()
    if form == "PNG":
        notes = PngImagePlugin.PngInfo()
        notes.add_itxt("XML:com.adobe.xmp", XMP.decode())
        data = encoded(image, pnginfo=notes)
    else:
        data = encoded(image, form, xmp=XMP)
    found, _ = made(tmp_path, data, large={"side": 50, **PNG})
    assert (found.facts.width, found.facts.height) == (200, 100)


@pytest.mark.parametrize(("before", "size"), [(True, (100, 200)), (False, (200, 100))])
def test_an_orientation_behind_the_pixels_of_a_png_is_not_applied(
    tmp_path: Path, before: bool, size: tuple[int, int]
) -> None:
    plain, turned = encoded(pictures.quarters()), chunk(b"eXIf", made_set.exif(6)[6:])
    at = 33 if before else len(plain) - 12
    data = plain[:at] + turned + plain[at:]
    found, _ = made(tmp_path, data, large={"side": 200, **PNG})
    assert (found.facts.width, found.facts.height) == size
    assert libvips.thumbnail(data, 200)[0].shape[:2] == size[::-1]


def two_pictures() -> bytes:
    """A JPEG with a second, grey one behind it, as phones write gain maps."""
    return encoded(pictures.quarters(), "MPO", save_all=True, append_images=[Image.new("L", (100, 50), 90)])


def flooded(data: bytes) -> bytes:
    return data + np.random.default_rng(1).bytes(2_000_000)  # holds some 30 starts of scans


@pytest.mark.parametrize("data", [
    two_pictures(), two_pictures()[:-400], two_pictures().replace(b"MPF\0II", b"MPF\0XX"), two_pictures() + b"\0" * 40,
    flooded(encoded(pictures.quarters(), "JPEG", progressive=True)),
], ids=["two", "the-second-cut-off", "a-broken-index", "trailing-zeros", "film"])  # fmt: skip
def test_a_jpeg_with_more_behind_it_is_a_still(tmp_path: Path, data: bytes) -> None:
    found, files = made(tmp_path, data, large={"side": 100, "formats": ["webp", "png"]})
    assert found.facts.frames == 1
    assert not any(one.animated for one in found.renditions)
    assert getattr(files["large.webp"], "n_frames", 1) == 1
    assert np.abs(np.array(pixel(files["large.png"], 0.2, 0.2)[:3]) - (255, 0, 0)).max() < 9


def test_scans_are_counted_where_they_are(tmp_path: Path) -> None:
    data = encoded(pictures.photo(64, 64), "JPEG", progressive=True)
    scans = jpeg.markers(data).scans
    assert 5 < scans < 20
    thumbnail = b"\xff\xe7" + struct.pack(">H", 2 + 400) + b"\xff\xda" * 200
    padded = data[:2] + thumbnail + b"\xff\xff\xff" + data[2:]
    assert jpeg.markers(padded) == jpeg.markers(flooded(data)) == jpeg.markers(data)
    assert made(tmp_path, padded, large={"side": 32})[0].facts.width == 64
    assert not jpeg.markers(data[:-2]).ends


@pytest.mark.parametrize("chunks", [
    [chunk(b"tEXt", b"workflow\0" + b"x" * 3_000_000)],
    [chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(9_000_000)))],
    [chunk(b"tEXt", b"Comment\0abc")[:-1] + b"?"],
    [chunk(b"pHYs", b"\0\0")],
    [chunk(b"iCCP", b"a name without an end")],
    [chunk(b"tIME", b"")],
    [chunk(b"gAMA", b"\0\0\0\1")[:-1] + b"?"],
], ids=["long-text", "packed-text", "wrong-checksum", "odd-density", "odd-profile", "time", "gamma"])  # fmt: skip
def test_what_a_png_says_on_the_side_refuses_no_picture(tmp_path: Path, chunks: list[bytes]) -> None:
    plain = encoded(pictures.quarters())
    _, files = made(tmp_path, plain[:33] + b"".join(chunks) + plain[33:], large={"side": 50, **PNG})
    assert pixel(files["large.png"], 0.2, 0.2) == (255, 0, 0, 255)


@pytest.mark.parametrize("form", ["jpeg", "webp", "avif", "png"])
@pytest.mark.parametrize("stored", ["© Łukasz 東京".encode(), "© Zoë".encode("latin-1")], ids=["utf-8", "latin-1"])
def test_a_copyright_in_any_script_is_kept(tmp_path: Path, form: str, stored: bytes) -> None:
    exif = Image.Exif()
    exif[0x8298] = stored
    data = encoded(pictures.photo(64, 64), "JPEG", exif=exif.tobytes())
    found, files = made(tmp_path, data, large={"side": 32, "formats": [form], "keep_copyright": True})
    text = stored.decode("utf-8" if b"\xc2" in stored else "latin-1")
    kept = files[found.renditions[0].file].getexif()[0x8298]
    assert (kept if isinstance(kept, bytes) else kept.encode("latin-1")).decode() == text


def test_frames_that_are_all_alike_are_no_animation(tmp_path: Path) -> None:
    found, files = made(tmp_path, apng(Part(2), Part(2)), large={"side": 20, "formats": ["webp"]})
    assert found.facts.frames == 2
    assert getattr(files["large.webp"], "n_frames", 1) == 1
    assert not found.renditions[0].animated


def test_inks_without_a_profile_are_those_of_a_press(tmp_path: Path) -> None:
    patches = {(255, 0, 0, 0): (0, 174, 239), (0, 255, 0, 0): (236, 0, 140), (0, 0, 255, 0): (255, 242, 0),
               (0, 0, 0, 0): (255, 255, 255)}  # fmt: skip
    for inks, colour in patches.items():  # as designers know them from SWOP
        data = encoded(Image.new("CMYK", (32, 32), inks), "JPEG", quality=95)
        _, files = made(tmp_path, data, large={"side": 16, **PNG})
        assert np.abs(np.array(pixel(files["large.png"], 0.5, 0.5)[:3]) - colour).max() <= 6


def cut(form: str) -> bytes:
    options = {"progressive": True} if form == "PROGRESSIVE" else {}
    form = form.replace("PROGRESSIVE", "JPEG")
    whole = encoded(pictures.photo(300, 200).convert("P" if form == "GIF" else "RGB"), form, **options)
    return whole[: len(whole) * 2 // 3]


@pytest.mark.parametrize("form", ["JPEG", "PROGRESSIVE", "PNG", "GIF"])
def test_a_file_that_was_cut_off_is_salvaged_if_the_recipe_says_so(tmp_path: Path, form: str) -> None:
    data = cut(form)
    with pytest.raises(Rejected, match="ends early" if form != "GIF" else "cut off"):
        made(tmp_path, data, large={"side": 300, **PNG})
    found, files = made(tmp_path, data, large={"side": 300, **PNG, "salvage": True}, small={"side": 30, **PNG})
    assert found.salvaged
    assert [one.name for one in found.renditions] == ["large"]
    there = np.asarray(files["large.png"].convert("RGB"), int)[:80]
    whole = np.asarray(pictures.photo(300, 200), int)[:80]
    assert np.abs(there - whole).mean() < (30 if form == "GIF" else 12)


def test_a_whole_file_is_not_called_salvaged(tmp_path: Path) -> None:
    data = encoded(pictures.photo(60, 40), "JPEG")
    assert not made(tmp_path, data, large={"side": 30, "salvage": True}, small={"side": 10})[0].salvaged


@pytest.mark.parametrize("data", [encoded(pictures.photo(60, 40), "JPEG")[:300], b"", b"GIF89a", cut("PNG")[:60]],
                         ids=["header-of-a-jpeg", "nothing", "signature", "start-of-a-png"])  # fmt: skip
def test_what_has_no_pixels_is_not_salvaged(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Rejected):
        made(tmp_path, data, large={"side": 30, "salvage": True})


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}, {"subsampling": "4:4:4"}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_that_lacks_its_end_marker_only_is_whole(tmp_path: Path, mode: str, options: dict[str, object]) -> None:
    data = encoded(pictures.photo(203, 117).convert(mode), "JPEG", **options)
    source = tmp_path / "source"
    recipes = Recipes(renditions={"large": Recipe(side=203, formats=("png",))})
    source.write_bytes(data)
    render(source, recipes, tmp_path)
    wanted = (tmp_path / "large.png").read_bytes()
    source.write_bytes(data[:-2])
    assert not render(source, recipes, tmp_path).salvaged
    assert (tmp_path / "large.png").read_bytes() == wanted
    source.write_bytes(data[:-12])
    with pytest.raises(Rejected, match="ends early"):
        render(source, recipes, tmp_path)


def see_through() -> bytes:
    image = pictures.quarters(64, 48).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((64, 48)))
    return encoded(image, "AVIF", quality=95, subsampling="4:4:4")


def test_an_avif_of_an_older_encoder(tmp_path: Path) -> None:
    plain = see_through()
    _, files = made(tmp_path, plain, large={"side": 64, **PNG})
    wanted = np.asarray(files["large.png"])
    data = boxes.with_two_boxes_of_associations(plain)
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(data))
    _, files = made(tmp_path, data, large={"side": 64, **PNG})
    assert np.array_equal(np.asarray(files["large.png"]), wanted)


@pytest.mark.browser
def test_a_browser_shows_an_avif_of_an_older_encoder(browser: Browser) -> None:
    with decoding_page(browser) as page:
        assert len(shown(page, boxes.with_two_boxes_of_associations(see_through()), "avif").frames) == 1


def test_the_clean_aperture_of_an_avif(tmp_path: Path) -> None:
    image = pictures.quarters(64, 48)
    plain = encoded(image, "AVIF", quality=100, subsampling="4:4:4")
    found, files = made(tmp_path, boxes.cropped(plain, image.size, (40, 30, 60, 46)), large={"side": 64, **PNG})
    assert files["large.png"].size == (found.facts.width, found.facts.height) == (20, 16)
    assert np.abs(np.asarray(files["large.png"].convert("RGB"), int) - 255).max() < 9  # of the white quarter


def test_an_aperture_that_is_not_within_the_picture_is_passed_over(tmp_path: Path) -> None:
    data = boxes.cropped(encoded(pictures.quarters(64, 48), "AVIF"), (64, 48), (40, 30, 90, 46))
    assert made(tmp_path, data, large={"side": 64, **PNG})[1]["large.png"].size == (64, 48)
