"""How many objects of each type there are, and how large each container is; what has grown between two counts.

Objects are read in slices. No method of the program's own is called: lengths are taken by the builtin types' functions.
"""

from __future__ import annotations

import gc
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from include.memory.inside.referents import referents
from include.memory.inside.time_slices import Pace
from include.memory.inside.weight import weight_of_entry

SLICE = 4_000  # objects, read in about a millisecond
LEAST_ENTRIES = 8  # a smaller container holds no leak worth a name, and there are too many of them
LEAST_GROWTH = 4
WEIGHED = 10  # containers for each that is wanted
SIZED: tuple[type, ...] = (list, dict, set, deque)
OWN_PACKAGE = f"{__package__}."
Length = Callable[[Any], int]
# The first counter that is filled by `map` leaves entries in the caches of abstract classes: not while we look.
Counter(map(type, ()))


@dataclass
class Census:
    """Objects by type, and entries of each larger container by its address. Holds no object."""

    types: Counter[type] = field(default_factory=Counter)
    entries: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class GrowingType:
    """A type of which there are more objects than before."""

    name: str
    before: int
    after: int


@dataclass(frozen=True)
class Grown:
    """A container with more entries than before; `bytes` is about what the new ones hold."""

    container: Any
    before: int
    after: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Newest:
    """An object. A holder of our own type is left out by the search for holders; a list or dict would not be."""

    one: Any


def take(pace: Pace) -> Census:
    """Count what the collector knows or has frozen, and the containers that only these refer to. Raises OutOfTime."""
    census = Census()
    measures: dict[type, Length] = {kind: kind.__len__ for kind in SIZED}  # type: ignore[attr-defined]
    objects = pace.objects()
    for part in slices(objects):
        census.types.update(map(type, part))
        _learn(measures, census.types)
        for one in referents(part):
            measure = measures.get(type(one))
            if measure is not None and (size := measure(one)) >= LEAST_ENTRIES:
                census.entries[id(one)] = size
        part.clear()
        pace.rest()
    for own in (census.entries, measures, objects, pace.frozen):
        census.entries.pop(id(own), None)
    objects.clear()
    return census


def growing_types(before: Census, after: Census, top: int) -> list[tuple[type, GrowingType]]:
    """The types with the most new objects. Weak references hold nothing, so they are left out, as are our own types."""
    grown = [
        (kind, count - before.types[kind])
        for kind, count in after.types.items()
        if kind is not weakref.ref and not type_name(kind).startswith(OWN_PACKAGE)
    ]
    grown = sorted((item for item in grown if item[1] >= LEAST_GROWTH), key=lambda item: -item[1])[:top]
    return [(kind, GrowingType(type_name(kind), before.types[kind], after.types[kind])) for kind, _ in grown]


def grown_containers(before: Census, after: Census, pace: Pace, top: int) -> list[Grown]:
    """The containers whose new entries hold most; those that were not there before, or were small, come last."""
    gains = {at: size - before.entries.get(at, 0) for at, size in after.entries.items()}
    own = {id(before.entries), id(after.entries), id(gains), id(before.types), id(after.types), id(pace.frozen)}
    grown = (at for at in gains if gains[at] >= LEAST_GROWTH and at not in own)
    most = sorted(grown, key=lambda at: (at not in before.entries, -gains[at]))
    wanted = set(most[: top * WEIGHED])
    found: dict[int, Any] = {}
    objects = pace.objects()
    for part in slices(objects):
        for one in referents(part):
            if id(one) in wanted and issubclass(type(one), SIZED):
                found[id(one)] = one
        part.clear()
        pace.rest()
    found.pop(id(objects), None)
    objects.clear()  # a list of all objects holds the cells of this function too, and would live on in a cycle
    weighed = []
    for at, container in found.items():
        held = gains[at] * weight_of_entry(container)
        weighed.append(
            (at not in before.entries, -held, Grown(container, before.entries.get(at, 0), after.entries[at], held))
        )
        pace.rest()
    return [grown for _, _, grown in sorted(weighed, key=lambda one: one[:2])[:top]]


def newest(kinds: list[type], pace: Pace) -> dict[type, Newest]:
    """Of each type the object that was made last."""
    found: dict[type, Newest] = {}
    wanted = set(kinds)
    objects = pace.call(gc.get_objects)
    objects.reverse()
    for part in slices(objects):
        for one in part:
            if type(one) in wanted and one is not found and one is not wanted:
                found[type(one)] = Newest(one)
                wanted.discard(type(one))
        part.clear()
        pace.rest()
    objects.clear()
    return found


def type_name(kind: type) -> str:
    """Module and name of a type, without a word of the program's own code being run."""
    name = type.__getattribute__(kind, "__qualname__")
    module = type.__getattribute__(kind, "__module__")
    return f"{name}" if module == "builtins" else f"{module}.{name}"


def slices(objects: list[Any]) -> Iterator[list[Any]]:
    """Pieces of a list, each a list that the caller may clear."""
    return (objects[begin : begin + SLICE] for begin in range(0, len(objects), SLICE))


def _learn(measures: dict[type, Length], types: Counter[type]) -> None:
    """How to measure the subclasses of containers among these types."""
    for kind in types.keys() - measures.keys():
        base = next((base for base in SIZED if base in kind.__mro__), None)
        measures[kind] = _none if base is None else base.__len__  # type: ignore[attr-defined]


def _none(one: Any) -> int:
    return 0
