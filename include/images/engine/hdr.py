"""High dynamic range brought to sRGB: PQ (SMPTE ST 2084) and HLG (ARIB STD-B67), of PNG's cICP and AVIF's nclx.

The tone mapping is the one for a plain screen of SMPTE ST 2094-50 (reference white 203 nits, peak 1,000), as in
Chromium: a pixel is darkened by its strongest colour, to half at white and below, and to ever less above it, so that
the peak is white.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from include.images.engine.profiles import PRIMARIES, SRGB, Chromaticities, Real, adapted

PQ, HLG = 16, 18
_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0
_KAPPA = 0.65  # how far the curve between white and peak bends


def to_sdr(image: Image.Image, primaries: int, transfer: int) -> Image.Image:
    """An RGB picture of those code points, in sRGB."""
    own = PRIMARIES.get(primaries, SRGB)
    linear = _linear(np.asarray(image), transfer)
    linear *= _gain((linear @ _between(own, PRIMARIES[9])).max(axis=2))[..., None]
    light = np.clip(linear @ _between(own, SRGB), 0, 1)
    coded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.round(coded * 255).astype(np.uint8))


def _between(one: Chromaticities, other: Chromaticities) -> npt.NDArray[np.float32]:
    """The matrix, for rows of colours, from one set of primaries to another."""
    return np.linalg.solve(adapted(other), adapted(one)).T.astype(np.float32)


def _linear(pixels: npt.NDArray[np.uint8], transfer: int) -> npt.NDArray[np.float32]:
    """Light, where 1 is reference white."""
    codes = np.arange(256) / 255
    if transfer == PQ:
        return (_pq(codes) / _WHITE_NITS).astype(np.float32)[pixels]
    scene = _hlg(codes).astype(np.float32)[pixels]
    bright = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
    shown = scene * (np.maximum(bright, 1e-6) ** 0.2)[..., None]
    return np.asarray(shown * np.float32(_PEAK_NITS / _WHITE_NITS))


def _pq(codes: Real) -> Real:
    """Nits."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = codes ** (1 / m2)
    return 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def _hlg(codes: Real) -> Real:
    """Light of the scene, where 1 is the most."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)


def _gain(most: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """By what a pixel is multiplied whose strongest colour is `most`."""
    peak, white = _PEAK_NITS / _WHITE_NITS, 0.5
    middle = (1 - _KAPPA + _KAPPA / white, white + _KAPPA * (1 - white))
    t = np.linspace(0, 1, 256)
    x, y = ((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
            for start, bend, end in ((1, middle[0], peak), (white, middle[1], 1)))  # fmt: skip
    return np.where(most <= 1, white, np.interp(most, x, y) / np.maximum(most, 1)).astype(np.float32)
