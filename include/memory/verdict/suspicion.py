"""The first tier: does memory, or a counter, rise at all? It picks suspects and never condemns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from include.memory.verdict.series import Floats
from include.memory.verdict.trend import LEAST_POINTS, Slope, floor, rise, slope

WINDOWS_HOURS = (2.5, 6.0, 12.0, 24.0, 48.0)
STRETCHES = 15  # a window is looked at through so many floors
SETTLING_HOURS = 0.5  # what a process does first is no trend
MATERIAL_SHARE = 0.008
MATERIAL_BYTES = 2e6
SURE_SHARE = 0.3  # of the material growth that even the low end of the interval must reach


@dataclass(frozen=True)
class Rise:
    """A series that rises: over which window, how steeply, and by how much in all."""

    window_hours: float
    slope: Slope
    amount: float


def rising(hours: Floats, values: Floats, least: float) -> Rise | None:
    """The shortest window in which the floor rises by a material amount, and surely so. `least` in units of values."""
    hours, values = hours[hours >= SETTLING_HOURS], values[hours >= SETTLING_HOURS]
    if len(hours) < LEAST_POINTS:
        return None
    span = float(hours[-1] - hours[0])
    for window in WINDOWS_HOURS:
        if window > max(span * 1.2, 1.5):
            break
        inside = int(np.searchsorted(hours, hours[-1] - window))
        found = _within(hours[inside:], values[inside:], min(window, span), least)
        if found:
            return found
    return None


def material(level_bytes: float) -> float:
    """Bytes of growth that matter to a process of that size."""
    return max(MATERIAL_BYTES, MATERIAL_SHARE * level_bytes)


def _within(hours: Floats, values: Floats, window: float, least: float) -> Rise | None:
    if len(hours) < LEAST_POINTS:
        return None
    x, y = floor(hours, values, window / STRETCHES)
    if len(x) < LEAST_POINTS or rise(y) < 0.6 * least:
        return None
    found = slope(x, y)
    amount = found.rate * window
    return Rise(window, found, amount) if amount >= least and found.low * window >= SURE_SHARE * least else None
