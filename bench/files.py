"""The files of the benchmark, made once in `.millrace/bench/files/` and used again while size and seed are the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from samples.orders import Shape, rows_for, write
from stack.errors import StackError

SEED = 42
# What each file is for; the dirty ones go to Millrace, the clean ones to the peers, who die at a bad row.
FORMS: dict[str, dict[str, float]] = {
    "dirty": {"duplicates": 0.02, "bad": 0.001},
    "clean": {"duplicates": 0.02, "bad": 0.0},
    "unique": {"duplicates": 0.0, "bad": 0.0},
    "second-dirty": {"duplicates": 0.02, "bad": 0.001, "changed": 0.1, "new": 0.01},
    "second-clean": {"duplicates": 0.02, "bad": 0.0, "changed": 0.1, "new": 0.01},
}


@dataclass(frozen=True)
class File:
    """An orders file and what it holds."""

    path: Path
    bytes: int
    rows: int
    bad: int

    @property
    def megabytes(self) -> float:
        """Size in MB (10^6 bytes)."""
        return self.bytes / 1e6

    def warm(self) -> None:
        """Read it once, so that it is in the system's cache as far as it fits."""
        with self.path.open("rb", buffering=0) as file:
            while file.read(8 << 20):
                pass


def make(folder: Path, megabytes: float, forms: Iterable[str]) -> dict[str, File]:
    """The files of that size, made where they miss. Raises StackError when the disk has no room for them."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {form: folder / f"orders-{megabytes:g}mb-{SEED}-{form}.csv" for form in forms}
    missing = [form for form, path in wanted.items() if not path.with_suffix(".json").exists()]
    needed, free = len(missing) * megabytes * 1.02e6 + 2e9, shutil.disk_usage(folder).free
    if missing and free < needed:
        raise StackError(f"disk full: {needed / 1e9:.0f} GB are needed in {folder}, {free / 1e9:.0f} GB are free")
    rows = rows_for(megabytes * 1e6)
    with ProcessPoolExecutor(min(len(missing), os.cpu_count() or 1) or 1) as pool:
        shapes = [Shape(rows, SEED, **FORMS[form]) for form in missing]  # type: ignore[arg-type]
        list(pool.map(_make, [wanted[form] for form in missing], shapes))
    return {form: _read(path) for form, path in wanted.items()}


def _make(path: Path, shape: Shape) -> None:
    with path.open("wb") as out:
        held = write(out, shape)
    path.with_suffix(".json").write_text(json.dumps({**held, "shape": asdict(shape)}))


def _read(path: Path) -> File:
    held = json.loads(path.with_suffix(".json").read_text())
    return File(path, held["bytes"], held["rows"], held["bad"])
