"""Sets of numbers or hashes as ascending arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def distinct(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The values of all parts (one at least, of one kind), ascending and each once.

    Not np.unique: since numpy 2.3 it hashes, which takes a hundred times as long from a million values on.
    """
    values = np.concatenate(parts)
    values.sort()
    kept = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=kept[1:])
    return values if kept.all() else values[kept]


def is_among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Mask of the values that occur in `ordered`, which is ascending."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    found: np.ndarray = ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values
    return found
