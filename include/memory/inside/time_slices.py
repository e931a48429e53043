"""Work inside a process that has better things to do: in slices, with rests, until a deadline; pauses are measured."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class OutOfTime(Exception):
    """The time allowed for this piece of work is over."""


class Pace:
    """One piece of work. `longest_pause_seconds` is the longest call of compiled code, in which no thread can run, and
    `longest_pause_in` what was called. `frozen` are objects that the collector does not show (see `frozen_objects.py`).
    """

    def __init__(self, seconds: float, rest_seconds: float = 0.004) -> None:
        self.frozen: list[Any] = []
        self.deadline = time.monotonic() + seconds
        self.rest_seconds = rest_seconds
        self.longest_pause_seconds = 0.0
        self.longest_pause_in = ""

    def rest(self) -> None:
        """Let the others run. Raises OutOfTime."""
        if time.monotonic() > self.deadline:
            raise OutOfTime
        time.sleep(self.rest_seconds)

    def call(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Call something that cannot be sliced, note how long it took, and rest."""
        began = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds = time.perf_counter() - began
            if seconds > self.longest_pause_seconds:
                self.longest_pause_seconds, self.longest_pause_in = seconds, function.__name__
            time.sleep(self.rest_seconds)

    def objects(self) -> list[Any]:
        """All containers of this process, in a list that the caller may clear: the collector's and the frozen ones."""
        found = self.call(gc.get_objects)
        found += self.frozen
        return found
