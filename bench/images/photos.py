"""Pictures that look to an encoder and to a resizer like a camera's: made once by seed, then kept.

Flat shapes that cover each other, large and small, under clouds whose spectrum falls as 1/f, as that of natural
pictures does; softened as by a lens, with a sensor's noise, as JPEG 4:2:0: about two bits a pixel, as a camera's.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from stack.errors import StackError

VERSION = 1  # goes up when the same seed comes out otherwise
NOISE, QUALITIES = 2.0, (90, 91, 92, 93)
SHAPES, LEAST_RADIUS = 3000, 12.0
GROUND_SHAPES = 60  # large ones, behind the others
GREYNESS = 0.6  # how far colours are drawn towards grey: real scenes are seldom gaudy
TEXTURE, COLOUR = 0.10, 2.5  # strength of the clouds: share of the brightness, and steps of 255 in each colour
COARSE = 4  # clouds of colour are made at a quarter of the size: eyes and cameras see colour less sharply
Plane = NDArray[np.float32]


class Kind(NamedTuple):
    """Pictures of one size."""

    name: str
    width: int
    height: int


KINDS = (Kind("12 MP", 4000, 3000), Kind("24 MP", 6000, 4000))
SMALL = Kind("small", 1600, 1200)


def make(folder: Path, kind: Kind, count: int) -> list[Path]:
    """The first so many pictures of a kind, made where they miss."""
    home = folder / f"photos-{VERSION}"
    home.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(home).free < 1e9:
        raise StackError(f"disk full: the benchmark's pictures need 1 GB in {home}")
    places = [(home / f"{kind.width}x{kind.height}-{seed}.jpg", kind, seed) for seed in range(count)]
    missing = [place for place in places if not place[0].exists()]
    if missing:  # in other processes, as this one is to stay small: what it starts would be counted as large as it
        with ProcessPoolExecutor(min(2, len(missing)), get_context("spawn")) as pool:
            list(pool.map(_make, *zip(*missing, strict=True)))
    return [path for path, _, _ in places]


def _make(path: Path, kind: Kind, seed: int) -> None:
    fresh = path.with_suffix(".new")
    image = photo(kind.width, kind.height, seed)
    image.save(fresh, "JPEG", quality=QUALITIES[seed % len(QUALITIES)], subsampling="4:2:0")
    fresh.replace(path)


def photo(width: int, height: int, seed: int) -> Image.Image:
    """One picture, always the same for the same seed."""
    chance = np.random.default_rng([seed, width, height])
    pixels = np.asarray(_leaves(chance, width, height), np.float32) * 0.75 + 32
    strength = TEXTURE * np.clip(0.5 + _coarse(chance, width, height), 0, 2)
    pixels *= (1 + strength * clouds(chance, width, height))[..., None]
    for channel in range(3):
        pixels[..., channel] += COLOUR * _coarse(chance, width, height)
    soft = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7))
    seen = np.asarray(soft, np.float32)
    seen += NOISE * chance.standard_normal((height, width, 1), np.float32) * np.sqrt(seen / 128 + 0.1)
    return Image.fromarray(seen.clip(0, 255).astype(np.uint8))


def clouds(chance: np.random.Generator, width: int, height: int) -> Plane:
    """A field of mean 0 and deviation 1 whose amplitude falls as 1/f."""
    spectrum = np.fft.rfft2(chance.standard_normal((height, width), np.float32))
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    distance = np.hypot(down, across).astype(np.float32)
    distance[0, 0] = np.inf  # no constant part
    field = np.fft.irfft2(spectrum / distance, s=(height, width)).astype(np.float32)
    return np.asarray(field / field.std())


def _coarse(chance: np.random.Generator, width: int, height: int) -> Plane:
    """Clouds without the finest detail."""
    small = Image.fromarray(clouds(chance, width // COARSE, height // COARSE))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def _leaves(chance: np.random.Generator, width: int, height: int) -> Image.Image:
    """Discs and polygons that cover each other; small ones are many, as in a scene with near and far things."""
    image = Image.new("RGB", (width, height), (128, 128, 128))
    pen = ImageDraw.Draw(image)
    largest = width / 4
    share = chance.random(SHAPES)
    radii = (LEAST_RADIUS**-2 + share * (largest**-2 - LEAST_RADIUS**-2)) ** -0.5  # density falls as r^-3
    radii = np.concatenate([chance.uniform(largest / 4, largest, GROUND_SHAPES), radii])
    for radius in radii:
        x, y = chance.uniform(0, width), chance.uniform(0, height)
        bright, tint = chance.uniform(10, 245), chance.uniform(10, 245, 3)
        colour = tuple(int(value) for value in GREYNESS * bright + (1 - GREYNESS) * tint)
        if chance.random() < 0.5:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        else:
            angles = np.sort(chance.uniform(0, 2 * np.pi, int(chance.integers(3, 7))))
            pen.polygon([(x + radius * np.cos(angle), y + radius * np.sin(angle)) for angle in angles], fill=colour)
    return image
