"""Who holds what was allocated while allocations were traced: for a traceback, the largest object that was made there
and lives on, and the chain of references to it; and of which types the newest objects are.
"""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from abc import ABCMeta
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from include.memory.inside import chains
from include.memory.inside.census import slices, type_name
from include.memory.inside.cpython import Frames, allocated_at
from include.memory.inside.links import describe, via
from include.memory.inside.referents import referents
from include.memory.inside.time_slices import OutOfTime, Pace

SEARCH_SECONDS, CHAIN_SECONDS = 20.0, 20.0  # by the clock: a busy machine is slow
TYPES = 5
NEWEST = 3_000  # of small objects, so many are asked where they were made: to ask takes 0.1 ms while tracing
LARGE_BYTES = 4_096  # of larger ones, all
SMALL_TYPES = frozenset({type, ABCMeta, CodeType, FunctionType, ModuleType})
COUNTED = frozenset({dict, set, list, tuple, str, bytes, bytearray})
LEAST_ENTRIES = 50  # fewer take less
HERE = Path(__file__).parent
DOORS = {str(HERE / name) for name in ("budget.py", "pytest_plugin.py")}
OWN = {str(HERE / "kept_memory.py"), str(HERE / "allocation_holders.py"), str(HERE.parent / "inside" / "traces.py")}
MACHINERY = {tracemalloc.__file__, *OWN}

Held = tuple[Any, Any]  # an object, and the container that the collector does not know, or None


@dataclass(frozen=True)
class NewType:
    """So many of the newest objects are of this type, and so many of all objects."""

    name: str
    newest: int
    all: int


@dataclass(frozen=True)
class Made:
    """For each traceback (as `within` cuts them) the chain down to an object from there, in words, where an object was
    found; and the types of the newest objects, the most frequent first.
    """

    holders: dict[Frames, str] = field(default_factory=dict)
    types: tuple[NewType, ...] = ()


def look(tracebacks: Sequence[Frames], stop_tracing: Callable[[], None]) -> Made:
    """Look for the objects. Tracing is stopped on the way, as it makes the search ten times slower."""
    gc.unfreeze()  # what stands in frozen containers would not be found, and this work is about to fail
    found: list[Made] = []
    # In a thread of its own: then the functions that run in this one are searched for holders, too.
    thread = threading.Thread(target=lambda: found.append(_search(tracebacks, stop_tracing)), name="millrace-memory")
    thread.start()
    thread.join()
    return found[0] if found else Made()


def within(frames: Frames) -> Frames:
    """A traceback as far as the measured work goes, innermost first; empty for what measuring itself allocates."""
    for number, (file, _) in enumerate(frames):
        if file in MACHINERY:
            return ()
        if file in DOORS:
            return frames[:number]
    return frames


def _search(tracebacks: Sequence[Frames], stop_tracing: Callable[[], None]) -> Made:
    largest: dict[Frames, tuple[int, Held]] = {}
    new: Counter[type] = Counter()
    objects = gc.get_objects()
    for search in (_newest, _large):
        if len(largest) < len(tracebacks):
            for held in search(objects):
                frames = within(allocated_at(held[0]) or ())
                if frames:
                    new[type(held[0])] += search is _newest
                if frames in tracebacks and (size := _size(held[0])) > largest.get(frames, (0, None))[0]:
                    largest[frames] = size, held
    stop_tracing()
    every = Counter(map(type, objects))
    objects.clear()
    pace = Pace(CHAIN_SECONDS, 0.0)
    return Made(
        {frames: _chain(*largest.pop(frames)[1], pace) for frames in tracebacks if frames in largest},
        tuple(NewType(type_name(kind), count, every[kind]) for kind, count in new.most_common(TYPES) if count > 1),
    )


def _newest(objects: list[Any]) -> Iterator[Held]:
    return ((one, None) for one in objects[: -NEWEST - 1 : -1])


def _large(objects: list[Any]) -> Iterator[Held]:
    """Each once, for as long as the time allows; also what stands in dicts that the collector does not know, as nothing
    in them can form a cycle.
    """
    pace = Pace(SEARCH_SECONDS, 0.0)
    seen: set[int] = set()
    with suppress(OutOfTime):
        for part in slices(objects):
            part += referents(part)
            found: list[Held] = [(one, None) for one in _sized(part)]
            for known in [one for one in part if type(one) is dict and not gc.is_tracked(one)]:
                found += [(one, known) for one in _sized(list(known.values()))]
            for held in found:
                if id(held[0]) not in seen:
                    seen.add(id(held[0]))
                    yield held
            pace.rest()


def _sized(objects: list[Any]) -> list[Any]:
    """The large ones. Most are told by their type or length: every size above 256 is a new number, and while tracing a
    new object costs a microsecond.
    """
    likely = [
        one for one in objects
        if type(one) not in SMALL_TYPES and (type(one) not in COUNTED or len(one) >= LEAST_ENTRIES)
    ]  # fmt: skip
    return [one for one in likely if _size(one) >= LARGE_BYTES]


def _chain(one: Any, container: Any, pace: Pace) -> str:
    chain = chains.find(one if container is None else container, pace)
    last = "" if container is None else f" → {via(container, one)} {describe(one)}"
    return f"{chain}{last}" + ("" if chain.complete else " (who holds that was not found)")


def _size(one: Any) -> int:
    try:
        return sys.getsizeof(one)
    except Exception:  # a class of the program's own may measure itself wrongly
        return 0
