"""How close each contender's renditions come to a full-resolution Lanczos reference.

The reference is Pillow's LANCZOS on all pixels of the decoded picture, without any shortcut. The resizing alone is
judged by PNG renditions, what users get by the JPEG renditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from bench.images.chain import SIDES
from bench.images.ssim import brightness, ssim
from stack.errors import StackError

Size = tuple[int, int]


class Reference:
    """The references of one picture, made when a size is first asked for."""

    def __init__(self, picture: Path) -> None:
        with Image.open(picture) as image:
            self._full = image.convert("RGB")
        self._known: dict[Size, np.ndarray] = {}

    def of(self, size: Size) -> np.ndarray:
        """Brightness at that size."""
        if size not in self._known:
            self._known[size] = brightness(np.asarray(self._full.resize(size, Image.Resampling.LANCZOS)))
        return self._known[size]

    def score(self, rendition: Path, side: int) -> float:
        """SSIM of a rendition. Raises StackError when its size is wrong, as it is then no rendition of that recipe."""
        with Image.open(rendition) as image:
            scale = side / max(self._full.size)
            if any(abs(got - full * scale) > 1 for got, full in zip(image.size, self._full.size, strict=True)):
                raise StackError(f"{rendition} is {image.size}, which is not {side} pixels on its longer side")
            return ssim(brightness(np.asarray(image.convert("RGB"))), self.of(image.size))


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


Contender = tuple[str, str]  # name, and the suffix of its renditions


def judge(pictures: Sequence[Path], folders: dict[Contender, Path]) -> dict[Contender, Scores]:
    """The scores of the renditions that lie in `<folder>/<picture's stem>/<rendition>.<suffix>`."""
    found = {contender: Scores() for contender in folders}
    for picture in pictures:
        reference = Reference(picture)
        for contender, folder in folders.items():
            for rendition, side in SIDES.items():
                value = reference.score(folder / picture.stem / f"{rendition}.{contender[1]}", side)
                found[contender].values[picture.stem, rendition] = value
    return found
