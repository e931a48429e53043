"""Memory limits of hosts, by the kernel's control groups: of version 2, or of version 1 where that has the memory."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
# The shell enters the group, then becomes the command: whatever that starts is in it as well.
ENTER = 'echo $$ > "$0" && exec "$@"'


class Limits:
    """The groups of one cluster, known by its state folder. Where none can be made, commands run without."""

    def __init__(self, state: Path) -> None:
        digest = hashlib.sha256(str(state).encode()).hexdigest()[:8]
        self._made: list[Path] = []
        self.name = f"millrace-{digest}"
        self.fault = ""

    def enclose(self, host: str, bytes_: int, command: Sequence[str]) -> list[str]:
        """The command so that it enters the host's group first; as it is, and `fault` says why, if that can't be."""
        try:
            group, limit = _parent(self.name + f"-{host}")
            group.mkdir(exist_ok=True)
            self._made.append(group)
            (group / limit).write_text(str(bytes_))
        except OSError as fault:
            self.fault = str(fault)
            return list(command)
        return ["sh", "-c", ENTER, str(group / "cgroup.procs"), *command]

    def close(self) -> None:
        """Remove the groups, whose processes have ended."""
        for group in self._made:
            with contextlib.suppress(OSError):
                group.rmdir()


def _parent(name: str) -> tuple[Path, str]:
    """Where a group of that name belongs, and the name of its limit. Raises OSError where memory can't be limited."""
    if (GROUPS / "memory" / "memory.limit_in_bytes").exists():
        return GROUPS / "memory" / name, "memory.limit_in_bytes"
    if "memory" not in (GROUPS / "cgroup.subtree_control").read_text().split():
        (GROUPS / "cgroup.subtree_control").write_text("+memory")
    return GROUPS / name, "memory.max"
