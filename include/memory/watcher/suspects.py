"""Which processes are suspected, as the warehouse said last: their counters are taken after a collection."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from include.memory.errors import MemoryAuditError
from include.memory.watcher import exchange
from include.memory.watcher.sample import Incarnation

FILE = "suspects.json"


def write(folder: Path, suspects: Iterable[Incarnation]) -> None:
    """Keep them for this machine's watcher."""
    exchange.write(folder / FILE, {"suspects": [[one.host, one.pid, one.start_ticks] for one in suspects]})


def read(folder: Path) -> set[Incarnation]:
    """Those that were kept last."""
    try:
        kept = json.loads(exchange.read(folder / FILE, (os.getuid(),)))["suspects"]
    except (OSError, MemoryAuditError, ValueError, KeyError):
        return set()
    return {Incarnation(*one) for one in kept}
