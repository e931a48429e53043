"""The made set: some 500 small pictures of every format, mode, depth, transparency, profile, orientation and motion."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageDraw

from include.images.engine import profiles
from tests.images.engine import libvips
from tests.images.engine.written import chunk, encoded, grey_profile, png

SIZE = (120, 88)
P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
ADOBE = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
COLOUR_PROFILES = {
    "none": b"", "p3": profiles.by_gamma(1 / 2.4, P3) or b"", "adobe": profiles.by_gamma(1 / 2.2, ADOBE) or b"",
    "srgb": SRGB, "broken": b"no profile",
}  # fmt: skip
GREY_PROFILES = {"none": b"", "grey": grey_profile(1.0), "grey18": grey_profile(1.8)}


@dataclass(frozen=True)
class Made:
    """One picture, with a name that says what it is."""

    name: str
    data: bytes
    moves: bool = False


@cache
def scene() -> Image.Image:
    """A picture with soft and sharp parts, drawn large so that no edge is a staircase."""
    width, height = SIZE
    y, x = np.mgrid[0 : 4 * height, 0 : 4 * width].astype(float)
    soft = np.stack(
        [40 + 180 * x / x.max(), 200 - 140 * y / y.max(), 128 + 90 * np.sin(x / 70) * np.cos(y / 50)], axis=-1
    )
    image = Image.fromarray(soft.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 50, 240, 230), fill=(200, 60, 40), outline=(255, 250, 240), width=12)
    draw.rectangle((280, 180, 440, 320), fill=(30, 90, 160))
    draw.polygon([(300, 40), (450, 150), (330, 160)], fill=(240, 210, 60))
    return image.resize(SIZE, Image.Resampling.LANCZOS)


@cache
def veil() -> Image.Image:
    """Transparency: a soft slope and a hole."""
    alpha = Image.linear_gradient("L").rotate(90).resize(SIZE).point(lambda one: min(255, one * 2))
    ImageDraw.Draw(alpha).ellipse((70, 40, 100, 70), fill=0)
    return alpha


def picture(mode: str) -> Image.Image:
    """The scene in a mode of Pillow."""
    if mode in ("RGBA", "LA"):
        image = scene().convert(mode)
        image.putalpha(veil())
        return image
    return scene().convert(mode)


def deep(bands: int) -> npt.NDArray[np.uint16]:
    """The scene in 16 bits."""
    image = picture({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[bands])
    wide = np.asarray(image).reshape(SIZE[1], SIZE[0], bands).astype(np.uint32) * 257
    return np.clip(wide + 60, 0, 65535).astype(np.uint16) if bands in (1, 3) else wide.astype(np.uint16)


def exif(orientation: int) -> bytes:
    """EXIF of an orientation alone."""
    found = Image.Exif()
    found[0x0112] = orientation
    return found.tobytes()


def made_set() -> dict[str, list[Made]]:
    """All of it, by format."""
    return {form: list(make()) for form, make in MAKERS.items()}


def _pngs() -> Iterator[Made]:
    for (kind, grey, data), orientation in product(_plain_pngs(), (1, 3, 6, 8)):
        for name, icc in (GREY_PROFILES if grey else COLOUR_PROFILES).items():
            extra = b""
            if icc:
                extra += chunk(b"iCCP", b"profile\0\0" + zlib.compress(icc))
            if orientation > 1:
                extra += chunk(b"eXIf", exif(orientation)[6:])
            elif name in ("broken", "srgb", "grey18"):
                continue
            if orientation in (3, 8) and name not in ("none", "p3", "grey"):
                continue
            yield Made(f"png-{kind}-{name}-{orientation}", data[:33] + extra + data[33:])


def _plain_pngs() -> Iterator[tuple[str, bool, bytes]]:
    """Kind, whether it is grey, and the file."""
    for bits in (1, 2, 4, 8):
        levels = (1 << bits) - 1
        steps = np.round(np.asarray(picture("L")) / 255 * levels).astype(np.uint8)
        rows = _packed(steps, bits)
        yield f"grey{bits}", True, png(*SIZE, bits, 0, rows)
        key = chunk(b"tRNS", struct.pack(">H", int(steps[5, 5])))
        yield f"grey{bits}-key", True, png(*SIZE, bits, 0, rows, key)
        indexed = scene().quantize(1 << bits, dither=Image.Dither.NONE)
        numbers, colours = np.asarray(indexed), bytes((indexed.getpalette() or [])[: 3 << bits])
        yield f"palette{bits}", False, png(*SIZE, bits, 3, _packed(numbers, bits), chunk(b"PLTE", colours))
        seen = chunk(b"tRNS", bytes([0, *range(120, 255, 30)][: 1 << bits]))
        yield f"palette{bits}-alpha", False, png(*SIZE, bits, 3, _packed(numbers, bits), chunk(b"PLTE", colours), seen)
    for kind, bands, colour in (("grey", 1, 0), ("grey-alpha", 2, 4), ("rgb", 3, 2), ("rgba", 4, 6)):
        wide = deep(bands)
        yield f"{kind}16", bands < 3, png(*SIZE, 16, colour, wide.astype(">u2").tobytes())
        if bands in (1, 3):
            key = chunk(b"tRNS", wide[5, 5].astype(">u2").tobytes())
            yield f"{kind}16-key", bands < 3, png(*SIZE, 16, colour, wide.astype(">u2").tobytes(), key)
        image = picture({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[bands])
        yield f"{kind}-interlaced", bands < 3, libvips.written(_pixels(image), "png", interlace=1, keep=0)
        yield kind, bands < 3, encoded(image)
    pixels = np.asarray(scene())
    key = chunk(b"tRNS", pixels[5, 5].astype(">u2").tobytes())
    yield "rgb-key", False, png(*SIZE, 8, 2, pixels.tobytes(), key)


def _packed(numbers: npt.NDArray[np.uint8], bits: int) -> bytes:
    """Rows of samples of that many bits."""
    spread = np.unpackbits(numbers[..., None], axis=2)[..., 8 - bits :].reshape(numbers.shape[0], -1)
    return np.packbits(spread, axis=1).tobytes()


def _pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    return np.asarray(image).reshape(image.height, image.width, -1)


def _jpegs() -> Iterator[Made]:
    kinds: dict[str, tuple[str, dict[str, object]]] = {
        "grey": ("L", {}), "444": ("RGB", {"subsampling": "4:4:4"}), "422": ("RGB", {"subsampling": "4:2:2"}),
        "420": ("RGB", {"subsampling": "4:2:0"}), "progressive": ("RGB", {"progressive": True}),
        "restart": ("RGB", {"restart_marker_blocks": 4}), "poor": ("RGB", {"quality": 30}), "cmyk": ("CMYK", {}),
        "as-rgb": ("RGB", {"keep_rgb": True}),
    }  # fmt: skip
    for (kind, (mode, options)), orientation in product(kinds.items(), (1, 2, 5, 6, 8)):
        profiles_here = GREY_PROFILES if mode == "L" else COLOUR_PROFILES if mode == "RGB" else {"none": b""}
        for name, icc in profiles_here.items():
            if orientation not in (1, 6) and name != "none":
                continue
            more = {"quality": 92, "icc_profile": icc or None, "exif": exif(orientation), **options}
            data = encoded(picture(mode), "JPEG", **more)
            yield Made(f"jpeg-{kind}-{name}-{orientation}", data)


def _webps() -> Iterator[Made]:
    for mode, lossless, orientation in product(("RGB", "RGBA"), (True, False), range(1, 9)):
        for name in ("none", "p3") if orientation in (1, 6) else ("none",):
            icc = COLOUR_PROFILES[name] or None
            data = encoded(
                picture(mode), "WEBP", lossless=lossless, quality=95, exif=exif(orientation), icc_profile=icc
            )
            yield Made(f"webp-{mode}-{'lossless' if lossless else 'lossy'}-{name}-{orientation}", data)


def _avifs() -> Iterator[Made]:
    for mode, name, sampling, orientation in product(("RGB", "RGBA"), ("none", "p3"), ("4:4:4", "4:2:0"), (1, 4, 6, 7)):
        data = encoded(picture(mode), "AVIF", quality=95, speed=10, subsampling=sampling, exif=exif(orientation),
                       icc_profile=COLOUR_PROFILES[name] or None)  # fmt: skip
        yield Made(f"avif-{mode}-{sampling.replace(':', '')}-{name}-{orientation}", data)
    for bands, bits in product((3, 4), (10, 12)):
        for lossless in (0, 1):
            data = libvips.written(deep(bands), "heif", compression=4, bitdepth=bits, Q=95, effort=0, lossless=lossless)
            yield Made(f"avif-{bands}-bands-{bits}-bits-{'lossless' if lossless else 'lossy'}", data)


def _gifs() -> Iterator[Made]:
    for colours, clear, interlaced in product((2, 16, 256), (False, True), (False, True)):
        indexed = scene().quantize(colours, dither=Image.Dither.NONE)
        options: dict[str, object] = {"transparency": 0} if clear else {}
        data = encoded(indexed, "GIF", interlace=interlaced, optimize=False, **options)
        yield Made(f"gif-{colours}-{'clear' if clear else 'solid'}-{'interlaced' if interlaced else 'plain'}", data)


def _tiffs() -> Iterator[Made]:
    ways = {"1": ("group4", "raw"), "L": ("tiff_lzw", "raw"), "RGB": ("tiff_lzw", "tiff_adobe_deflate", "jpeg"),
            "RGBA": ("tiff_lzw", "raw"), "LA": ("raw",), "CMYK": ("raw",), "P": ("tiff_lzw",)}  # fmt: skip
    for mode, compressions in ways.items():
        for compression in compressions:
            image = scene().quantize(64, dither=Image.Dither.NONE) if mode == "P" else picture(mode)
            if mode == "1":  # without the dots of a dither, which every filter smooths a little otherwise
                image = scene().convert("L").point(lambda one: 255 * (one > 128)).convert("1")
            yield Made(f"tiff-{mode}-{compression}", encoded(image, "TIFF", compression=compression))
    for orientation in range(2, 9):
        yield Made(f"tiff-turned-{orientation}", encoded(scene(), "TIFF", tiffinfo={274: orientation}))
    for name in ("p3", "adobe"):
        yield Made(f"tiff-{name}", encoded(scene(), "TIFF", icc_profile=COLOUR_PROFILES[name]))
    pages = [scene(), Image.new("RGB", (30, 30))]
    yield Made("tiff-pages", encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    for bands in (1, 3, 4):
        yield Made(f"tiff-16-bits-{bands}", libvips.written(deep(bands), "tiff"))
        pixels = _pixels(picture({1: "L", 3: "RGB", 4: "RGBA"}[bands]))
        yield Made(f"tiff-tiles-{bands}", libvips.written(pixels, "tiff", tile=1, tile_width=32, tile_height=32))


def _frames(mode: str) -> list[Image.Image]:
    frames = []
    for number in range(4):
        image = picture(mode)
        image.paste((250, 240, 30, 255)[: len(image.getbands())], (10 + 20 * number, 20, 40 + 20 * number, 50))
        frames.append(image)
    return frames


def _animations() -> Iterator[Made]:
    for mode, disposal, loop in product(("RGB", "RGBA"), (0, 1, 2, 3), (None, 0, 3)):
        frames = [
            frame.convert("RGBA").quantize(64) if mode == "RGBA" else frame.quantize(64) for frame in _frames(mode)
        ]
        options: dict[str, object] = {} if loop is None else {"loop": loop}
        data = encoded(
            frames[0], "GIF", save_all=True, append_images=frames[1:], duration=90, disposal=disposal, **options
        )
        yield Made(f"gif-moving-{mode}-disposal{disposal}-loop{loop}", data, moves=True)
    for mode, lossless in product(("RGB", "RGBA"), (False, True)):
        frames = _frames(mode)
        data = encoded(
            frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=90, lossless=lossless, quality=95
        )
        yield Made(f"webp-moving-{mode}-{'lossless' if lossless else 'lossy'}", data, moves=True)


MAKERS = {
    "png": _pngs,
    "jpeg": _jpegs,
    "webp": _webps,
    "avif": _avifs,
    "gif": _gifs,
    "tiff": _tiffs,
    "animations": _animations,
}
