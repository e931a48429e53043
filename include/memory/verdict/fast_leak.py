"""A leak that leaves no time: the limit would be reached within hours, so minutes must do.

Memory has risen in a straight line for twelve minutes or more and does not slow down, it would reach the limit (or
double, where none is known) within three hours, and the counters inside account for the rise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from include.memory.verdict.growth_kinds import accounted
from include.memory.verdict.series import Floats, Looks, Series
from include.memory.verdict.suspicion import material

WINDOWS_HOURS = (0.2, 0.35, 0.5, 0.75)
LEAST_POINTS = 5
STRAIGHT = 0.9  # R²
NOT_SLOWING = 0.6  # slope of the second half in slopes of the first
HOURS_LEFT = 3.0
FROM_HOURS = 0.5
APART_HOURS = 0.12
ACCOUNTED = 0.4  # of the rise of memory, by the counters


@dataclass(frozen=True)
class FastRise:
    """A straight rise of memory in bytes an hour; `proved` when the counters inside account for it."""

    rate: float
    error: float
    hours_left: float
    since_hours: float
    proved: bool


def fast_rise(series: Series) -> FastRise | None:
    """The steepest straight rise that ends now and leaves less than three hours; a proved one comes first."""
    if series.now < FROM_HOURS:
        return None
    found = [rise for window in WINDOWS_HOURS if (rise := _straight(series, window))]
    return max(found, key=lambda rise: (rise.proved, rise.rate), default=None)


def _straight(series: Series, window: float) -> FastRise | None:
    inside = int(np.searchsorted(series.hours, series.now - window - 1e-9))
    hours, used = series.hours[inside:], series.used_bytes[inside:]
    if len(hours) < LEAST_POINTS or hours[-1] - hours[0] < 0.9 * WINDOWS_HOURS[0]:
        return None
    rate, straight, error = _line(hours, used)
    if rate <= 0 or straight < STRAIGHT or rate * (hours[-1] - hours[0]) < 2 * material(float(used[0])):
        return None
    half = len(hours) // 2
    if _line(hours[half:], used[half:])[0] < NOT_SLOWING * _line(hours[: half + 1], used[: half + 1])[0]:
        return None
    limit = series.limit_bytes or 2 * float(used[0])
    left = max(limit - float(used[-1]), 0.0) / rate
    if left > HOURS_LEFT:
        return None
    proved = _proved(series, float(hours[0]), rate)
    return FastRise(rate, error, left, float(hours[0]), proved)


def _line(x: Floats, y: Floats) -> tuple[float, float, float]:
    """Slope, R² and the slope's standard error."""
    centred, above = x - x.mean(), y - y.mean()
    power, height = float(centred @ centred), float(above @ above)
    if power <= 0 or height <= 0:
        return 0.0, 0.0, 0.0
    rate = float(centred @ above) / power
    left_over = max(height - rate**2 * power, 0.0)
    return rate, 1 - left_over / height, float(np.sqrt(left_over / max(len(x) - 2, 1) / power))


def earlier_look(looks: Looks) -> int | None:
    """The look that the last one is compared with: the latest that is some minutes older."""
    place = int(np.searchsorted(looks.hours, looks.hours[-1] - APART_HOURS, side="right")) - 1 if len(looks) else -1
    return place if place >= 0 else None


def _proved(series: Series, since: float, rate: float) -> bool:
    """Whether the last look is higher than an earlier one by what memory rose in between, as far as it was rising."""
    looks = series.looks
    place = earlier_look(looks)
    if place is None or looks.hours[place] < since - 0.1:
        return False
    before, after = float(looks.hours[place]), float(looks.hours[-1])
    grown = rate * (after - max(before, since))
    return grown > 0 and accounted(looks, place, len(looks) - 1).live >= ACCOUNTED * grown
