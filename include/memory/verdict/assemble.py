"""Samples and answers of one incarnation, as they are kept, put together into the series that is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from include.memory.errors import MemoryAuditError
from include.memory.verdict.cache_bound import Bound
from include.memory.verdict.series import Floats, Looks, Series
from include.memory.watcher.sample import FORKS, Sample


def series_of(
    samples: Sequence[Sample],
    answers: Sequence[Mapping[str, Any]] = (),
    *,
    load: Sequence[float] | None = None,
    limit_bytes: float | None = None,
) -> Series:
    """The series of one incarnation. `answers` are the agent's, `load` the work per hour since the sample before.

    Raises MemoryAuditError when there is no sample, or when they are of different incarnations.
    """
    if len({sample.incarnation for sample in samples}) != 1:
        raise MemoryAuditError("a series holds the samples of exactly one incarnation of a process")
    ordered = sorted(samples, key=lambda sample: sample.taken_at)
    born = ordered[0].taken_at - ordered[0].age_seconds
    return Series(
        hours=_floats([sample.taken_at - born for sample in ordered]) / 3600,
        used_bytes=_used(ordered),
        resident_bytes=_floats([sample.resident_bytes for sample in ordered]),
        load=None if load is None else _floats(load),
        looks=_looks(answers, born),
        limit_bytes=limit_bytes,
        bound=bound_in(answers),
    )


def _used(samples: Sequence[Sample]) -> Floats:
    """Unique and swapped bytes; anonymous ones where the process forks, as its pages are shared while a child lives."""
    unique = _floats([sample.used_bytes for sample in samples])
    anonymous = _floats([sample.anonymous_bytes + sample.swap_bytes for sample in samples])
    share = unique / np.maximum(anonymous, 1.0)
    return anonymous if share.min() < FORKS * share.max() else unique


def bound_in(answers: Sequence[Mapping[str, Any]]) -> Bound | None:
    """The bound of the cache that holds most of the growth, by the last profile; None where that has no bound."""
    profiles = [answer for answer in answers if answer.get("holders")]
    if not profiles:
        return None
    bound = profiles[-1]["holders"][0]["bound"]
    return Bound(**bound) if bound else None


def _looks(answers: Sequence[Mapping[str, Any]], born: float) -> Looks:
    counts = sorted((answer["counters"] for answer in answers), key=lambda count: float(count["taken_at"]))
    return Looks(
        hours=_floats([count["taken_at"] - born for count in counts]) / 3600,
        blocks=_floats([count["blocks"] for count in counts]),
        objects=_floats([np.nan if count["objects"] is None else count["objects"] for count in counts]),
        heap_bytes=_floats([count["heap_bytes"] or 0 for count in counts]),
        free_bytes=_floats([count["free_bytes"] or 0 for count in counts]),
        collected=np.array([count["collected"] for count in counts], dtype=bool),
    )


def _floats(values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float64)
