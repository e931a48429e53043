"""Looks gathered into points for `saturation.py`: fine for the last hours, coarse before, raw looks of less weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.memory.verdict.saturation import Points
from include.memory.verdict.series import Floats, Series

FINE_HOURS, FINE_WIDTH_HOURS = 12.0, 1 / 3
COARSE_HOURS, COARSE_WIDTH_HOURS = 96.0, 2.0
LEAST_POINTS = 8
RAW_WEIGHTS = 0.02, 1.0


def points_of(series: Series, hours: Floats, values: Floats, collected: NDArray[np.bool_]) -> Points | None:
    """A counter at the looks of the last four days as points; None when they are too few to be explained."""
    recent = hours > hours[-1] - COARSE_HOURS if len(hours) else np.empty(0, dtype=bool)
    hours, values, collected = hours[recent], _without_spikes(values[recent]), collected[recent]
    if len(hours) < LEAST_POINTS:
        return None
    starts, edges = _stretches(hours)
    lengths = np.diff(np.append(starts, len(hours)))
    counted = np.add.reduceat(collected.astype(float), starts)
    kept = collected | ~np.repeat(counted > 0, lengths)
    amount = np.add.reduceat(kept.astype(float), starts)
    at = np.add.reduceat(np.where(kept, hours, 0.0), starts) / amount
    mean = np.add.reduceat(np.where(kept, values, 0.0), starts) / amount
    if len(at) < LEAST_POINTS:
        return None
    raw = (counted == 0).astype(float)
    load = None if series.load is None else _load(series.hours, series.load, edges)
    return Points(at, mean, np.where(raw > 0, _weight_of_raw(values, collected), 1.0), raw, load)


def _without_spikes(values: Floats) -> Floats:
    """The median of each value and its neighbours: one task in flight at the moment of a look leaves no trace."""
    if len(values) < 3:
        return values
    smooth = values.copy()
    smooth[1:-1] = np.median(np.stack([values[:-2], values[1:-1], values[2:]]), axis=0)
    return smooth


def _stretches(hours: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Where each stretch starts among the looks, and its two borders in hours, shape (stretches, 2)."""
    back = hours[-1] - hours
    fine_count = round(FINE_HOURS / FINE_WIDTH_HOURS)
    coarse = fine_count + np.floor((back - FINE_HOURS) / COARSE_WIDTH_HOURS)
    number = np.where(back < FINE_HOURS, np.floor(back / FINE_WIDTH_HOURS + 1e-9), coarse)
    starts = np.flatnonzero(np.diff(number, prepend=-1.0))
    first = number[starts]
    far = FINE_HOURS + (first - fine_count + 1) * COARSE_WIDTH_HOURS
    near = first < fine_count
    begin = hours[-1] - np.where(near, (first + 1) * FINE_WIDTH_HOURS, far)
    width = np.where(near, FINE_WIDTH_HOURS, COARSE_WIDTH_HOURS)
    return starts, np.stack([begin, begin + width], axis=1)


def _load(hours: Floats, load: Floats, edges: Floats) -> Floats:
    """Work per hour within each stretch."""
    done = np.cumsum(np.diff(hours, prepend=hours[0]) * load)
    begin, end = np.clip(edges, hours[0], hours[-1]).T
    width = np.maximum(end - begin, 1e-9)
    within = (np.interp(end, hours, done) - np.interp(begin, hours, done)) / width
    return np.asarray(np.where(end - begin > 1e-6, within, np.interp(end, hours, load)))


def _weight_of_raw(values: Floats, collected: NDArray[np.bool_]) -> float:
    """How much a look without a collection is worth beside one with: garbage makes it scatter."""
    pairs = collected[1:] & collected[:-1]
    steps = np.diff(values)
    of_raw = steps[~collected[1:] & ~collected[:-1]]
    of_collected = steps[pairs]
    if len(of_raw) < 5 or len(of_collected) < 5:
        return 0.25
    ratio = (float(np.median(np.abs(of_collected))) + 1e-9) / (float(np.median(np.abs(of_raw))) + 1e-9)
    return float(np.clip(ratio**2, *RAW_WEIGHTS))
