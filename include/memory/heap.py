"""malloc's own figures, of all its arenas, by glibc's `mallinfo2`; Python's small objects live elsewhere, in its pools."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass


@dataclass(frozen=True)
class Heap:
    """Bytes that malloc has given away, and bytes that it holds back for later."""

    used_bytes: int
    free_bytes: int


class _Info(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


try:
    _mallinfo2 = ctypes.CDLL(None).mallinfo2
    _mallinfo2.restype = _Info
except (AttributeError, OSError):  # another C library than glibc 2.33 or later
    _mallinfo2 = None


def heap() -> Heap | None:
    """The figures now, in some microseconds; None where the C library has none."""
    if _mallinfo2 is None:
        return None
    info = _mallinfo2()
    return Heap(info.uordblks + info.hblkhd, info.fordblks)
