"""Writes a rendition in one format, without metadata but for what the recipe keeps."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import AvifImagePlugin, Image, ImageColor, WebPImagePlugin

from include.images.engine import search
from include.images.engine.recipe import ALPHA, ANIMATED, Quality, Recipe
from include.images.engine.similarity import ssim

# Imported here, as Pillow would else import the plugins of all formats in every child process.
Image.preinit()
PLUGINS = (AvifImagePlugin, WebPImagePlugin)
# The highest quality that is tried for a target. PNG has one only: no pixel is lost.
HIGHEST = {"jpeg": 95, "webp": 100, "avif": 100, "png": 1}
SMALL_PIXELS = 256 * 256  # colour is kept in full where few pixels are left


@dataclass(frozen=True)
class Timing:
    """How an animation runs: milliseconds of each frame, and how often it plays (0: for ever)."""

    durations: tuple[int, ...]
    plays: int


def encode(
    frames: Sequence[Image.Image], form: str, recipe: Recipe, timing: Timing | None, rights: dict[int, str]
) -> tuple[bytes, bool | None]:
    """The file's bytes, and whether they are what the quality's target asks for: None where the recipe has none.

    Only formats that can move take more than the first frame.
    """
    first, quality = frames[0], recipe.quality
    if form not in ALPHA:
        first = flatten(first, recipe.background)
    exif = _rights(rights) if recipe.keep_copyright else {}

    def still(level: int) -> bytes:
        return _save([first], form, exif | _options(form, quality, level, first))

    def whole(level: int) -> bytes:
        moving = _motion(frames, timing) if form in ANIMATED else {}
        return _save([first, *frames[1:]], form, exif | _options(form, quality, level, first) | moving)

    if quality.max_bytes is not None:
        return search.fit(whole, HIGHEST[form], quality.max_bytes)
    if quality.target_ssim is None:
        return whole(getattr(quality, form, 0)), None
    shown = flatten(first, recipe.background)

    def likeness(data: bytes) -> float:
        with Image.open(io.BytesIO(data)) as opened:
            return ssim(shown, flatten(opened, recipe.background))

    data, level, reached = search.resemble(still, HIGHEST[form], quality.target_ssim, likeness)
    # An animation is judged by its first frame: all frames seven times would take more than a picture may.
    return (data if len(frames) == 1 else whole(level)), reached


def _rights(rights: dict[int, str]) -> dict[str, object]:
    if not rights:
        return {}
    exif = Image.Exif()
    for tag, text in rights.items():
        exif[tag] = text.encode()  # as every program of today reads it, though the standard says ASCII
    return {"exif": exif.tobytes()}


def _options(form: str, quality: Quality, level: int, first: Image.Image) -> dict[str, object]:
    """What Pillow is told, for a quality of `level`."""
    if form == "jpeg":
        sampling = "4:4:4" if level >= 90 or first.width * first.height <= SMALL_PIXELS else "4:2:0"
        return {"quality": level, "progressive": True, "optimize": True, "subsampling": sampling}
    if form == "webp":
        return {"quality": level, "method": quality.webp_effort}
    if form == "avif":
        return {"quality": level, "speed": quality.avif_speed, "max_threads": 1}
    return {"optimize": False, "compress_level": 6}


def _motion(frames: Sequence[Image.Image], timing: Timing | None) -> dict[str, object]:
    if timing is None or len(frames) == 1:
        return {}
    return {"save_all": True, "append_images": list(frames[1:]), "duration": list(timing.durations),
            "loop": timing.plays}  # fmt: skip


def _save(images: Sequence[Image.Image], form: str, options: dict[str, object]) -> bytes:
    out = io.BytesIO()
    with _bare(images):
        images[0].save(out, form.upper(), **options)
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
