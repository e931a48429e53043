"""Where sources and renditions lie: a folder, named by content, in which a file is whole or not there.

Keys are made here, never of what a user wrote: `source/ab/<sha256>` and `rendition/ab/<sha256>/<recipe>/<name>.<ext>`.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from include.images.errors import ImageError


class StoreFull(ImageError):
    """No room is left in the store."""

    code = "disk-full"


class FolderStore:
    """A store in a folder of a file system that has rename and fsync."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def source(self, digest: str) -> Path:
        """Where the source of that sha256 lies."""
        return self.root / "source" / digest[:2] / digest

    def rendition(self, digest: str, recipe: str, file: str) -> Path:
        """Where a rendition lies."""
        return self.root / "rendition" / digest[:2] / digest / recipe / file

    def scratch(self) -> Path:
        """A name for a file under way, on the same file system as what it becomes."""
        folder = self.root / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / secrets.token_hex(16)

    def keep(self, fresh: Path, place: Path) -> None:
        """Give a finished file its lasting name, on disk before this returns. Raises StoreFull."""
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("rb") as file:
                os.fsync(file.fileno())
            fresh.replace(place)
            _sync_folder(place.parent)
        except OSError as fault:
            raise full(fault) from fault

    def drop_source(self, digest: str) -> None:
        """Remove a source and everything made of it."""
        self.source(digest).unlink(missing_ok=True)
        folder = self.root / "rendition" / digest[:2] / digest
        for file in sorted(folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink(missing_ok=True)
        if folder.is_dir():
            folder.rmdir()


def full(fault: OSError) -> Exception:
    """StoreFull for a full disk or quota, the fault itself otherwise."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull("the image store is full")
    return fault


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
