"""A copy of the repository that mutants are planted in: the files of the clone are never touched."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = (
    "include",
    "tests",
    "fuzz",
    "stack",
    "dags",
    "samples",
    "config",
    "deploy",
    "docs",
    "README.md",
    "pyproject.toml",
)


def copy_tree(source: Path, target: Path) -> None:
    """Copy what tests need, with the times of the files, by which compiled code knows that it is up to date."""
    target.mkdir()
    for name in PARTS:
        part = source / name
        if part.is_dir():
            shutil.copytree(part, target / name)
        elif part.exists():
            shutil.copy2(part, target / name)


@contextlib.contextmanager
def planted(file: Path, text: bytes) -> Iterator[None]:
    """The file holds `text` for a while; what was compiled of it is put aside, and stands there again afterwards."""
    kept = [(path, path.read_bytes(), path.stat()) for path in (file, *_compiled(file))]
    for path in _compiled(file):
        path.unlink()
    file.write_bytes(text)
    try:
        yield
    finally:
        for path in _compiled(file):
            path.unlink()
        for path, data, stat in kept:
            path.write_bytes(data)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _compiled(file: Path) -> list[Path]:
    """What Python and numba made of it."""
    found = file.parent.glob(f"__pycache__/{file.stem}.*")
    return [path for path in found if path.is_file()]
