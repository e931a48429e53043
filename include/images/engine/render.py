"""All renditions of one picture: one decode, then each rendition from the next larger one."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image, ImageColor, ImageFilter

from include.images.engine import colour, decode, lanczos, watermark
from include.images.engine.crop import window
from include.images.engine.decode import Facts, Source, open_source
from include.images.engine.encode import Timing, encode
from include.images.engine.facts import look
from include.images.engine.facts.capture import Capture, capture
from include.images.engine.facts.look import Look
from include.images.engine.formats import webp
from include.images.engine.geometry import Layout, Size, layout
from include.images.engine.recipe import ANIMATED, SUFFIX, Recipe
from include.images.errors import Rejected
from include.images.limits import LIMITS, Limits
from include.images.recipes import RecipeSet

PLACEHOLDER = 16  # pixels of the longer side


@dataclass(frozen=True)
class Rendition:
    """A file that was made, in the folder that the caller gave."""

    name: str
    format: str
    recipe: str
    file: str
    width: int
    height: int
    bytes: int
    digest: str  # sha256 of the file
    animated: bool
    reached: bool | None = None  # whether it is what the quality's target asks for; None: it has no target


@dataclass(frozen=True)
class Rendered:
    """What a picture is, what was made of it, and a data URI to show meanwhile."""

    facts: Facts
    renditions: tuple[Rendition, ...]
    placeholder: str
    still: bool  # an animation of which only the first frame was used, because it is over the limits
    salvaged: bool = False  # it was cut off or damaged, and this is what was there
    capture: Capture = field(default_factory=Capture)
    look: Look = field(default_factory=Look)


def render(path: Path, recipes: RecipeSet, folder: Path, limits: Limits = LIMITS, position: bool = False) -> Rendered:
    """Make every rendition of the file into `folder`. Raises Rejected when the picture is at fault.

    Of a file that is cut off or damaged, the renditions are made whose recipes salvage. With `position`, where it was
    taken is read too.
    """
    try:
        with open_source(path, limits) as source:
            return _render(source, recipes, folder, limits, position)
    except Rejected as fault:
        salvaging = {name: recipe for name, recipe in recipes.renditions.items() if recipe.salvage}
        if fault.code != "broken" or not salvaging:
            raise
    with open_source(path, limits, salvage=True) as source:
        found = _render(source, RecipeSet(renditions=salvaging), folder, limits, position)
    return replace(found, salvaged=True)


def _render(source: Source, recipes: RecipeSet, folder: Path, limits: Limits, position: bool) -> Rendered:
    facts = source.facts
    seen = (facts.width, facts.height)
    layouts = {name: layout(seen, recipe) for name, recipe in recipes.renditions.items()}
    moving = _moves(source, recipes, limits)
    made: list[Rendition] = []
    try:
        placeholder, seen_as = _still(source, recipes, layouts, folder, made, skip=ANIMATED if moving else ())
        if moving:
            facts = replace(facts, frames=_moving(source, recipes, layouts, folder, made))
    except (Rejected, MemoryError):
        raise
    except Exception as error:  # what nobody has met yet; the picture is what differs
        raise Rejected("broken", f"no renditions can be made of its pixels: {error}"[:300]) from error
    return Rendered(
        facts, tuple(made), placeholder, facts.frames > 1 and not moving,
        capture=capture(source.exif, position=position), look=seen_as,
    )  # fmt: skip


def _moves(source: Source, recipes: RecipeSet, limits: Limits) -> bool:
    facts = source.facts
    wanted = any(form in ANIMATED for recipe in recipes.renditions.values() for form in recipe.formats)
    return (
        wanted
        and source.frames is not None
        and 1 < facts.frames <= limits.frames
        and source.frames.pixels <= limits.animation_pixels
    )


def _still(
    source: Source,
    recipes: RecipeSet,
    layouts: dict[str, Layout],
    folder: Path,
    made: list[Rendition],
    skip: tuple[str, ...],
) -> tuple[str, Look]:
    """The renditions of the first frame; returns the placeholder, and how it looks."""
    largest = max((found.scaled for found in layouts.values()), key=lambda size: size[0] * size[1])
    image = colour.to_eight_bits(source.first(_as_stored(source, largest)))
    transparent, looked_at = look.is_transparent(image), None
    for name, scaled in _pyramid(image, source, layouts):
        if looked_at is None or min(scaled.size) >= look.SIDE:  # on few pixels, as it costs nothing there
            looked_at = scaled
        recipe = recipes.renditions[name]
        frame = _finish(scaled, recipe, layouts[name])
        for form in recipe.formats:
            if form not in skip:
                made.append(_write(folder, name, recipe, form, [frame], None, source))
    assert looked_at is not None
    name_of_space = look.profile_name(source.space.icc)
    return _placeholder(scaled), Look(
        transparent, look.colours(looked_at), look.perceptual_hash(looked_at), name_of_space
    )


def _pyramid(image: Image.Image, source: Source, layouts: dict[str, Layout]) -> Iterator[tuple[str, Image.Image]]:
    """Each rendition's whole picture at its scale, the largest first, each made of the one before."""
    ordered = sorted(layouts, key=lambda name: -layouts[name].scaled[0] * layouts[name].scaled[1])
    for number, name in enumerate(ordered):
        size = layouts[name].scaled
        if number == 0:  # colours and orientation are set right on few pixels instead of many
            image = resize(image, _as_stored(source, size))
            image = _seen(image, source)
        else:
            image = resize(image, size)
        yield name, image


