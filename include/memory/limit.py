"""The memory that the machine's control group allows."""

from __future__ import annotations

from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def cgroup_limit(root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Bytes, the least limit of this process's group and those above it (version 2); None where there is none."""
    try:
        path = next(line[3:] for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return None
    group = root / path.strip().lstrip("/")
    limits = []
    for folder in (group, *group.parents):
        if root not in (folder, *folder.parents):
            break
        try:
            text = (folder / "memory.max").read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(float(text))
    return min(limits, default=None)
