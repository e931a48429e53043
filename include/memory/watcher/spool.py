"""What waits on this machine for the warehouse: small JSON files, so that an outage of the database loses nothing.

`put` writes a file whole or not at all, from any process of the user. `waiting` lists them, the oldest first; who has
brought one to the warehouse removes it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from include.memory.watcher import exchange

MOST_BYTES = 200_000_000  # some days of twenty processes; then the oldest go


def folder_of(folder: Path | None = None) -> Path:
    """The spool's folder, within the agents' private one."""
    return (folder or exchange.default_folder()) / "spool"


def put(kind: str, content: dict[str, Any], folder: Path | None = None) -> Path:
    """Keep a record until it is brought away; `kind` is its first word, as in `task` or `samples`."""
    exchange.make_private(folder or exchange.default_folder())
    spool = folder_of(folder)
    spool.mkdir(mode=0o700, exist_ok=True)
    file = spool / f"{time.time_ns():020d}.{os.urandom(4).hex()}.{kind}"
    exchange.write(file, content)
    return file


def waiting(folder: Path | None = None) -> list[Path]:
    """The files that wait, the oldest first. A file's suffix tells its kind."""
    try:
        return sorted(file for file in folder_of(folder).iterdir() if not file.name.startswith("."))
    except FileNotFoundError:
        return []


def bound(folder: Path | None = None, most_bytes: int = MOST_BYTES) -> int:
    """Remove the oldest files until the rest takes no more than that. Returns how many went."""
    sizes = [(file, file.lstat().st_size) for file in waiting(folder)]
    total, gone = sum(size for _, size in sizes), 0
    for file, size in sizes:
        if total <= most_bytes:
            break
        file.unlink(missing_ok=True)
        total, gone = total - size, gone + 1
    return gone
