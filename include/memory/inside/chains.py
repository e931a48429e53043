"""Who holds this object? The chain of references from a module, a class or a running function down to it.

A search from the object upwards, a level at a time: `gc.get_referrers` passes over the whole heap once, however many
objects it is asked about. In a heap too large for that pause the same is done in slices. The search leaves its own
containers out, and it ends with its time.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from include.memory.inside.census import OWN_PACKAGE, slices
from include.memory.inside.links import describe, isinstance_of, local_name, via
from include.memory.inside.referents import referents
from include.memory.inside.time_slices import OutOfTime, Pace
from include.memory.verdict.cache_bound import Bound, bound_of

OWN_FOLDER = str(Path(__file__).parents[1])
LONGEST_CHAIN = 14  # holders, each a pass over the heap
WIDEST_LEVEL = 60  # the most promising of them: an object that everything names would bring in the whole heap
LARGE_HEAP = 100_000  # objects, above which a level is searched in slices


@dataclass(frozen=True)
class Link:
    """One object of a chain: how the one before refers to it, and what it is."""

    via: str
    what: str


@dataclass(frozen=True)
class Chain:
    """References from a root to an object. `complete` says that the root is a module, a class or a running function."""

    links: tuple[Link, ...]
    complete: bool
    bound: Bound | None

    def __str__(self) -> str:
        """One line, from the root down."""
        first, *rest = self.links
        return first.what + "".join(f" → {link.via} {link.what}" for link in rest)


def find(target: Any, pace: Pace) -> Chain:
    """The shortest chain that could be found in the time allowed."""
    search = _Search(target, pace)
    try:
        root = search.run()
    except OutOfTime:
        root = None
    return search.chain(root)


class _Search:
    """Objects found so far, and for each (by its place) the place of the one that it refers to."""

    def __init__(self, target: Any, pace: Pace) -> None:
        self.pace = pace
        self.found: list[Any] = [target]
        self.child: list[int] = [-1]
        self.place: dict[int, int] = {id(target): 0}
        self.level: list[int] = [0]
        self.local: tuple[str, int] | None = None
        self.heap = 0  # objects, once counted

    def run(self) -> int | None:
        """The place of a root; None when nothing that could be found holds the object."""
        for _ in range(LONGEST_CHAIN):
            module = self._module()
            if module is not None:
                return module
            wanted = [self.found[at] for at in self.level]
            holders = self._holders(wanted)
            level: list[int] = []
            for holder in holders:
                at = self._add(holder)
                if at is None:
                    continue
                if _is_root(holder):
                    return at
                level.append(at)
                if len(level) % 20 == 0:
                    self.pace.rest()
            holders.clear()
            if not level:
                break
            self.level = sorted(level, key=lambda at: _promise(self.found[at]))[:WIDEST_LEVEL]
        return self._running_function()

    def _module(self) -> int | None:
        """The place of a module that names an object of this level: found without a pass over the heap."""
        level = {id(self.found[at]): at for at in self.level}
        for name, module in list(sys.modules.items()):
            if not isinstance_of(module, ModuleType) or name.startswith(OWN_PACKAGE):
                continue
            names = ModuleType.__getattribute__(module, "__dict__")
            held = next((level[at] for at in map(id, list(names.values())) if at in level), None)
            if held is not None:
                return self._take(module, held)
        return None

    def chain(self, root: int | None) -> Chain:
        """From the root down to the object; from the last object that was found when there is no root."""
        at = root if root is not None else len(self.found) - 1
        links: list[Link] = []
        if root is not None and self.local:
            name, at = self.local
            links.append(Link("", name))
            links.append(Link("", describe(self.found[at])))
        else:
            links.append(Link("", describe(self.found[at])))
        bound = bound_of(self.found[at])
        while (below := self.child[at]) >= 0:
            holder, held = self.found[at], self.found[below]
            name = via(holder, held)
            if links and links[-1].via == ".__dict__":  # `.name` says more than `.__dict__` and then `['name']`
                links.pop()
                name = f".{name[2:-2]}" if name.startswith("['") else name
            links.append(Link(name, describe(held)))
            bound = bound_of(held) or bound
            at = below
        return Chain(tuple(links), root is not None, bound)

    def _add(self, holder: Any) -> int | None:
        """Take note of a holder, unless it is known or our own."""
        if id(holder) in self.place or self._is_own(holder):
            return None
        held = next((self.place[id(one)] for one in referents([holder]) if id(one) in self.place), None)
        if held is None:
            return None
        return self._take(holder, held)

    def _take(self, holder: Any, held: int) -> int:
        self.found.append(holder)
        self.child.append(held)
        self.place[id(holder)] = len(self.found) - 1
        return len(self.found) - 1

    def _is_own(self, one: Any) -> bool:
        if (
            one is self.__dict__
            or one is self.found
            or one is self.pace.frozen
            or type(one).__module__.startswith(OWN_PACKAGE)
        ):
            return True
        return isinstance_of(one, FrameType) and one.f_code.co_filename.startswith(OWN_FOLDER)

    def _holders(self, wanted: list[Any]) -> list[Any]:
        small = self._heap_is_small()
        holders = self.pace.call(_referrers, wanted) if small else self._holders_in_slices(wanted)
        return [holder for holder in holders if holder is not wanted and holder is not holders]

    def _heap_is_small(self) -> bool:
        if not self.heap:
            self.heap = len(self.pace.call(gc.get_objects))
        return self.heap <= LARGE_HEAP and not self.pace.frozen  # get_referrers would not see those

    def _holders_in_slices(self, wanted: list[Any]) -> list[Any]:
        ids = {id(one) for one in wanted}
        holders: list[Any] = []
        objects = self.pace.objects()
        for part in slices(objects):
            if not ids.isdisjoint(map(id, referents(part))):
                holders += [one for one in part if not ids.isdisjoint(map(id, referents([one])))]
            part.clear()
            self.pace.rest()
        held = {id(objects)}
        objects.clear()
        return [one for one in holders if id(one) not in held]

    def _running_function(self) -> int | None:
        """A local variable of a function that is running is invisible to the collector: look for it by name."""
        own = threading.get_ident()
        for thread, top in list(sys._current_frames().items()):
            for frame in _frames(top) if thread != own else ():
                found = local_name(frame, self.place)
                if found:
                    name, address = found
                    code = frame.f_code
                    where = f"local variable {name} of {code.co_qualname} ({code.co_filename}:{frame.f_lineno})"
                    self.local = where, self.place[address]
                    return self.local[1]
        return None


def _referrers(wanted: list[Any]) -> list[Any]:
    """All that refer to one of these; not the tuple of this call's arguments, which `gc` leaves out by itself."""
    return gc.get_referrers(*wanted)


def _is_root(one: Any) -> bool:
    return isinstance_of(one, ModuleType) or isinstance_of(one, type)


def _promise(one: Any) -> int:
    """Which holders to follow first: those that lead to names."""
    order: tuple[type, ...] = (dict, list, set, tuple)
    return next((number for number, kind in enumerate(order) if isinstance_of(one, kind)), len(order))


def _frames(frame: FrameType | None) -> Iterable[FrameType]:
    while frame is not None:
        if frame.f_code.co_flags & 0x1:  # a function's: at module level locals are the module's own dict
            yield frame
        frame = frame.f_back
