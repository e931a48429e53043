"""How heavy the newest entries of a container are: what is reachable from one of them and not from another.

No method of the program's own is called: sizes are taken by methods that are written in C, entries by the builtin
types' functions.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodDescriptorType, ModuleType
from typing import Any

from include.memory.inside.referents import referents

ENTRIES = 3
MOST_OBJECTS = 1_500  # that are looked at for an entry; a heavier one counts as that heavy
NOT_OWN = (ModuleType, type, FunctionType, BuiltinFunctionType, CodeType, FrameType)


def weight_of_entry(container: Any) -> int:
    """About how many bytes an entry of the container holds for itself, by its newest ones; 0 where none can be had."""
    seen = {id(container)}
    sizes = [_own_bytes(entry, seen) for entry in _newest(container)]
    later = sizes[1:] or sizes  # the first one is charged with all that the entries share
    return sum(later) // max(len(later), 1)


def _newest(container: Any) -> list[Any]:
    kind = next((kind for kind in (dict, list, deque, set) if issubclass(type(container), kind)), None)
    try:
        if kind is dict:
            return list(islice(reversed(dict.values(container)), ENTRIES))
        if kind is list:
            return list.__getitem__(container, slice(-ENTRIES, None))
        if kind is deque:
            return list(islice(deque.__reversed__(container), ENTRIES))
        return list(islice(set.__iter__(container), ENTRIES)) if kind is set else []
    except RuntimeError:  # it changed meanwhile
        return []


def _own_bytes(entry: Any, seen: set[int]) -> int:
    """Bytes of what is reachable from an entry and was not seen before."""
    total, waiting, looked_at = 0, deque([entry]), 0
    while waiting and looked_at < MOST_OBJECTS:
        one = waiting.popleft()
        if id(one) in seen or issubclass(type(one), NOT_OWN):
            continue
        seen.add(id(one))
        looked_at += 1
        total += _bytes(one)
        waiting.extend(referents([one])[:MOST_OBJECTS])
    return total


def _bytes(one: Any) -> int:
    """As `sys.getsizeof`, but for a method that the program wrote."""
    for kind in type.__getattribute__(type(one), "__mro__"):
        method = type.__getattribute__(kind, "__dict__").get("__sizeof__")
        if type(method) is MethodDescriptorType:
            return int(method(one))
    return 0
