"""A budget for what a piece of work may keep: `memory_budget("20 MB")`, around a function or a `with` block.

What counts is what is still there after the work and a collection, not what it took meanwhile. How that is measured
stands in `kept_memory.py`. The allocations are traced meanwhile, so Python code runs 2 to 10 times slower: use it in
tests, and for tasks that can afford it.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from include.memory.errors import MemoryBudgetExceeded
from include.memory.tasks.budget_report import report
from include.memory.tasks.kept_memory import Kept, Meter
from include.memory.watcher import sizes

P = ParamSpec("P")
T = TypeVar("T")


class memory_budget:
    """At most so much may be kept: bytes, or `20 MB`, `512 kB`, `1.5 GiB`. Raises BadSize, and where more is kept,
    MemoryBudgetExceeded with the report of what, by which line, and who holds it.

    `warm` lets a decorated function run so often before the run that counts, with the same arguments: what a first
    call fills once (caches, pools) is no leak, but only a function that may be repeated can be called twice. Modules
    that are imported meanwhile never count. What the function returns counts: it is still held.

    Work that fails raises its own error, and is not judged. After the block, `kept` has the figures.
    """

    def __init__(self, most: int | str, *, warm: int = 0, name: str = "The block") -> None:
        self.most_bytes = sizes.parse(most)
        self.warm = warm
        self.name = name
        self.kept: Kept | None = None
        self._meter: Meter | None = None

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function, with this budget for each of its calls."""
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} does its work after it has returned: put a `with` inside it")

        @functools.wraps(function)
        def within_budget(*arguments: P.args, **named: P.kwargs) -> T:
            for _ in range(self.warm):
                function(*arguments, **named)
            with memory_budget(self.most_bytes, name=function.__qualname__):
                return function(*arguments, **named)

        return within_budget

    def __enter__(self) -> memory_budget:
        self._meter = Meter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        meter, self._meter = self._meter, None
        if meter is None:
            return
        try:
            self.kept = None if kind else meter.read(self.most_bytes)
        finally:
            meter.stop()
        if self.kept and self.kept.fault:
            warnings.warn(f"{self.name} could not be measured: {self.kept.fault}", RuntimeWarning, stacklevel=2)
        if self.kept and self.kept.total_bytes > self.most_bytes:
            raise MemoryBudgetExceeded(report(self.name, self.most_bytes, self.kept), self.kept)
