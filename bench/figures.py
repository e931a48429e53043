"""What a benchmark measures: runs of contenders, which take turns, and figures made of them, with their bounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, Generic, Literal, TypeVar

Key = TypeVar("Key", bound=Hashable)
One = TypeVar("One")
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
        plain = asdict(self)
        del plain["full_size"], plain["too_small"]
        return plain | {"verdict": self.verdict}

    def cells(self) -> list[str]:
        """The row of a table: figure, value, unit, must, aim, verdict."""
        sign = "≤" if self.better == "lower" else "≥"
        value = "-" if self.value is None else f"{self.value:g}"
        return [self.figure, value, self.unit, f"{sign} {self.must:g}", f"{sign} {self.aim:g}", self.verdict]

    def _within(self, bound: float) -> bool:
        if self.value is None:
            return False
        return self.value <= bound if self.better == "lower" else self.value >= bound


class Runs(Generic[Key, One]):
    """Every run by contender; `absent` says why a contender has none."""

    def __init__(self) -> None:
        self.by: dict[Key, list[One]] = defaultdict(list)
        self.absent: dict[Key, str] = {}

    def take_turns(self, contenders: Mapping[Key, Callable[[], One]], rounds: int, *, warm_up: int = 0) -> None:
        """One run of each in a round, so that a slow minute of the machine hits all; warm-up rounds do not count."""
        for number in range(-warm_up, rounds):
            for key, run in contenders.items():
                done = run()
                if number >= 0:
                    self.by[key].append(done)

    def last(self, key: Key) -> One | None:
        """Its last run, if it has any."""
        return self.by[key][-1] if self.by.get(key) else None

    def median(self, key: Key, of: Callable[[One], float | None]) -> float | None:
        """Of all runs that have such a value; None without one."""
        values = [value for one in self.by.get(key, []) if (value := of(one)) is not None]
        return median(values) if values else None

    def ratio(self, ours: Key, theirs: Key, of: Callable[[One], float | None]) -> float | None:
        """One contender's median over another's."""
        return ratio(self.median(ours, of), self.median(theirs, of))


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """To three digits; None where one of them is missing."""
    return round(ours / theirs, 3) if ours is not None and theirs else None


def rounded(value: float | None, digits: int) -> float | None:
    """Like `round`, for a value that may be missing."""
    return None if value is None else round(value, digits)


def number(value: float | None, digits: int = 1, unit: float = 1.0) -> str:
    """A cell of a table, in multiples of the unit; empty for a missing value."""
    return "" if value is None else f"{value / unit:,.{digits}f}"
