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


def size_name(megabytes: float) -> str:
    """5 GB, 200 MB."""
    return f"{megabytes / 1000:.2g} GB" if megabytes >= 950 else f"{megabytes:.0f} MB"


def make(folder: Path, megabytes: float, forms: Iterable[str]) -> dict[str, File]:
    """The files of that size, made where they miss. Raises StackError when the disk has no room for them."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {form: folder / f"orders-{megabytes:g}mb-{SEED}-{form}.csv" for form in forms}
    missing = [form for form, path in wanted.items() if not path.with_suffix(".json").exists()]
    needed, free = len(missing) * megabytes * 1.02e6 + 2e9, shutil.disk_usage(folder).free
    if missing and free < needed:
        raise StackError(f"disk full: {needed / 1e9:.0f} GB are needed in {folder}, {free / 1e9:.0f} GB are free")
    with ProcessPoolExecutor(min(len(missing), os.cpu_count() or 1) or 1) as pool:
        shapes = [Shape(rows_for(megabytes * 1e6), SEED, **FORMS[form]) for form in missing]  # type: ignore[arg-type]
        list(pool.map(make_one, [wanted[form] for form in missing], shapes))
    return {form: make_one(path) for form, path in wanted.items()}


def make_one(path: Path, shape: Shape | None = None) -> File:
    """The file, made from its shape where it misses."""
    told = path.with_suffix(".json")
    if shape and not told.exists():
        with path.open("wb") as out:
            held = write(out, shape)
        told.write_text(json.dumps({**held, "shape": asdict(shape)}))
    found = json.loads(told.read_text())
    return File(path, found["bytes"], found["rows"], found["bad"])
