"""How much two pictures differ: CIEDE2000 (CIE 142-2001, in the form of Sharma, Wu and Dalal, 2005) and SSIM."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Real = npt.NDArray[np.float64]
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(colours: npt.NDArray[np.generic]) -> Real:
    """CIELAB of sRGB from 0 to 255."""
    coded = colours.astype(float) / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    x, y, z = np.moveaxis(_root(linear @ _TO_XYZ.T / _WHITE), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _root(values: Real) -> Real:
    return np.where(values > (6 / 29) ** 3, np.cbrt(values), values / (3 * (6 / 29) ** 2) + 4 / 29)


def ciede2000(one: Real, other: Real) -> Real:
    """The difference of each pair of CIELAB colours."""
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(one, -1, 0), np.moveaxis(other, -1, 0)
    mean = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1 + (1 - np.sqrt(mean / (mean + 25.0**7))) / 2
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, stretch * a1)) % 360, np.degrees(np.arctan2(b2, stretch * a2)) % 360
    turn = np.where(c1 * c2 == 0, 0, (h2 - h1 + 180) % 360 - 180)
    hue = np.where(c1 * c2 == 0, h1 + h2, (h1 + turn / 2) % 360)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    cosine = [np.cos(np.radians(n * hue + offset)) for n, offset in ((1, -30), (2, 0), (3, 6), (4, -63))]
    t = 1 - 0.17 * cosine[0] + 0.24 * cosine[1] + 0.32 * cosine[2] - 0.20 * cosine[3]
    s_l = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    rotation = (
        -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    )
    d_l, d_c, d_h = (l2 - l1) / s_l, (c2 - c1) / s_c, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / s_h
    return np.asarray(np.sqrt(np.maximum(0, d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h)))


def ssim(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> float:
    """Structural similarity of brightness (Wang and others, 2004: a Gaussian window of deviation 1.5)."""
    x, y = (picture.astype(float) @ np.array([0.299, 0.587, 0.114]) for picture in (one, other))
    mean_x, mean_y = gaussian_filter(x, 1.5), gaussian_filter(y, 1.5)
    var_x, var_y = gaussian_filter(x * x, 1.5) - mean_x**2, gaussian_filter(y * y, 1.5) - mean_y**2
    both = gaussian_filter(x * y, 1.5) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = (2 * mean_x * mean_y + c1) * (2 * both + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return float(found.mean())


def on_grounds(pixels: npt.NDArray[np.uint8]) -> list[Real]:
    """RGBA as it looks on white and on black."""
    alpha = pixels[..., 3:] / 255
    return [pixels[..., :3] * alpha + ground * (1 - alpha) for ground in (255, 0)]


def differ(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Mean CIEDE2000 and SSIM of two RGBA pictures of one size, on the ground where they differ more."""
    pairs = list(zip(on_grounds(one), on_grounds(other), strict=True))
    colour = max(float(ciede2000(lab(a), lab(b)).mean()) for a, b in pairs)
    return colour, min(ssim(a, b) for a, b in pairs)
