"""What a process may take: a chosen limit, or what its control group leaves to it."""

from __future__ import annotations

import os
from pathlib import Path

from include.memory.watcher.sample import PROC

CGROUPS = Path("/sys/fs/cgroup")
CHOSEN = "MILLRACE_MEMORY_LIMIT_MB"


def limit_of(pid: int, used_bytes: int, *, root: Path = CGROUPS, proc: Path = PROC) -> int | None:
    """Bytes that a process may have in use: $MILLRACE_MEMORY_LIMIT_MB, or the least limit of its group and those above
    (version 2), less what the others in the group use. None where nothing limits it.
    """
    chosen = os.environ.get(CHOSEN)
    if chosen:
        return int(float(chosen) * 1e6)
    limits = [
        limit - max(0, _anonymous(folder) - used_bytes)
        for folder in _groups(pid, root, proc)
        if (limit := _number(folder / "memory.max")) is not None
    ]
    return min(limits, default=None)


def _groups(pid: int, root: Path, proc: Path) -> list[Path]:
    """The folders of the process's group and of those above."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return []
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    if path is None:
        return []
    group = root / path.strip().lstrip("/")
    return [folder for folder in (group, *group.parents) if root in (folder, *folder.parents)]


def _anonymous(group: Path) -> int:
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("anon ")), 0)


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # else it is "max"
