"""ICC profiles of colour spaces that a file names by numbers: gAMA and cHRM of PNG, cICP of PNG, nclx of AVIF.

Code points are those of ISO/IEC 23091-2 (ITU-T H.273), the curves those of its table 3. Which of them are honoured
is as in Chromium.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]
Chromaticities = tuple[float, ...]  # x and y of white, red, green and blue

_D65 = (0.3127, 0.3290)
SRGB: Chromaticities = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}  # fmt: skip
_D50 = np.array([63190, 65536, 54061]) / 65536  # the white of profiles, to the bit
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_STEPS = np.linspace(0, 1, 4096)
_SRGB_GAMMA = 0.45455  # how files say that they are sRGB, though it has no gamma


def by_gamma(gamma: float | None, chromaticities: Chromaticities | None) -> bytes | None:
    """The profile of gAMA (0.45455 for 2.2) and cHRM; None for sRGB, nonsense, and cHRM alone, as in browsers."""
    if gamma is None or not 0.05 < gamma < 20:
        return None
    if abs(gamma - _SRGB_GAMMA) < 0.0006 and _is_srgb(chromaticities):
        return None
    return _profile(chromaticities or SRGB, _STEPS ** (1 / gamma))


def by_code_points(primaries: int, transfer: int) -> bytes | None:
    """The profile of those code points; None for sRGB, and for what browsers take for it."""
    if primaries not in PRIMARIES or transfer not in _TRANSFERS or (primaries, transfer) == (1, _SRGB_TRANSFER):
        return None
    return _profile(PRIMARIES[primaries], _TRANSFERS[transfer](_STEPS))


def _is_srgb(chromaticities: Chromaticities | None) -> bool:
    return chromaticities is None or bool(max(map(abs, np.subtract(chromaticities, SRGB))) < 0.002)


def srgb_to_linear(values: Real) -> Real:
    """The curve of IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


_SRGB_TRANSFER = 13
_TRANSFERS: dict[int, Callable[[Real], Real]] = {
    # What cameras of video write is shown with the curve of a screen (ITU-R BT.1886).
    **dict.fromkeys((1, 6, 14, 15), lambda values: values**2.4),
    4: lambda values: values**2.2, 5: lambda values: values**2.8, 8: lambda values: values,
    _SRGB_TRANSFER: srgb_to_linear,
}  # fmt: skip


def _profile(chromaticities: Chromaticities, curve: Real) -> bytes | None:
    """A profile of three primaries and one curve."""
    try:
        columns = adapted(chromaticities)
    except (np.linalg.LinAlgError, ZeroDivisionError, FloatingPointError):
        return None
    if not np.isfinite(columns).all() or np.abs(columns).max() > 4:
        return None
    table = np.round(curve * 65535).astype(">u2").tobytes()
    curve_tag = struct.pack(">4s4xI", b"curv", len(curve)) + table
    text = struct.pack(">4s4x", b"text") + b"none\0\0\0\0"
    tags = {b"cprt": text, b"wtpt": _xyz(_D50), b"rTRC": curve_tag, b"gTRC": curve_tag, b"bTRC": curve_tag,
            b"rXYZ": _xyz(columns[:, 0]), b"gXYZ": _xyz(columns[:, 1]), b"bXYZ": _xyz(columns[:, 2])}  # fmt: skip
    index, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}  # the three curves are one
    for name, content in tags.items():
        if content not in places:
            places[content] = at + len(body)
            body += content + bytes(-len(content) % 4)
        index += struct.pack(">4sII", name, places[content], len(content))
    size = at + len(body)
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x12s48x", size, 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp", _xyz(_D50)[8:]
    )
    return header + struct.pack(">I", len(tags)) + index + body


def _xyz(values: Real) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(float(value) * 65536) for value in values))


def adapted(chromaticities: Chromaticities) -> Real:
    """What the primaries are in CIE XYZ, with their white adapted to that of profiles by Bradford's matrix."""
    white, *colours = (
        np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)
    )
    columns = np.stack(colours, axis=1)
    columns = columns * np.linalg.solve(columns, white)
    adapt = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.asarray(np.linalg.inv(_BRADFORD) @ adapt @ _BRADFORD @ columns)
