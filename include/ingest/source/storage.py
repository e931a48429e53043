"""How a run reaches its files: which storage a path or URL means, and where packed files are unpacked."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from include.ingest.errors import SourceMissing, SourceRefused
from include.ingest.source import File, Mark, Source, Stored
from include.ingest.source.joined_files import Joined
from include.ingest.source.listing import list_files, list_objects
from include.ingest.source.local import LocalFile, storable
from include.ingest.source.packed import NO_LIMIT, Limit, Unpacked, packing_of
from include.ingest.source.remote import Connect, RemoteFile
from include.roots import Roots, local_path

RUN_ID_LENGTH = 36  # of a UUID as text


def connect(url: str) -> tuple[Any, str]:
    """The file system of a URL without Airflow: keys are found as the storage's own tools find them."""
    from fsspec.core import url_to_fs

    # Also URLs are to be signed the new way, which botocore does not do in all regions.
    options = {"config_kwargs": {"signature_version": "s3v4"}} if url.startswith(("s3://", "s3a://")) else {}
    found: tuple[Any, str] = url_to_fs(url, **options)
    return found


@dataclass(frozen=True)
class Storage:
    """`connect` gives the file system of a URL; packed files are unpacked in `scratch`, made when it is needed.

    Where there are `roots`, nothing else is read. Each method that takes a path raises SourceRefused then.
    """

    scratch: Path | None = None  # a folder of the system's temporary one by default
    connect: Connect = connect
    roots: Roots | None = None  # None: whatever this process can read, as on a command line

    def check(self, path: str) -> None:
        """Raise SourceRefused for what may not be read, whether or not it is there."""
        refusal = self.roots.refusal(path) if self.roots else None
        if refusal:
            raise SourceRefused(refusal)

    def stored(self, path: str | Path) -> Stored:
        """The file of a path, or the object of a URL."""
        where = str(path)
        self.check(where)
        if where.startswith("file://"):
            return LocalFile(local_path(where), roots=self.roots)
        return RemoteFile(where, self.connect) if "://" in where else LocalFile(Path(where), roots=self.roots)

    def text(self, path: str | Path, mark: Mark, run_id: UUID, limit: Limit = NO_LIMIT) -> Source:
        """The plain text of the file with that mark; a packed one is unpacked when it is opened, for that run."""
        stored = self.stored(path).pinned(mark)
        packing = packing_of(stored)
        if packing is None:
            return stored
        name = hashlib.sha256(f"{path} {mark.size} {mark.version} {_boot()}".encode()).hexdigest()[:16]
        folder = self._folder()
        if self.scratch is None:
            _claim(folder)
        return Unpacked(stored, packing, folder / f"{run_id}-{name}", limit)

    def planned(self, name: str, files: Sequence[File], run_id: UUID) -> Source:
        """The text of a run's files, which together are called `name`."""
        if len(files) == 1:
            return self._planned(files[0], run_id)
        return Joined(name, files, lambda file: self._planned(file, run_id))

    def _planned(self, file: File, run_id: UUID) -> Source:
        return self.text(file.path, file.mark, run_id, Limit(file.size))

    def files(self, path: str) -> list[tuple[str, Mark]]:
        """The files that a path, a pattern or a folder means, in the order of their names. Raises SourceMissing."""
        self.check(path)
        found = list_files(path, self.roots) if "://" not in path else list_objects(path, self.connect)
        if found is None and path.startswith("file://") and local_path(path).is_dir():
            found = list_files(str(local_path(path)), self.roots)
        if found is None:
            return [(storable(path), self.stored(path).mark())]
        if not found:
            raise SourceMissing(f"{storable(path)}: no file is there")
        return [(storable(name), mark) for name, mark in sorted(found)]

    def forget(self, run_id: UUID) -> None:
        """Remove what the run has unpacked on this machine."""
        for file in self._folder().glob(f"{run_id}-*"):
            file.unlink(missing_ok=True)

    def unpacked(self) -> set[UUID]:
        """The runs of which something unpacked lies on this machine."""
        return {UUID(file.name[:RUN_ID_LENGTH]) for file in self._folder().glob(f"{'?' * RUN_ID_LENGTH}-*")}

    def _folder(self) -> Path:
        return self.scratch or Path(tempfile.gettempdir()) / f"millrace-ingest-{os.getuid()}"


LOCAL = Storage()


def scratch_of(environment: Mapping[str, str]) -> Path | None:
    """The folder for unpacked files below $MILLRACE_SCRATCH."""
    chosen = environment.get("MILLRACE_SCRATCH")
    return Path(chosen) / "ingest" if chosen else None


def place_of(text: str) -> Path | str:
    """A path, or a URL as it is."""
    return text if "://" in text else Path(text)


def _claim(folder: Path) -> None:
    """Make a folder where everybody may, and see that it is ours."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.lstat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; set $MILLRACE_SCRATCH to another folder")


def _boot() -> str:
    """Changes when the machine starts: what was being written when it stopped may have holes."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
