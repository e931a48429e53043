"""How alike two pictures look: SSIM as Wang, Bovik, Sheikh and Simoncelli defined it (IEEE TIP 13, 2004).

On brightness (BT.601), with a Gaussian window of 11 x 11 pixels and a sigma of 1.5, K1 = 0.01 and K2 = 0.03; the mean
over all places where the window fits. Nothing is scaled down beforehand.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
ROWS = 128  # at a time: what is computed in between takes eight times the memory of the pixels
_AT = np.arange(WINDOW) - WINDOW // 2
_TAPS = np.exp(-(_AT**2) / (2 * SIGMA**2))
TAPS = (_TAPS / _TAPS.sum()).astype(np.float32)

Plane = npt.NDArray[np.float32]


def ssim(one: Image.Image, other: Image.Image) -> float:
    """1 for the same picture, less the less alike two of one size are. Takes what converts to L."""
    x, y = _brightness(one), _brightness(other)
    total, places = 0.0, 0
    for top in range(0, len(x) - WINDOW + 1, ROWS):
        found = _map(x[top : top + ROWS + WINDOW - 1], y[top : top + ROWS + WINDOW - 1])
        total, places = total + float(found.sum(dtype=np.float64)), places + found.size
    return total / places


def _brightness(image: Image.Image) -> Plane:
    """As a plane that the window fits in: a narrow picture is mirrored at its edges."""
    plane = np.asarray(image.convert("L"), np.float32)
    missing = [(0, max(0, WINDOW - side)) for side in plane.shape]
    return np.pad(plane, missing, mode="symmetric") if any(more for _, more in missing) else plane


def _map(x: Plane, y: Plane) -> Plane:
    """The index at each place of the window."""
    mean_x, mean_y = _smooth(x), _smooth(y)
    xx, yy, xy = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    variances = _smooth(x * x) + _smooth(y * y) - xx - yy
    covariance = _smooth(x * y) - xy
    return np.asarray((2 * xy + C1) * (2 * covariance + C2) / ((xx + yy + C1) * (variances + C2)), np.float32)


def _smooth(plane: Plane) -> Plane:
    high, wide = plane.shape[0] - WINDOW + 1, plane.shape[1] - WINDOW + 1
    rows = sum(tap * plane[at : at + high] for at, tap in enumerate(TAPS))
    return np.asarray(sum(tap * rows[:, at : at + wide] for at, tap in enumerate(TAPS)), np.float32)
