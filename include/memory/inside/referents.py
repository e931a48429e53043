"""What objects refer to, without harm to the dead."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from types import ModuleType
from typing import Any


def referents(objects: Sequence[Any]) -> list[Any]:
    """As `gc.get_referents(*objects)`, but of a module only its names, in their dict.

    Since Python 3.12 the module `_asyncio` also shows the objects of its free list. They are dead: a list that takes
    one up and lets it go frees it for the second time, and the next collection of the process never ends.
    """
    if not any(issubclass(type(one), ModuleType) for one in objects):
        return gc.get_referents(*objects)
    modules: list[ModuleType] = []
    others: list[Any] = []
    for one in objects:
        (modules if issubclass(type(one), ModuleType) else others).append(one)
    return gc.get_referents(*others) + [ModuleType.__getattribute__(module, "__dict__") for module in modules]
