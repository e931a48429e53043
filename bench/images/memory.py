"""Memory of a few processes: the peak of the resident set as the kernel keeps it, the proportional set by sampling."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

from bench.measure import pss_bytes

EVERY_SECONDS = 0.25
RESET_PEAK = "5"  # what /proc/<pid>/clear_refs takes for this


def rss_bytes(pid: int, field: str = "VmRSS") -> int:
    """Resident bytes now (VmRSS) or at most (VmHWM); 0 when the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return 0


class MemoryWatch:
    """From `with` to its end: what the processes held at first and at most. PSS is None when it can't be read."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> MemoryWatch:
        for pid in self._pids:
            Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
        self.first_rss = sum(map(rss_bytes, self._pids))
        self.peak_pss = self._pss()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        self.peak_rss = sum(rss_bytes(pid, "VmHWM") for pid in self._pids)

    def _loop(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            now = self._pss()
            if now is not None and self.peak_pss is not None:
                self.peak_pss = max(self.peak_pss, now)

    def _pss(self) -> int | None:
        found = [pss_bytes(pid) for pid in self._pids]
        return None if None in found else sum(value or 0 for value in found)
