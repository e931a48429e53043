"""How a picture looks: its main colours, whether any of it is transparent, and a hash that like pictures share."""

from __future__ import annotations

import io
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from include.images.engine.facts.exif import plain

SIDE = 64  # pixels: what is looked at has at least so many on its shorter side, where the picture has
COLOURS, COUNTED = 5, 40  # how many at most, and the longer side of what they are counted in: it takes a millisecond
PARTS = 16  # groups of like colours that median cut makes; those near each other count as one
NEAR = 40.0  # distance of two colours in RGB up to which they are one
LEAST_SHARE = 0.03
SEEN = 128  # alpha from which on a pixel's colour counts
HASHED, KEPT = 32, 8
Colour = tuple[int, ...]
FLAT = 4  # levels of grey: in a picture that differs by no more, the hash would be of noise
# The discrete cosine transform (DCT-II): its KEPT lowest frequencies of HASHED values.
_COSINES = np.cos(np.pi * np.outer(np.arange(KEPT), 2 * np.arange(HASHED) + 1) / (2 * HASHED))


@dataclass(frozen=True)
class Look:
    """What is seen. `colours` are sRGB as #rrggbb, the most frequent first."""

    transparent: bool = False
    colours: tuple[str, ...] = ()
    perceptual_hash: int | None = None  # 64 bits, as a signed number
    profile: str | None = None  # the name of the embedded ICC profile


def is_transparent(image: Image.Image) -> bool:
    """Whether any pixel is not opaque, of a picture in 8 bits."""
    return image.mode == "RGBA" and image.getchannel("A").getextrema()[0] != 255


def colours(image: Image.Image) -> tuple[str, ...]:
    """The colours that most of a small picture has: groups of Pillow's median cut, near ones counted together."""
    scale = min(1.0, COUNTED / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    pixels = np.asarray(image.convert("RGBA").resize(size, Image.Resampling.BOX)).reshape(1, -1, 4)
    shown = pixels[pixels[..., 3] >= SEEN][None, :, :3]
    if not shown.size:
        return ()
    reduced = Image.fromarray(np.ascontiguousarray(shown)).quantize(PARTS, Image.Quantize.MEDIANCUT)
    palette = np.array(reduced.getpalette(), np.uint8).reshape(-1, 3)
    groups: Counter[Colour] = Counter()
    found: Any = reduced.getcolors()
    for count, number in sorted(found, reverse=True):
        colour: Colour = tuple(map(int, palette[number]))
        groups[next((known for known in groups if math.dist(known, colour) <= NEAR), colour)] += count
    least = LEAST_SHARE * shown.shape[1]
    return tuple("#" + bytes(colour).hex() for colour, count in groups.most_common(COLOURS) if count >= least)


def perceptual_hash(image: Image.Image) -> int | None:
    """pHash as the package ImageHash has it: of 32 x 32 greys the 8 x 8 lowest frequencies, each over their median?

    The first bit is the highest of 64. Transparency lies on white. None for a picture that is nearly of one colour.
    """
    grey: npt.NDArray[np.float64] = np.asarray(
        _on_white(image).convert("L").resize((HASHED, HASHED), Image.Resampling.LANCZOS), float
    )
    if np.ptp(grey) <= FLAT:
        return None
    low = _COSINES @ grey @ _COSINES.T
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big", signed=True)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def profile_name(icc: bytes | None) -> str | None:
    """What an ICC profile calls itself; None for a broken one, and one without a name."""
    if icc is None:
        return None
    try:
        return plain(ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.profile_description or "")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
