"""Lays a watermark on a finished rendition, in sRGB as browsers do."""

from __future__ import annotations

import io

from PIL import Image

from include.images.engine import colour, lanczos
from include.images.engine.colour import Space
from include.images.engine.geometry import Size
from include.images.engine.recipe import Watermark


def lay(image: Image.Image, mark: Watermark) -> Image.Image:
    """A copy of the picture, in RGB or RGBA, with the watermark on it."""
    margin = round(mark.margin * min(image.size))
    logo = _logo(mark)
    size = _size(logo.size, image.size, mark.size, margin)
    logo = lanczos.resize(logo.convert("RGBa"), size).convert("RGBA")
    logo.putalpha(logo.getchannel("A").point([round(alpha * mark.opacity) for alpha in range(256)]))
    place = _place(mark.position, image.size, size, margin)
    if image.mode == "RGBA":
        image = image.copy()
        image.alpha_composite(logo, place)
    else:
        image = image.convert("RGB") if image.mode != "RGB" else image.copy()
        image.paste(logo, place, logo)
    return image


def _logo(mark: Watermark) -> Image.Image:
    """In sRGB, with transparency."""
    with Image.open(io.BytesIO(mark.data), formats=["PNG"]) as opened:
        icc = opened.info.get("icc_profile")
        space = Space(icc or None, opened.mode in ("1", "L", "LA"))
        return colour.to_srgb(colour.to_eight_bits(opened), space).convert("RGBA")


def _size(logo: Size, image: Size, share: float, margin: int) -> Size:
    """So broad as the recipe says, but no larger than what the margins leave."""
    most = [max(1, side - 2 * margin) for side in image]
    scale = min(image[0] * share / logo[0], most[0] / logo[0], most[1] / logo[1])
    return max(1, round(logo[0] * scale)), max(1, round(logo[1] * scale))


def _place(position: str, image: Size, logo: Size, margin: int) -> tuple[int, int]:
    """Its left and upper edge."""
    room = (image[0] - logo[0], image[1] - logo[1])
    if position == "centre":
        return room[0] // 2, room[1] // 2
    down, across = position.split("-")
    return (
        max(0, min(margin, room[0]) if across == "left" else room[0] - margin),
        max(0, min(margin, room[1]) if down == "top" else room[1] - margin),
    )