def _seen(image: Image.Image, source: Source) -> Image.Image:
    """In sRGB and upright."""
    return decode.upright(colour.to_srgb(image, source.space), source.facts.orientation)


def _as_stored(source: Source, size: Size) -> Size:
    return size[::-1] if source.turned else size


def resize(image: Image.Image, size: Size) -> Image.Image:
    """Lanczos; transparency is multiplied in first, so that invisible colours do not bleed into the edges."""
    if image.size == size:
        return image
    if image.mode != "RGBA":
        return lanczos.resize(image, size)
    return lanczos.resize(image.convert("RGBa"), size).convert("RGBA")


def _finish(image: Image.Image, recipe: Recipe, found: Layout) -> Image.Image:
    """Crop, sharpen, blur, pad, and lay the watermark on it, where the recipe says so."""
    if found.crops:
        image = image.crop(window(image, found.final, recipe.crop))
    if recipe.sharpen:
        image = image.filter(ImageFilter.UnsharpMask(radius=1.0, percent=round(recipe.sharpen * 100), threshold=2))
    if recipe.blur:
        image = _blurred(image, recipe.blur)
    if found.pads:
        if image.mode == "L":  # the background may have a colour
            image = image.convert("RGB")
        ground = Image.new(image.mode, found.final, _ground(image.mode, recipe.background))
        ground.paste(image, ((found.final[0] - image.width) // 2, (found.final[1] - image.height) // 2))
        image = ground
    return image if recipe.watermark is None else watermark.lay(image, recipe.watermark)


def _blurred(image: Image.Image, sigma: float) -> Image.Image:
    """By Pillow's three box filters; transparency is multiplied in, as for resizing."""
    if image.mode != "RGBA":
        return image.filter(ImageFilter.GaussianBlur(sigma))
    return image.convert("RGBa").filter(ImageFilter.GaussianBlur(sigma)).convert("RGBA")


def _ground(mode: str, colour: str) -> int | tuple[int, ...]:
    return ImageColor.getcolor(colour, mode)


def _moving(source: Source, recipes: RecipeSet, layouts: dict[str, Layout], folder: Path, made: list[Rendition]) -> int:
    """The animated renditions, one after the other: only one size of all frames is in memory at a time.

    Returns how many frames could be read.
    """
    assert source.frames is not None
    frames: list[Image.Image] = []
    for name, recipe in recipes.renditions.items():
        forms = [form for form in recipe.formats if form in ANIMATED]
        if not forms:
            continue
        frames, durations = [], []
        for image, duration in source.moving():
            scaled = _seen(resize(image, _as_stored(source, layouts[name].scaled)), source)
            frames.append(_finish(scaled, recipe, layouts[name]))
            durations.append(duration)
        timing = Timing(tuple(durations), source.frames.plays)
        for form in forms:
            made.append(_write(folder, name, recipe, form, frames, timing, source))
    return len(frames)


def _write(
    folder: Path, name: str, recipe: Recipe, form: str, frames: list[Image.Image], timing: Timing | None, source: Source
) -> Rendition:
    data, reached = encode(frames, form, recipe, timing, source.copyright)
    file = f"{name}.{SUFFIX[form]}"
    (folder / file).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return Rendition(name, form, recipe.identity, file, *frames[0].size, len(data), digest, webp.moves(data), reached)


def _placeholder(image: Image.Image) -> str:
    """A data URI of some hundred bytes."""
    scale = PLACEHOLDER / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    tiny = resize(image, size) if max(image.size) > PLACEHOLDER else image
    out = io.BytesIO()
    tiny.save(out, "WEBP", quality=40, method=6)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
