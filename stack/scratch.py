"""Folders for servers whose data need not survive: in memory where there is room, as each test makes a database."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 4 << 30  # that the disk in memory must have free


def scratch_folder(prefix: str) -> Path:
    """A new folder that other users may enter, as PostgreSQL runs as one of them where this one is root."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=scratch_place()))
    folder.chmod(0o755)
    return folder


def scratch_place() -> Path | None:
    """The disk in memory, or None for the usual place of temporary files."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= NEEDED_BYTES:
        return MEMORY
    return None
