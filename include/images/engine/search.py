"""Searches the quality at which a file is what a recipe asks for, by halves: at most seven files are tried.

Both functions take `encode`, which gives the file of a quality from 1 to `highest`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

Encode = Callable[[int], bytes]


class Try(NamedTuple):
    """A file that was tried."""

    level: int
    data: bytes
    alike: float = 0.0


def resemble(
    encode: Encode, highest: int, target: float, likeness: Callable[[bytes], float]
) -> tuple[bytes, int, bool]:
    """The smallest file found whose likeness is at least the target, its quality, and whether there is one.

    Where there is none, the file is that of the greatest likeness found.
    """
    low, high, tried = 1, highest, list[Try]()
    while low <= high:
        level = (low + high) // 2
        data = encode(level)
        tried.append(Try(level, data, likeness(data)))
        if tried[-1].alike >= target:
            high = level - 1
        else:
            low = level + 1
    enough = [one for one in tried if one.alike >= target]
    best = min(enough, key=lambda one: len(one.data)) if enough else max(tried, key=lambda one: one.alike)
    return best.data, best.level, bool(enough)


def fit(encode: Encode, highest: int, most: int) -> tuple[bytes, bool]:
    """The file of the highest quality found that has at most so many bytes, and whether there is one.

    Where there is none, the file is the smallest found.
    """
    low, high, tried = 1, highest, list[Try]()
    while low <= high:
        level = (low + high) // 2
        tried.append(Try(level, encode(level)))
        if len(tried[-1].data) <= most:
            low = level + 1
        else:
            high = level - 1
    fitting = [one for one in tried if len(one.data) <= most]
    best = max(fitting, key=lambda one: one.level) if fitting else min(tried, key=lambda one: len(one.data))
    return best.data, bool(fitting)
