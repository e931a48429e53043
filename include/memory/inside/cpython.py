"""What is taken from inside CPython, which promises nothing of it. `tests/memory/test_cpython.py` says for each Python
whether it still holds; nothing else here looks past what the interpreter documents.
"""

from __future__ import annotations

import ctypes
import sys
import tracemalloc
from _tracemalloc import _get_object_traceback
from collections.abc import Iterator, Sequence
from importlib import _bootstrap
from types import FrameType
from typing import Any

Frames = tuple[tuple[str, int], ...]  # file and line, innermost first
Raw = Sequence[Any]  # domain, size in bytes, frames, length of the traceback

_MANAGED_DICT = 1 << 4  # Py_TPFLAGS_MANAGED_DICT
_MANAGED_HEAD_BYTES = 32  # before such an object, from its block's beginning
_flags_of = type.__dict__["__flags__"].__get__
_traceback_at = ctypes.pythonapi._PyTraceMalloc_GetTraceback
_traceback_at.argtypes, _traceback_at.restype = (ctypes.c_uint, ctypes.c_size_t), ctypes.py_object

_finder = vars(_bootstrap)["_find_and_load"].__code__
IMPORTING = {(_finder.co_filename, line) for *_, line in _finder.co_lines() if line}
"""The frames of which one stands on the stack while a module is imported."""


def stack() -> Iterator[tuple[str, int]]:
    """File and line of each frame, from the caller on."""
    frame: FrameType | None = sys._getframe(1)
    while frame:
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back


def traces_of(snapshot: tracemalloc.Snapshot) -> Raw:
    """The traces of a snapshot, as they are: its own way makes an object of each."""
    found: Raw = snapshot.traces._traces  # type: ignore[attr-defined]
    return found


def all_traces() -> Raw:
    """All traces of tracemalloc now."""
    return tuple(traces_of(tracemalloc.take_snapshot()))


def allocated_at(one: Any) -> Frames | None:
    """Where an object was allocated, while allocations are traced; None where it was not traced.

    Python 3.11 does not find it for instances of plain classes: their block begins before the object.
    """
    raw: Any = _get_object_traceback(one)
    if raw is None and sys.version_info < (3, 12) and _flags_of(type(one)) & _MANAGED_DICT:
        raw = _traceback_at(0, id(one) - _MANAGED_HEAD_BYTES)
    return None if raw is None else tuple(raw)
