"""The frames of an animation as a browser shows them, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from include.images.engine.colour import to_eight_bits

KEEP, CLEAR, RESTORE = range(3)  # what becomes of a frame before the next one is drawn
NO_DURATION_MS = 100  # of a frame that says 0, as in browsers

Frame = tuple[Image.Image, int]  # RGBA, and the milliseconds that it stays


class Frames(Protocol):
    """An animation."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""

    @property
    def plays(self) -> int:
        """How often it plays; 0: for ever."""

    @property
    def count(self) -> int:
        """Frames that the file announces and has."""

    @property
    def pixels(self) -> int:
        """Of all frames that are decoded."""

    def __iter__(self) -> Iterator[Frame]:
        """Whole frames. Raises the decoder's errors at one that can't be read."""


@dataclass(frozen=True)
class Piece:
    """A frame as it is stored: a picture of its own, and how it is laid on the canvas."""

    make: Callable[[], Image.Image]  # opens it
    left: int
    top: int
    width: int
    height: int
    duration_ms: int
    disposal: int
    over: bool  # laid over what is there, or put in its place


@dataclass(frozen=True)
class Pieces:
    """Frames that are laid on a canvas, which begins transparent and is cleared to transparent."""

    size: tuple[int, int]
    pieces: tuple[Piece, ...]
    plays: int

    @property
    def count(self) -> int:
        """How many."""
        return len(self.pieces)

    @property
    def pixels(self) -> int:
        """Of all frames: a frame may be larger than the canvas."""
        canvas = self.size[0] * self.size[1]
        return sum(max(canvas, piece.width * piece.height) for piece in self.pieces)

    def __iter__(self) -> Iterator[Frame]:
        """Each frame with all that is left of those before."""
        canvas = Image.new("RGBA", self.size)
        for piece in self.pieces:
            before = canvas.copy() if piece.disposal == RESTORE else None
            box = _draw(canvas, piece)
            yield canvas.copy(), piece.duration_ms or NO_DURATION_MS
            if before is not None:
                canvas = before
            elif piece.disposal == CLEAR and box is not None:
                canvas.paste((0, 0, 0, 0), box)


def _draw(canvas: Image.Image, piece: Piece) -> tuple[int, int, int, int] | None:
    """Lay a piece on the canvas; returns which part of it that was."""
    with piece.make() as opened:
        drawn = to_eight_bits(opened).convert("RGBA")
    right, lower = min(canvas.width, piece.left + drawn.width), min(canvas.height, piece.top + drawn.height)
    if right <= piece.left or lower <= piece.top:
        return None
    box = (piece.left, piece.top, right, lower)
    drawn = drawn.crop((0, 0, right - piece.left, lower - piece.top))
    if piece.over:
        canvas.alpha_composite(drawn, box[:2])
    else:
        canvas.paste(drawn, box)
    return box


@dataclass(frozen=True)
class Seeking:
    """Frames that Pillow's decoder composes."""

    image: Image.Image
    count: int
    plays: int
    crop: tuple[int, int, int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.image.size if self.crop is None else (self.crop[2] - self.crop[0], self.crop[3] - self.crop[1])

    @property
    def pixels(self) -> int:
        """Of all frames."""
        return self.count * self.image.width * self.image.height

    def __iter__(self) -> Iterator[Frame]:
        """One after the other."""
        for number in range(self.count):
            self.image.seek(number)
            self.image.load()
            frame = self.image.convert("RGBA")
            duration = round(self.image.info.get("duration", 0)) or NO_DURATION_MS
            yield frame if self.crop is None else frame.crop(self.crop), duration
