"""malloc's own figures, of all its arenas, by glibc's `mallinfo2`; Python's small objects live elsewhere, in its
pools.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast


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


def _find() -> Callable[[], _Info] | None:
    try:
        found = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):  # another C library than glibc 2.33 or later
        return None
    found.restype = _Info
    return cast(Callable[[], _Info], found)


_mallinfo2 = _find()


def heap() -> Heap | None:
    """The figures now, in some microseconds; None where the C library has none."""
    if _mallinfo2 is None:
        return None
    info = _mallinfo2()
    return Heap(info.uordblks + info.hblkhd, info.fordblks)
