"""A file of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, NamedTuple

import numpy as np

from include.ingest.errors import SourceChanged, SourceDamaged, SourceMissing, StorageAway
from include.ingest.source import Mark, OneFile, Spans

THREADS = min(4, os.cpu_count() or 1)  # that read one file


def storable(path: str) -> str:
    """The path; as a URL where its bytes are no UTF-8, which neither the ledger nor a log could hold."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return Path(path).absolute().as_uri()
    return path


class OpenFile(NamedTuple):
    """An open file that is read at places."""

    name: str
    handle: int
    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes."""
        data = os.pread(self.handle, length, offset)
        while len(data) < length:
            more = os.pread(self.handle, length - len(data), offset + len(data))
            if not more:
                raise self._shrunk(f"at byte {offset + len(data)}")
            data += more
        return data

    def read_into(self, window: np.ndarray, offset: int) -> None:
        """Fill the window."""
        done = 0
        while done < len(window):  # one call gives at most 2 GiB, and less when a share or a signal cuts it short
            more = os.preadv(self.handle, [window[done:].data], offset + done)
            if not more:
                raise self._shrunk(f"at byte {offset + done}")
            done += more

    def forget(self, offset: int, length: int) -> None:
        """The system's cache need not keep these bytes."""
        if hasattr(os, "posix_fadvise"):  # not on every system
            os.posix_fadvise(self.handle, offset, length, os.POSIX_FADV_DONTNEED)

    def _shrunk(self, where: str) -> SourceChanged:
        return SourceChanged(f"{self.name} ends {where}; it was longer when it was planned")


class LocalFile(OneFile):
    """A file that lies on this machine, or on a share that is mounted. `name` is what messages call it."""

    lanes = THREADS
    proves = False  # a file can be written twice within one tick of the clock

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self._name = name or storable(str(path))

    def __str__(self) -> str:
        return self._name

    def mark(self) -> Mark:
        """Its size, and what changes when it is written to or replaced: both times, and the inode.

        A copy that keeps the time of modification (`cp -p`, rsync) has another inode; a write in place that sets it
        back can't set the change time. Raises SourceMissing, StorageAway, or SourceDamaged where it is no file.
        """
        try:
            stat = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise SourceMissing(f"{self} is not there") from None
        except OSError as fault:
            raise StorageAway(f"{self} can't be read: {fault.strerror}") from fault
        if not S_ISREG(stat.st_mode):
            raise SourceDamaged(f"{self} is neither a file nor a folder: deliver a file")
        return Mark(stat.st_size, f"{stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}")

    def pinned(self, mark: Mark) -> LocalFile:
        """The same: a file is checked before and after."""
        return self

    @contextmanager
    def open(self) -> Iterator[OpenFile]:
        """To read at any place."""
        with self._open() as file:
            yield OpenFile(self._name, file.fileno(), os.fstat(file.fileno()).st_size)

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except PermissionError as fault:
            raise StorageAway(f"{self} can't be read: {fault.strerror}") from fault

    def ahead(self, spans: Spans) -> AbstractContextManager[OpenFile]:
        """To read in order: the system itself reads ahead."""
        return self.open()
