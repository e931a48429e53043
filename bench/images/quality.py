"""How close each contender's renditions come to a full-resolution Lanczos reference.

The reference is Pillow's LANCZOS on all pixels of the decoded picture, without any shortcut. The resizing alone is
judged by PNG renditions, what users get by the JPEG renditions. The measure is structural similarity, as Wang and
others defined it in 2004 (doi:10.1109/TIP.2003.819861): Gaussian window of deviation 1.5 and 11 pixels, K1 = 0.01,
K2 = 0.03, of the brightness (BT.601); the mean over all places where the whole window fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from bench.images.chain import SIDES
from stack.errors import StackError

RADIUS, DEVIATION = 5, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
WEIGHTS = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * DEVIATION**2))
WEIGHTS /= WEIGHTS.sum()

Plane = NDArray[np.float64]
Contender = tuple[str, str]  # name, and the suffix of its renditions


@dataclass
class Scores:
    """SSIM by picture and rendition."""

    values: dict[tuple[str, str], float] = field(default_factory=dict)

    def worst(self, rendition: str = "") -> float | None:
        """The lowest, of all or of one rendition."""
        chosen = [value for (_, name), value in self.values.items() if name == rendition or not rendition]
        return min(chosen, default=None)

    def least_lead(self, other: Scores) -> float | None:
        """The smallest difference to another's score of the same picture and rendition."""
        both = self.values.keys() & other.values.keys()
        return min((self.values[place] - other.values[place] for place in both), default=None)


def judge(pictures: Sequence[Path], folders: dict[Contender, Path]) -> dict[Contender, Scores]:
    """The scores of the renditions that lie in `<folder>/<picture's stem>/<rendition>.<suffix>`.

    Raises StackError when the size of one is wrong, as it is then no rendition of that recipe.
    """
    found = {contender: Scores() for contender in folders}
    for picture in pictures:
        with Image.open(picture) as image:
            full = image.convert("RGB")
        references: dict[tuple[int, int], Plane] = {}
        for contender, folder in folders.items():
            for rendition, side in SIDES.items():
                file = folder / picture.stem / f"{rendition}.{contender[1]}"
                with Image.open(file) as made:
                    size, scale = made.size, side / max(full.size)
                    if any(abs(got - whole * scale) > 1 for got, whole in zip(size, full.size, strict=True)):
                        raise StackError(f"{file} is {size}, which is not {side} pixels on its longer side")
                    if size not in references:
                        references[size] = brightness(full.resize(size, Image.Resampling.LANCZOS))
                    value = ssim(brightness(made.convert("RGB")), references[size])
                found[contender].values[picture.stem, rendition] = value
    return found


def brightness(image: Image.Image) -> Plane:
    """(height, width) of 0 to 255."""
    found: Plane = np.asarray(image).astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return found


def ssim(one: Plane, other: Plane) -> float:
    """1 for the same; both (height, width) of 0 to 255, and larger than the window."""
    mean_one, mean_other = _smooth(one), _smooth(other)
    variance_one = _smooth(one * one) - mean_one**2
    variance_other = _smooth(other * other) - mean_other**2
    both = _smooth(one * other) - mean_one * mean_other
    likeness = (2 * mean_one * mean_other + C1) * (2 * both + C2)
    likeness /= (mean_one**2 + mean_other**2 + C1) * (variance_one + variance_other + C2)
    return float(likeness.mean())


def _smooth(values: Plane) -> Plane:
    """The window's mean wherever the whole window fits."""
    down = sliding_window_view(values, len(WEIGHTS), axis=0) @ WEIGHTS
    found: Plane = sliding_window_view(down, len(WEIGHTS), axis=1) @ WEIGHTS
    return found
