"""Trends of a series that has saw-teeth, bursts and memory of its own: the floor, and a slope with an honest
interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from include.memory.verdict.series import Floats

LEAST_POINTS = 6
HIGHEST_CORRELATION = 0.9


@dataclass(frozen=True)
class Slope:
    """Theil-Sen slope per unit of x with its 95 % interval, widened for the autocorrelation of what is left over."""

    rate: float
    low: float
    high: float


def floor(hours: Floats, values: Floats, width_hours: float) -> tuple[Floats, Floats]:
    """The lowest value of each stretch of that width, and the middle of the stretch. Empty stretches are left out."""
    bins = np.floor((hours - hours[0]) / width_hours + 1e-9)
    starts = np.flatnonzero(np.diff(bins, prepend=-1.0))
    return hours[0] + (bins[starts] + 0.5) * width_hours, np.minimum.reduceat(values, starts)


def slope(x: Floats, y: Floats) -> Slope:
    """The slope of y over x. Needs two points, and means something from LEAST_POINTS on."""
    found = stats.theilslopes(y, x, alpha=0.95)
    rate, low, high = float(found.slope), float(found.low_slope), float(found.high_slope)
    wider = float(np.sqrt(len(y) / effective(y - rate * x)))
    return Slope(rate, rate - (rate - low) * wider, rate + (high - rate) * wider)


def effective(residuals: Floats) -> float:
    """How many independent points a run of residuals is worth, by their correlation from one to the next."""
    centred = residuals - residuals.mean()
    power = float(centred @ centred)
    if power <= 0 or len(residuals) < 3:
        return float(len(residuals))
    correlation = min(max(float(centred[:-1] @ centred[1:]) / power, 0.0), HIGHEST_CORRELATION)
    return len(residuals) * (1 - correlation) / (1 + correlation)


def rise(values: Floats) -> float:
    """How much higher the last third lies than the first, by their medians."""
    third = max(1, len(values) // 3)
    return float(np.median(values[-third:]) - np.median(values[:third]))
