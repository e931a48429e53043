"""Structural similarity of two pictures, as Wang and others defined it in 2004 (doi:10.1109/TIP.2003.819861).

Gaussian window of deviation 1.5 and 11 pixels, K1 = 0.01, K2 = 0.03, of the brightness (BT.601); the mean over all
places where the whole window fits.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

RADIUS, DEVIATION = 5, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
WEIGHTS = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * DEVIATION**2))
WEIGHTS /= WEIGHTS.sum()


def brightness(pixels: np.ndarray) -> np.ndarray:
    """(height, width, 3) of 0 to 255 to (height, width)."""
    found: np.ndarray = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return found


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """1 for the same; both (height, width) of 0 to 255, and larger than the window."""
    mean_one, mean_other = _smooth(one), _smooth(other)
    variance_one = _smooth(one * one) - mean_one**2
    variance_other = _smooth(other * other) - mean_other**2
    both = _smooth(one * other) - mean_one * mean_other
    likeness = (2 * mean_one * mean_other + C1) * (2 * both + C2)
    likeness /= (mean_one**2 + mean_other**2 + C1) * (variance_one + variance_other + C2)
    return float(likeness.mean())


def _smooth(values: np.ndarray) -> np.ndarray:
    """The window's mean wherever the whole window fits."""
    down = sliding_window_view(values, len(WEIGHTS), axis=0) @ WEIGHTS
    found: np.ndarray = sliding_window_view(down, len(WEIGHTS), axis=1) @ WEIGHTS
    return found
