"""Writes a rendition in one format, without metadata but for what the recipe keeps."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import AvifImagePlugin, Image, ImageColor, WebPImagePlugin

from include.images.recipes import ALPHA, Recipe

# Imported here, as Pillow would else import the plugins of all formats in every child process.
Image.preinit()
PLUGINS = (AvifImagePlugin, WebPImagePlugin)
SMALL_PIXELS = 256 * 256  # colour is kept in full where few pixels are left


@dataclass(frozen=True)
class Timing:
    """How an animation runs: milliseconds of each frame, and how often it plays (0: for ever)."""

    durations: tuple[int, ...]
    plays: int


def encode(
    frames: Sequence[Image.Image], form: str, recipe: Recipe, timing: Timing | None, rights: dict[int, str]
) -> bytes:
    """The file's bytes. Only formats that can move take more than the first frame."""
    first = frames[0]
    if form not in ALPHA:
        first = flatten(first, recipe.background)
    options: dict[str, object] = {}
    if rights and recipe.keep_copyright:
        exif = Image.Exif()
        for tag, text in rights.items():
            exif[tag] = text.encode()  # as every program of today reads it, though the standard says ASCII
        options["exif"] = exif.tobytes()
    quality = recipe.quality
    if form == "jpeg":
        sampling = "4:4:4" if quality.jpeg >= 90 or first.width * first.height <= SMALL_PIXELS else "4:2:0"
        options |= {"quality": quality.jpeg, "progressive": True, "optimize": True, "subsampling": sampling}
    elif form == "webp":
        options |= {"quality": quality.webp, "method": quality.webp_effort}
        if timing is not None and len(frames) > 1:
            options |= {"save_all": True, "append_images": list(frames[1:]), "duration": list(timing.durations),
                        "loop": timing.plays}  # fmt: skip
    elif form == "avif":
        options |= {"quality": quality.avif, "speed": quality.avif_speed, "max_threads": 1}
    else:
        options |= {"optimize": False, "compress_level": 6}
    out = io.BytesIO()
    with _bare([first, *frames[1:]]):
        first.save(out, form.upper(), **options)
    return out.getvalue()


@contextmanager
def _bare(images: Sequence[Image.Image]) -> Iterator[None]:
    """Without what Pillow would carry over from the source: comments, profiles, resolution."""
    kept = [image.info for image in images]
    for image in images:
        image.info = {}
    try:
        yield
    finally:
        for image, info in zip(images, kept, strict=True):
            image.info = info


def flatten(image: Image.Image, background: str) -> Image.Image:
    """Lay a picture on a colour, where it has transparency."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGB", image.size, ImageColor.getrgb(background))
    ground.paste(image, mask=image.getchannel("A"))
    return ground
