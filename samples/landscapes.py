"""Drawn pictures for the demo: ridges over a lake at some time of the day, and a logo with a transparent ground."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
DRAWN_WIDTH = 1000  # pixels; larger ones are enlarged, as each pixel costs some hundred operations
RIDGES, LAKE, SUN_RADIUS = 4, 0.74, 0.05  # the last two in heights of the picture


class Palette(NamedTuple):
    """The colours of a time of the day."""

    above: Colour
    horizon: Colour
    sun: Colour
    near: Colour  # of the nearest ridge


PALETTES = (
    Palette((38, 84, 150), (250, 204, 150), (255, 244, 214), (24, 44, 48)),  # morning
    Palette((72, 140, 214), (214, 234, 246), (255, 255, 240), (28, 74, 52)),  # noon
    Palette((52, 36, 96), (252, 132, 84), (255, 214, 120), (30, 20, 44)),  # evening
    Palette((10, 16, 44), (66, 88, 140), (240, 240, 230), (6, 10, 22)),  # night
)


def landscape(width: int = 900, height: int = 600, seed: int = 1) -> Image.Image:
    """A picture of that size in pixels; the same for the same seed."""
    chance = np.random.default_rng(seed)
    palette = PALETTES[seed % len(PALETTES)]
    scale = min(1.0, DRAWN_WIDTH / width)
    image = _sky(chance, round(width * scale), round(height * scale), palette)
    _add_ridges(chance, image, palette)
    _add_lake(image, palette)
    image += chance.normal(0, 2.5, image.shape)  # as of film
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


def logo(size: int = 640) -> Image.Image:
    """A mill wheel on nothing."""
    image = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(image)
    middle, blue = size / 2, (30, 90, 150, 255)
    for number in range(12):
        turn = 2 * np.pi * number / 12
        across = np.array([np.cos(turn), np.sin(turn)])
        tip, along = middle + across * size * 0.44, np.array([-across[1], across[0]]) * size * 0.06
        draw.line([*(middle + across * size * 0.1), *tip], fill=blue, width=size // 26)
        draw.line([*(tip - along), *(tip + along)], fill=blue, width=size // 22)
    for radius in (0.37, 0.12):
        box = [middle - size * radius, middle - size * radius, middle + size * radius, middle + size * radius]
        draw.ellipse(box, outline=blue, width=size // 22)
    return image


def _sky(chance: np.random.Generator, width: int, height: int, palette: Palette) -> np.ndarray:
    """Floats, height x width x 3, from 0 to 255."""
    above, horizon, sun = (np.array(colour, float) for colour in palette[:3])
    y, x = np.mgrid[0:height, 0:width] / float(height)
    depth = (np.clip(y / LAKE, 0, 1) ** 1.3)[..., None]
    image = above * (1 - depth) + horizon * depth
    at = chance.uniform(0.2, 0.8) * width / height, chance.uniform(0.2, 0.45)
    away = np.hypot(x - at[0], y - at[1])[..., None]
    image += (sun - image) * np.exp(-((away / 0.28) ** 2)) * 0.5
    lit: np.ndarray = np.where(away < SUN_RADIUS, sun, image)
    return lit


def _add_ridges(chance: np.random.Generator, image: np.ndarray, palette: Palette) -> None:
    """Each nearer one lower and darker."""
    above, horizon, _, near = (np.array(colour, float) for colour in palette)
    height, width, _ = image.shape
    rows = np.arange(height)[:, None]
    for number in range(RIDGES):
        haze = (1 - number / (RIDGES - 1)) ** 1.2
        line = height * (0.5 + 0.06 * number + _line(chance, width, 0.075 - 0.012 * number))
        image[rows >= line[None, :]] = (horizon * 0.75 + above * 0.1) * haze + near * (1 - haze)


def _line(chance: np.random.Generator, width: int, rough: float) -> np.ndarray:
    """The height of a ridge at each column: waves, each twice as short as the one before."""
    x, line = np.linspace(0, 1, width), np.zeros(width)
    for octave in range(7):
        size = chance.uniform(0.5, 1) * rough / 2 ** (octave * 0.95)
        line += np.sin(2 * np.pi * (1.6 * 2**octave * x + chance.uniform())) * size
    return line


def _add_lake(image: np.ndarray, palette: Palette) -> None:
    """What is above, mirrored, darker, and shaken by waves."""
    height, width, _ = image.shape
    shore = int(LAKE * height)
    row, column = np.arange(height - shore)[:, None], np.arange(width)[None, :]
    shaken = (np.sin(row**1.4 / 3 + column / 37) * (1 + row / 18)).astype(int)
    mirrored = image[shore - 1 - row, np.clip(column + shaken, 0, width - 1)]
    image[shore:] = mirrored * 0.72 + np.array(palette.horizon) * 0.1
