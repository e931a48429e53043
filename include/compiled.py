"""How the few loops that numpy and Arrow cannot do fast enough are compiled.

The first import of such a module takes from seconds to half a minute, and each later one loads what it made. So
`python -m include.compiled`, which `./run setup` calls, imports all of them, as many at once as there are processors.

An image has them compiled already, in $NUMBA_CACHE_DIR, which nobody may write there: numba unpickles what it finds, so
whoever can write to that folder runs code in every process that reads it.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# numba asks scipy for BLAS, which no loop here needs, and its import takes a sixth of the time of the ingest's.
if "scipy.linalg" not in sys.modules:
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]  # "can't be imported"
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules["scipy.linalg"]
from numba import njit, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator
from numba.core.typeinfer import register_dispatcher

FLAGS, BYTES = types.boolean[::1], types.uint8[::1]
INTS, DOUBLES = types.int64[::1], types.float64[::1]
TEXT: Any = types.Array(types.uint8, 1, "C", readonly=True)  # type: ignore[no-untyped-call]  # bytes that are only read
INT = types.int64

inlined: Callable[..., Any] = njit(inline="always")  # becomes part of each compiled function that calls it


def compiled(signature: Any, **more: Any) -> Callable[..., Any]:
    """Compile for one signature when the module is imported, or load what an earlier import compiled.

    Such a function makes no arrays. So references to arrays need no counting (_nrt), which took a sixth of the time.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False, **more}
    if not is_sealed():
        made: Callable[..., Any] = njit(signature, cache=True, **options)
        return made

    def read(function: Callable[..., Any]) -> Callable[..., Any]:
        dispatcher: Any = njit(**options)(function)
        dispatcher._cache = _Sealed(function)  # type: ignore[no-untyped-call]
        with register_dispatcher(dispatcher):  # as njit itself does once it is given a signature
            dispatcher.compile(signature)
        dispatcher.disable_compile()
        return dispatcher  # type: ignore[no-any-return]

    return read


def is_sealed() -> bool:
    """Whether compiled functions are only read: a folder is named for them, is there, and can't be written."""
    folder = os.environ.get("NUMBA_CACHE_DIR", "")
    return Path(folder).is_dir() and not os.access(folder, os.W_OK) if folder else False


class _Place(UserProvidedCacheLocator):
    """Where a function is in the sealed folder. numba's own way gives a folder up that it can't write to."""

    def ensure_cache_path(self) -> None:
        """Nothing is made."""


class _Reader(CompileResultCacheImpl):
    _locator_classes = [_Place]  # noqa: RUF012 (numba's own declaration)


class _Sealed(FunctionCache):
    """Loads what is there for this processor and this source; what is not is compiled into memory, and not kept."""

    _impl_class = _Reader

    def save_overload(self, sig: Any, data: Any) -> None:
        """Not kept: nothing may be written, and numba takes a refused write for an error."""


def main() -> int:
    """Compile every module that has a compiled function; 1 if one of them can't be imported."""
    here = Path(__file__).resolve()
    files = [file for file in here.parent.rglob("*.py") if file != here and "@compiled(" in file.read_text()]
    files.sort(key=lambda file: file.stat().st_size, reverse=True)  # the largest takes as long as all others together
    names = [".".join(file.relative_to(here.parents[1]).with_suffix("").parts) for file in files]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return int(any(pool.map(_import, names)))


def _import(module: str) -> int:
    return subprocess.run([sys.executable, "-c", f"import {module}"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
