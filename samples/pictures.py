"""Generated pictures: smooth waves of several lengths in each colour, with some grain, like nothing that exists."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def photo(width: int = 900, height: int = 600, seed: int = 1) -> Image.Image:
    """A picture of that size in pixels; the same for the same seed."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    channels = []
    for _ in range(3):
        value = np.zeros((height, width), np.float32)
        for wave in (width / 1.5, width / 5, width / 17, 23):
            a, b, phase = *chance.uniform(-1, 1, 2), chance.uniform(0, 6)
            value += np.sin(2 * np.pi * (a * x + b * y) / wave + phase) * (wave / width) ** 0.5
        value = (value - value.min()) / (value.max() - value.min())
        channels.append((255 * value).astype(np.uint8))
    return Image.fromarray(np.dstack(channels))


def encoded(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    """The picture as a file's bytes."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()
