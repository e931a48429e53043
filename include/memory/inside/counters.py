"""What this very process has in use, by its own counters, after a collection where the pause is allowed."""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import dataclass

from include.memory.inside.heap import heap
from include.memory.inside.time_slices import Pace

# A guess until a first collection was measured.
_seconds_a_block = 6e-8


@dataclass(frozen=True)
class Counters:
    """Counters at one moment (seconds since 1970). None is what the platform does not tell.

    `objects` are counted after a collection only, as it takes a list of all of them: 8 MB and 20 ms a million.
    """

    taken_at: float
    blocks: int
    objects: int | None
    frozen_objects: int
    heap_bytes: int | None
    free_bytes: int | None
    collected: bool


def read(pace: Pace, *, collect: bool, longest_pause_seconds: float = 0.25) -> Counters:
    """Count. The collection is left out, and `collected` says so, where it is expected to take too long."""
    global _seconds_a_block
    blocks, objects = sys.getallocatedblocks(), None
    collected = collect and blocks * _seconds_a_block <= longest_pause_seconds
    if collected:
        began = time.thread_time()  # not by the clock: on a busy machine one slow collection would be the last
        pace.call(gc.collect)
        _seconds_a_block = max((time.thread_time() - began) / max(blocks, 1), 1e-9)
        objects = len(pace.call(gc.get_objects))
    malloc = heap()
    return Counters(
        taken_at=time.time(),
        blocks=sys.getallocatedblocks(),
        objects=objects,
        frozen_objects=gc.get_freeze_count(),
        heap_bytes=malloc.used_bytes if malloc else None,
        free_bytes=malloc.free_bytes if malloc else None,
        collected=collected,
    )
