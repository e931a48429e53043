"""What a judgement is made of, and what it says: frozen records, no behaviour beyond cutting them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from include.memory.verdict.cache_bound import Bound

Floats = NDArray[np.float64]
Verdict = Literal["leaking", "growing (watch)", "steady", "warming up", "not enough data"]
Kind = Literal[
    "Python objects", "native memory", "fragmentation", "imports or copy-on-write", "load", "cache", "unknown", "none"
]

NOTHING: Floats = np.empty(0)


@dataclass(frozen=True, eq=False)
class Looks:
    """Counters from inside the process, one entry a look, ascending. `hours` are its age at each look.

    `blocks` are allocated blocks of Python's allocator, `objects` what the collector knows (nan where they were not
    counted), `heap_bytes` and `free_bytes` what malloc has given away and what it holds back. `collected` tells looks
    that were taken after a collection.
    """

    hours: Floats = field(default_factory=NOTHING.copy)
    blocks: Floats = field(default_factory=NOTHING.copy)
    objects: Floats = field(default_factory=NOTHING.copy)
    heap_bytes: Floats = field(default_factory=NOTHING.copy)
    free_bytes: Floats = field(default_factory=NOTHING.copy)
    collected: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))

    def __len__(self) -> int:
        return len(self.hours)


@dataclass(frozen=True, eq=False)
class Series:
    """One incarnation of a process: its samples, ascending, and the looks inside.

    `hours` are the age of the process at each sample; a gap is a gap. `used_bytes` are unique and swapped bytes, or
    anonymous and swapped ones where the unique ones may not be read. `load` is the work done
    since the sample before, in tasks an hour or any other unit.
    """

    hours: Floats
    used_bytes: Floats
    resident_bytes: Floats | None = None
    load: Floats | None = None
    looks: Looks = field(default_factory=Looks)
    limit_bytes: float | None = None
    bound: Bound | None = None

    @property
    def now(self) -> float:
        """Age at the last sample, in hours."""
        return float(self.hours[-1])


@dataclass(frozen=True)
class Growth:
    """Growth in MB (10^6 bytes) an hour: Theil-Sen slope with its 95 % confidence interval."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Judgement:
    """What is said of a process. `hours_left` until the limit is reached at the present rate; None when it is not."""

    verdict: Verdict
    kind: Kind
    why: str
    growth: Growth | None = None
    hours_left: float | None = None
    since_hours: float | None = None  # age of the process at which the growth began
    suspect: bool = False  # whether the next look should be taken after a collection

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
