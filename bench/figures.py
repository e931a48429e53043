"""What a benchmark measures: runs of contenders, which take turns, and figures made of them, with their bounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, Literal

Row = dict[str, float | str | None]
Say = Callable[[str], None]
READING = (
    "A figure outside `must` fails the benchmark; `aim` is what is strived for. Ratios have no unit. `not measured` "
    "counts as a miss; `needs full size` says that a quick run is too small to tell, and does not."
)


@dataclass(frozen=True)
class Figure:
    """One value and its bounds; None could not be measured, which misses `must`.

    `full_size` figures mean nothing at the size of a quick run: `sized` makes them `too_small` there.
    """

    figure: str
    value: float | None
    must: float
    aim: float
    better: Literal["lower", "higher"] = "lower"
    unit: str = ""
    full_size: bool = False
    too_small: bool = False

    def sized(self, *, quick: bool) -> Figure:
        """The figure as a run of that size can tell it."""
        return replace(self, value=None, too_small=True) if quick and self.full_size else self

    @property
    def reached(self) -> bool:
        """Whether the value is within `must`, or was not asked for at this size."""
        return self.too_small or self._within(self.must)

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.value is None:
            return "needs full size" if self.too_small else "not measured"
        return "aim reached" if self._within(self.aim) else "must reached" if self.reached else "MISSED"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for programs."""
        return {**asdict(self), "verdict": self.verdict}

    def cells(self) -> list[str]:
        """The row of a table: figure, value, unit, must, aim, verdict."""
        sign, value = "≤" if self.better == "lower" else "≥", "-" if self.value is None else f"{self.value:g}"
        return [self.figure, value, self.unit, f"{sign} {self.must:g}", f"{sign} {self.aim:g}", self.verdict]

    def _within(self, bound: float) -> bool:
        value = self.value
        return value is not None and (value <= bound if self.better == "lower" else value >= bound)


class Runs:
    """Every run by contender: what was measured, by the name that it has in tables. `absent` says why one has none."""

    def __init__(self) -> None:
        self.by: dict[str, list[Row]] = defaultdict(list)
        self.absent: dict[str, str] = {}

    def take_turns(self, contenders: Mapping[str, Callable[[], Row]], rounds: int, *, warm_up: int = 0) -> None:
        """One run of each in a round, so that a slow minute of the machine hits all; warm-up rounds do not count."""
        for place in range(-warm_up, rounds):
            for name, run in contenders.items():
                done = run()
                if place >= 0:
                    self.by[name].append(done)

    def values(self, name: str, what: str) -> list[float]:
        """Of all runs of a contender that have such a value."""
        return [value for row in self.by.get(name, []) if isinstance(value := row.get(what), int | float)]

    def median(self, name: str, what: str) -> float | None:
        """None without a value."""
        return median(values) if (values := self.values(name, what)) else None

    def ratio(self, ours: str, theirs: str, what: str) -> float | None:
        """One contender's median over another's."""
        return ratio(self.median(ours, what), self.median(theirs, what))

    def medians(self) -> dict[str, Row]:
        """A row for each contender: medians of numbers, the last of all else."""
        return {
            name: {what: last if isinstance(last, str) else self.median(name, what) for what, last in rows[-1].items()}
            for name, rows in self.by.items()
        }


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """To three digits; None where one of them is missing."""
    return round(ours / theirs, 3) if ours is not None and theirs else None


def rounded(value: float | None, digits: int) -> float | None:
    """Like `round`, for a value that may be missing."""
    return None if value is None else round(value, digits)
