"""What a piece of work keeps: the memory that it allocated and that is still there, after a collection.

Python's allocations are traced meanwhile, and so known to the byte, with the line; the resident size is not asked,
which rises and falls by pages for reasons of its own. C libraries that do not tell Python what they allocate are judged
by malloc's books, which are true to some ten kB, so that counts from 0.2 MB on. Arrow keeps books of its own.

What was there before and was let go of meanwhile (a cache entry that was replaced) is credited in the same way: large
objects by malloc's books, small ones by Python's count of blocks. Modules that are imported meanwhile stay for good,
once, and do not count; neither do C libraries then, as theirs cannot be told apart. All threads are measured together.
"""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import _bootstrap
from types import FrameType

from include.memory.census import Census, GrowingType, growing_types
from include.memory.heap import heap
from include.memory.made import holders, within
from include.memory.window import Frames, Line

FRAMES = 25
SMALL_BYTES = 512  # Python's own pools give these; malloc gives the larger
HEAP_NOISE_BYTES = 200_000  # measured: 25 kB
BLOCKS_NOISE = 1_000
TOP = 5
_finder = vars(_bootstrap)["_find_and_load"].__code__
IMPORTING = {(_finder.co_filename, line) for *_, line in _finder.co_lines() if line}


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
    types: tuple[GrowingType, ...] = ()
    fault: str | None = None

    @property
    def total_bytes(self) -> int:
        """What counts."""
        return max(0, self.made_bytes - self.freed_bytes) + self.native_bytes + self.arrow_bytes


@dataclass
class Traces:
    """What tracing knows at one moment: bytes and blocks by traceback, and how many of them are small."""

    totals: dict[Frames, tuple[int, int]] = field(default_factory=dict)
    small_bytes: int = 0
    small_blocks: int = 0
    large_bytes: int = 0


class Meter:
    """Measures from its making to `read`. One that begins while allocations are traced already, by another or by the
    program, tells nothing of C libraries, and credits only what was traced.
    """

    def __init__(self) -> None:
        gc.collect()
        self._nested = tracemalloc.is_tracing()
        self._in_import = not IMPORTING.isdisjoint(_stack())
        self._types = Counter(map(type, gc.get_objects()))
        self._before = _traces() if self._nested else Traces()
        self._arrow, self._heap, self._blocks = _arrow_bytes(), _heap_bytes(), sys.getallocatedblocks()
        self._tracing = True
        _tracing.enter()

    def read(self, most_bytes: int) -> Kept:
        """What was kept since; where it is more than that, also what it is. Ends the measuring."""
        gc.collect()
        blocks, arrow = sys.getallocatedblocks() - self._blocks, _arrow_bytes() - self._arrow
        if not tracemalloc.is_tracing():
            return Kept(0, 0, 0, 0, 0, fault="somebody stopped the tracing of allocations meanwhile")
        types = Counter(map(type, gc.get_objects()))
        suspect = tracemalloc.get_traced_memory()[0] > most_bytes
        traces = _traces(then=None if suspect else self.stop)
        grown, import_bytes = self._grown(traces)
        made_bytes = max(0, sum(size for size, _ in grown.values()))
        freed = 0 if self._nested else _freed_small(traces, blocks)
        top = [frames for frames in sorted(grown, key=lambda frames: -grown[frames][0])[:TOP] if grown[frames][0] > 0]
        held: tuple[str | None, ...] = ()
        if made_bytes - freed > most_bytes:
            held = holders([frames for frames in top if grown[frames][0] * TOP * 2 > made_bytes], self.stop)
        self.stop()
        beyond = 0 if self._nested or tracemalloc.is_tracing() else _heap_bytes() - self._heap - traces.large_bytes
        native = beyond if beyond > HEAP_NOISE_BYTES else 0
        freed += -beyond if -beyond > HEAP_NOISE_BYTES else 0
        if import_bytes > HEAP_NOISE_BYTES:
            native, import_bytes = 0, import_bytes + native
        return Kept(
            made_bytes, freed, native, max(0, arrow), import_bytes, holders=held,
            lines=tuple(Line(_texts(frames), *grown[frames], 1) for frames in top),
            types=tuple(growing for _, growing in growing_types(Census(self._types), Census(types), TOP)),
        )  # fmt: skip

    def stop(self) -> None:
        """End the measuring; once more is the same."""
        if self._tracing:
            self._tracing = False
            _tracing.leave()

    def _grown(self, traces: Traces) -> tuple[dict[Frames, tuple[int, int]], int]:
        """Bytes and blocks that each traceback has more than before, and the bytes of imports."""
        grown: dict[Frames, tuple[int, int]] = {}
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


class _Tracing:
    """Traces while at least one meter runs, unless the program traces itself."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.meters, self.own = 0, False

    def enter(self) -> None:
        with self.lock:
            self.meters += 1
            if not tracemalloc.is_tracing():
                self.own = True
                tracemalloc.start(FRAMES)

    def leave(self) -> None:
        with self.lock:
            self.meters -= 1
            if self.own and not self.meters:
                self.own = False
                tracemalloc.stop()


_tracing = _Tracing()


def _traces(then: Callable[[], None] | None = None) -> Traces:
    """What is traced now; `then` is called before it is counted up, which takes ten times longer while tracing."""
    traces = tracemalloc.take_snapshot().traces._traces  # type: ignore[attr-defined]
    if then:
        then()
    found = Traces()
    grouped: dict[int, tuple[Frames, int, int]] = {}  # a traceback is one object for all its traces
    for _, size, frames, *_ in traces:
        _, total, count = grouped.get(id(frames), (frames, 0, 0))
        grouped[id(frames)] = frames, total + size, count + 1
        if size > SMALL_BYTES:
            found.large_bytes += size
        else:
            found.small_bytes, found.small_blocks = found.small_bytes + size, found.small_blocks + 1
    for frames, size, count in grouped.values():
        before = found.totals.get(frames, (0, 0))
        found.totals[frames] = before[0] + size, before[1] + count
    return found


def _freed_small(traces: Traces, blocks: int) -> int:
    """Bytes of small objects from before that were freed: so many blocks fewer there are than the traces say."""
    missing = traces.small_blocks - blocks
    return missing * traces.small_bytes // traces.small_blocks if missing > BLOCKS_NOISE else 0


def _texts(frames: Frames) -> tuple[str, ...]:
    return tuple(f"{file}:{line}" for file, line in frames)


def _stack() -> Iterator[tuple[str, int]]:
    frame: FrameType | None = sys._getframe(1)
    while frame:
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back


def _heap_bytes() -> int:
    now = heap()
    return now.used_bytes if now else 0


def _arrow_bytes() -> int:
    """What Arrow's pool has given away; a pool on malloc is in malloc's books already."""
    arrow = sys.modules.get("pyarrow")
    pool = arrow.default_memory_pool() if arrow else None
    return pool.bytes_allocated() if pool and pool.backend_name != "system" else 0
