"""How the few loops that numpy and Arrow cannot do fast enough are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit, types

FLAGS, BYTES = types.boolean[::1], types.uint8[::1]
INTS, DOUBLES = types.int64[::1], types.float64[::1]
TEXT: Any = types.Array(types.uint8, 1, "C", readonly=True)  # type: ignore[no-untyped-call]  # bytes that are only read
INT = types.int64

inlined: Callable[..., Any] = njit(inline="always")  # becomes part of each compiled function that calls it


def compiled(signature: Any, **more: Any) -> Callable[..., Any]:
    """Compile for one signature when the module is imported, or load what an earlier import compiled.

    Such a function makes no arrays. So references to arrays need no counting (_nrt), which took a sixth of the time.
    """
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False, **more}
    made: Callable[..., Any] = njit(signature, **options)
    return made
