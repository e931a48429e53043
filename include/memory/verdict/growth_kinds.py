"""What kind of memory has grown, by the counters at two looks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from include.memory.verdict.series import Floats, Kind, Looks, Series

BYTES_A_BLOCK = 90.0  # usual for a block of Python's allocator, with its share of the pool
SHARE = 0.3  # of the growth of memory that a part must make to give it its name


@dataclass(frozen=True)
class Accounted:
    """Bytes by which each part has grown, by what the counters say. `free` is held back by malloc."""

    python: float
    native: float
    free: float
    objects: float

    @property
    def live(self) -> float:
        """What is in use."""
        return max(self.python, 0.0) + max(self.native, 0.0)


def accounted(looks: Looks, begin: int, end: int) -> Accounted:
    """How the counters changed from one look to another."""

    def change(values: Floats) -> float:
        return float(values[end] - values[begin])

    return Accounted(
        change(looks.blocks) * BYTES_A_BLOCK,
        change(looks.heap_bytes),
        change(looks.free_bytes),
        change(looks.objects),
    )


def kind_of(series: Series, since_hours: float) -> Kind:
    """What has grown since that age, if it is not the live objects: see `judge.py` for those."""
    looks = series.looks
    if len(looks) < 2:
        return "unknown"
    begin = min(int(np.searchsorted(looks.hours, since_hours)), len(looks) - 2)
    parts = accounted(_smooth(looks), begin, len(looks) - 1)
    used = _change(series.hours, series.used_bytes, since_hours)
    if used <= 0:
        return "none"
    if parts.python >= SHARE * used and parts.python >= parts.native:
        return "Python objects"
    if parts.native >= SHARE * used:
        return "native memory"
    resident = None if series.resident_bytes is None else _change(series.hours, series.resident_bytes, since_hours)
    if parts.free < SHARE * used and resident is not None and resident < 0.5 * used:
        return "imports or copy-on-write"
    return "fragmentation"


def _change(hours: Floats, values: Floats, since_hours: float) -> float:
    begin = min(int(np.searchsorted(hours, since_hours)), len(values) - 1)
    few = max(1, (len(values) - begin) // 5)
    return float(np.median(values[-few:]) - np.median(values[begin : begin + few]))


def _smooth(looks: Looks) -> Looks:
    """Each counter's median over three looks, so that one task in flight names no kind."""

    def three(values: Floats) -> Floats:
        padded = np.pad(values, 1, mode="edge")
        return np.asarray(np.median(np.stack([padded[:-2], values, padded[2:]]), axis=0))

    return replace(
        looks,
        blocks=three(looks.blocks),
        objects=three(looks.objects),
        heap_bytes=three(looks.heap_bytes),
        free_bytes=three(looks.free_bytes),
    )
