"""The figures that Millrace has to reach, with their bounds: pure functions over what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Figure:
    """One line of the last line. `value` is None when it could not be measured, which misses its `must`."""

    figure: str
    value: float | None
    must: float
    aim: float
    better: Literal["lower", "higher"] = "lower"

    @property
    def reached(self) -> bool:
        """Whether the value is within `must`."""
        return self._within(self.must)

    @property
    def aimed(self) -> bool:
        """Whether the value is within `aim`."""
        return self._within(self.aim)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def _within(self, bound: float) -> bool:
        if self.value is None:
            return False
        return self.value <= bound if self.better == "lower" else self.value >= bound


@dataclass(frozen=True)
class Measured:
    """Seconds of each kind of run (one entry a repetition), and what else the figures need."""

    size: str
    small: str
    seconds: Mapping[str, Sequence[float]]
    megabytes: float
    small_megabytes: float
    peak_bytes: int
    airflow_seconds: Sequence[float]


def figures(found: Measured) -> list[Figure]:
    """The table of the issue."""
    size, small = found.size, found.small
    first, small_first = _median(found, "first"), _median(found, "small first")
    expert_second = [value for name in ("second naive", "second guarded") if (value := _median(found, name))]
    return [
        Figure(f"whole DAG run / expert's psql upsert, {size}", _ratio(first, _median(found, "expert")), 0.6, 0.4),
        Figure(f"whole DAG run / \\copy into the table, {size}", _ratio(first, _median(found, "copy")), 1.1, 0.8),
        Figure(
            f"whole DAG run / the ticket's script, {small}", _ratio(small_first, _median(found, "ticket")), 0.1, 0.05
        ),
        Figure(f"re-ingest, forced, 0 changed / first load, {size}", _ratio(_median(found, "again"), first), 0.9, 0.6),
        Figure(
            f"second file, 10 % changed, 1 % new / expert's psql, {size}",
            _ratio(_median(found, "second"), min(expert_second, default=None)), 0.9, 0.6,
        ),
        Figure(f"peak memory of all task processes, GB, {size}", round(found.peak_bytes / 1e9, 3), 1.5, 0.8),
        Figure(f"Airflow's share, s, {size}", round(median(found.airflow_seconds), 1), 20.0, 10.0),
        Figure(
            f"MB/s at {size} / MB/s at {small}",
            _ratio(_speed(found.megabytes, first), _speed(found.small_megabytes, small_first)), 0.9, 0.95, "higher",
        ),
    ]  # fmt: skip


def _median(found: Measured, name: str) -> float | None:
    values = found.seconds.get(name)
    return median(values) if values else None


def _speed(megabytes: float, seconds: float | None) -> float | None:
    return megabytes / seconds if seconds else None


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return round(ours / theirs, 3) if ours is not None and theirs else None
