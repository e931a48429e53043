"""What tracemalloc knows, added up by traceback; and the tracing itself, which several may want at once."""

from __future__ import annotations

import threading
import tracemalloc
from dataclasses import dataclass, field

from include.memory.inside.cpython import Frames, Raw

FRAMES = 25
SMALL_BYTES = 512  # Python's own pools give these; malloc gives the larger
SAMPLED_BYTES = 4_096
SAMPLED = 10_000


@dataclass
class Traces:
    """Bytes and blocks by traceback; bytes and blocks of small allocations, bytes of the others."""

    totals: dict[Frames, tuple[int, int]] = field(default_factory=dict)
    small_bytes: int = 0
    small_blocks: int = 0
    large_bytes: int = 0


def add_up(raw: Raw) -> Traces:
    """All of them. While tracing, this takes ten times longer: 20 µs a trace."""
    found = Traces()
    _add(found, raw, 1)
    return found


def estimate(raw: Raw) -> Traces:
    """From the larger ones and a sample of the others, for when tracing has to go on."""
    found = Traces()
    _add(found, [trace for trace in raw if trace[1] >= SAMPLED_BYTES], 1)
    others = [trace for trace in raw if trace[1] < SAMPLED_BYTES]
    every = max(1, len(others) // SAMPLED)
    _add(found, others[::every], every)
    return found


def _add(found: Traces, raw: Raw, times: int) -> None:
    grouped: dict[int, tuple[Frames, int, int]] = {}  # a traceback is one object for all its traces
    for _, size, frames, *_ in raw:
        _, total, count = grouped.get(id(frames), (frames, 0, 0))
        grouped[id(frames)] = frames, total + size * times, count + times
        if size > SMALL_BYTES:
            found.large_bytes += size * times
        else:
            found.small_bytes, found.small_blocks = found.small_bytes + size * times, found.small_blocks + times
    for frames, size, count in grouped.values():
        before = found.totals.get(frames, (0, 0))
        found.totals[frames] = before[0] + size, before[1] + count


class Tracing:
    """Allocations are traced while at least one wants it; a tracing that the program began itself is left alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted, self._own = 0, False

    def begin(self) -> None:
        """One more wants it."""
        with self._lock:
            self._wanted += 1
            if not tracemalloc.is_tracing():
                self._own = True
                tracemalloc.start(FRAMES)

    def end(self) -> None:
        """One less."""
        with self._lock:
            self._wanted -= 1
            if self._own and not self._wanted:
                self._own = False
                tracemalloc.stop()
