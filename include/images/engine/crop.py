"""Where to cut a picture that covers its box: around the centre or another point, or where most of the detail is."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from include.images.engine.geometry import Size
from include.images.engine.recipe import Point

LOOK = 64  # pixels of the longer side of the small picture that is looked at


def window(image: Image.Image, final: Size, crop: str | Point) -> tuple[int, int, int, int]:
    """Left, upper, right and lower edge, in pixels of `image`, of a part `final` large.

    A `focal` point that nobody has named is looked for as by `attention`.
    """
    if isinstance(crop, Point):
        left, upper = _around(crop.x, image.width, final[0]), _around(crop.y, image.height, final[1])
    else:
        room = (image.width - final[0], image.height - final[1])
        share = (0.5, 0.5) if crop == "centre" else _attention(image, final)
        left, upper = round(room[0] * share[0]), round(room[1] * share[1])
    return left, upper, left + final[0], upper + final[1]


def _around(share: float, length: int, kept: int) -> int:
    """Where `kept` of `length` pixels begin, with the point in their middle, or as near to it as the edge allows."""
    return min(max(0, round(share * length - kept / 2)), length - kept)


def _attention(image: Image.Image, final: Size) -> tuple[float, float]:
    """Share of the room to the left of and above the part with the strongest edges; the centre when all is equal."""
    scale = LOOK / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = np.sum([_edges(plane.resize(size, Image.Resampling.BOX)) for plane in _planes(image)], axis=0)
    return (
        _best(small.sum(axis=0), final[0] / image.width),
        _best(small.sum(axis=1), final[1] / image.height),
    )


def _planes(image: Image.Image) -> list[Image.Image]:
    """What is seen: brightness, and the outline where some of it is transparent. Invisible colours do not count."""
    if image.mode != "RGBA":
        return [image.convert("L")]
    alpha = image.getchannel("A")
    seen = Image.new("L", image.size, 128)
    seen.paste(image.convert("L"), mask=alpha)
    return [seen, alpha]


def _edges(plane: Image.Image) -> np.ndarray:
    found = np.asarray(plane.filter(ImageFilter.FIND_EDGES), float)
    found[[0, -1], :] = found[:, [0, -1]] = 0  # the filter leaves the border as it was
    return found


def _best(weights: np.ndarray, share: float) -> float:
    """Where a window of that share of the length holds most weight: 0 is the start, 1 the end."""
    length = max(1, round(len(weights) * share))
    room = len(weights) - length
    if room <= 0:
        return 0.5
    sums = np.convolve(weights, np.ones(length), "valid")
    middle = np.abs(np.arange(room + 1) - room / 2)
    best = np.flatnonzero(sums >= sums.max() * 0.999)
    return float(best[np.argmin(middle[best])] / room)
