"""Objects that the collector does not show: Airflow freezes all there is before it forks workers, and `gc.get_objects`
leaves frozen ones out, for the whole life of the worker. They are found by walking forward from the modules and from
what the collector shows.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

from include.memory.inside.referents import referents
from include.memory.inside.time_slices import Pace

SLICE = 2_000


def frozen(pace: Pace) -> list[Any]:
    """The frozen objects of this process; none where nothing is frozen. Raises OutOfTime."""
    found: list[Any] = []
    if not gc.get_freeze_count():
        return found
    waiting = pace.call(gc.get_objects)
    seen = {id(found), id(waiting)}
    for begin in range(0, len(waiting), SLICE):
        seen.update(map(id, waiting[begin : begin + SLICE]))
        pace.rest()
    waiting.append(sys.modules)
    seen.discard(id(sys.modules))
    while waiting:
        part = waiting[-SLICE:]
        del waiting[-SLICE:]
        for one in referents(part):
            if id(one) not in seen and gc.is_tracked(one):
                seen.add(id(one))
                found.append(one)
                waiting.append(one)
        part.clear()
        pace.rest()
    return found
