"""What a piece of work keeps: the memory that it allocated and that is still there, after a collection.

Python's allocations are traced meanwhile, and so known to the byte, with the line; the resident size is not asked,
which rises and falls by pages for reasons of its own. C libraries that do not tell Python what they allocate are judged
by malloc's books, which are true to some hundred kB, so that counts from 0.5 MB on. Arrow keeps books of its own.

What was there before and was let go of meanwhile (a cache entry that was replaced) is credited in the same way: large
objects by malloc's books, small ones by Python's count of blocks. Modules that are imported meanwhile stay for good,
once, and do not count; neither do C libraries then, as theirs cannot be told apart. All threads are measured together.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from dataclasses import dataclass

from include.memory.inside.cpython import IMPORTING, Frames, all_traces, stack
from include.memory.inside.heap import heap
from include.memory.inside.trace_window import Line
from include.memory.inside.traces import Traces, Tracing, add_up, estimate
from include.memory.tasks.allocation_holders import Made, NewType, look, within

HEAP_NOISE_BYTES = 500_000  # measured: 25 kB in a small process, 213 kB in a large one with threads
BLOCKS_NOISE = 1_000
TOP = 5
LEAST_SHARE = 0.1  # of what was kept, for a line that is worth a search


@dataclass(frozen=True)
class Kept:
    """Bytes that a piece of work left. `made_bytes` is what Python allocated, `freed_bytes` what was there before and
    went; `native_bytes` and `arrow_bytes` are those of C libraries, `import_bytes` do not count. `holders` tells who
    holds what a line allocated.
    """

    made_bytes: int
    freed_bytes: int
    native_bytes: int
    arrow_bytes: int
    import_bytes: int
    lines: tuple[Line, ...] = ()
    holders: tuple[str | None, ...] = ()
    types: tuple[NewType, ...] = ()
    fault: str | None = None

    @property
    def total_bytes(self) -> int:
        """What counts."""
        return max(0, self.made_bytes - self.freed_bytes) + self.native_bytes + self.arrow_bytes


Grown = dict[Frames, tuple[int, int]]  # bytes and blocks more than before, by traceback
tracing = Tracing()


class Meter:
    """Measures from its making to `read`. One that begins while allocations are traced already, by another or by the
    program, tells nothing of C libraries, and credits only what was traced.
    """

    def __init__(self) -> None:
        gc.collect()
        self._nested = tracemalloc.is_tracing()
        self._in_import = not IMPORTING.isdisjoint(stack())
        self._before = add_up(all_traces()) if self._nested else Traces()
        self._arrow, self._heap, self._blocks = _arrow_bytes(), _heap_bytes(), sys.getallocatedblocks()
        self._tracing = True
        tracing.begin()

    def read(self, most_bytes: int) -> Kept:
        """What was kept since; where it is more than that, also what it is. Ends the measuring."""
        gc.collect()
        blocks, arrow = sys.getallocatedblocks() - self._blocks, _arrow_bytes() - self._arrow
        if not tracemalloc.is_tracing():
            return Kept(0, 0, 0, 0, 0, fault="the tracing of allocations was stopped in the meantime")
        suspect = tracemalloc.get_traced_memory()[0] > most_bytes
        raw = all_traces()
        made = self._made(estimate(raw), blocks, most_bytes) if suspect else Made()
        self.stop()
        traces = add_up(raw)
        del raw  # it would stand in malloc's books
        grown, import_bytes = self._grown(traces)
        beyond = 0 if self._nested or tracemalloc.is_tracing() else _heap_bytes() - self._heap - traces.large_bytes
        beyond = beyond if abs(beyond) > HEAP_NOISE_BYTES else 0
        importing = import_bytes > HEAP_NOISE_BYTES
        top = _top(grown)
        return Kept(
            made_bytes=max(0, sum(size for size, _ in grown.values())),
            freed_bytes=self._freed_small(traces, blocks) + max(0, -beyond),
            native_bytes=0 if importing else max(0, beyond),
            arrow_bytes=max(0, arrow),
            import_bytes=import_bytes + (max(0, beyond) if importing else 0),
            lines=tuple(Line(_texts(frames), *grown[frames], 1) for frames in top),
            holders=tuple(made.holders.get(frames) for frames in top),
            types=made.types,
        )

    def stop(self) -> None:
        """End the measuring; once more is the same."""
        if self._tracing:
            self._tracing = False
            tracing.end()

    def _made(self, traces: Traces, blocks: int, most_bytes: int) -> Made:
        """The objects of the top lines, where it seems that more was kept than may be."""
        grown, _ = self._grown(traces)
        made_bytes = sum(size for size, _ in grown.values())
        if made_bytes - self._freed_small(traces, blocks) <= most_bytes:
            return Made()
        return look([frames for frames in _top(grown) if grown[frames][0] > made_bytes * LEAST_SHARE], self.stop)

    def _grown(self, traces: Traces) -> tuple[Grown, int]:
        """Bytes and blocks that each traceback has more than before, and the bytes of imports."""
        grown: Grown = {}
        imports = 0
        for frames in traces.totals.keys() | self._before.totals.keys():
            (size, count), (less, fewer) = (one.totals.get(frames, (0, 0)) for one in (traces, self._before))
            cut = within(frames)
            if cut and not self._in_import and not IMPORTING.isdisjoint(cut):
                imports += size - less
            elif cut and size != less:
                total, blocks = grown.get(cut, (0, 0))
                grown[cut] = total + size - less, blocks + count - fewer
        return grown, imports

    def _freed_small(self, traces: Traces, blocks: int) -> int:
        """Bytes of small objects from before that were freed: so many blocks fewer there are than the traces say."""
        missing = 0 if self._nested else traces.small_blocks - blocks
        return missing * traces.small_bytes // traces.small_blocks if missing > BLOCKS_NOISE else 0


def _top(grown: Grown) -> list[Frames]:
    return sorted((frames for frames in grown if grown[frames][0] > 0), key=lambda frames: -grown[frames][0])[:TOP]


def _texts(frames: Frames) -> tuple[str, ...]:
    return tuple(f"{file}:{line}" for file, line in frames)


def _heap_bytes() -> int:
    now = heap()
    return now.used_bytes if now else 0


def _arrow_bytes() -> int:
    """What Arrow's pool has given away; a pool on malloc is in malloc's books already."""
    arrow = sys.modules.get("pyarrow")
    pool = arrow.default_memory_pool() if arrow else None
    return pool.bytes_allocated() if pool and pool.backend_name != "system" else 0
