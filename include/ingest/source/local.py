"""A file of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, NamedTuple

import numpy as np

from include.ingest.errors import SourceChanged, SourceDamaged, SourceMissing, SourceRefused, StorageAway
from include.ingest.source import Mark, OneFile, Spans
from include.roots import Roots

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
    """A file that lies on this machine, or on a share that is mounted. `name` is what messages call it.

    With `roots`, it is read only where it really lies below them.
    """

    lanes = THREADS
    proves = False  # a file can be written twice within one tick of the clock

    def __init__(self, path: Path, name: str | None = None, roots: Roots | None = None) -> None:
        self.path, self._roots = path, roots
        self._name = name or storable(str(path))

    def __str__(self) -> str:
        return self._name

    def mark(self) -> Mark:
        """Its size, and what changes when it is written to or replaced: both times, and the inode.

        A copy that keeps the time of modification (`cp -p`, rsync) has another inode; a write in place that sets it
        back can't set the change time. Raises SourceMissing, StorageAway, SourceRefused, or SourceDamaged where it is
        no file.
        """
        if self._roots:  # before anything is looked at: what is not to be read is not told of either
            _raise(self._roots.refusal_of_file(self.path, str(self)))
        try:
            stat = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise SourceMissing(f"{self} is not there") from None
        except OSError as fault:
            raise StorageAway(f"{self} can't be read: {fault.strerror}") from fault
        self._check_kind(stat)
        return Mark(stat.st_size, f"{stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}")

    def pinned(self, mark: Mark) -> LocalFile:
        """The same: a file is checked before and after."""
        return self

    @contextmanager
    def open(self) -> Iterator[OpenFile]:
        """To read at any place."""
        with self._open() as file:
            found = os.fstat(file.fileno())
            self._check_kind(found)
            if self._roots:  # the open file, as a path may lead elsewhere than when it was looked at
                _raise(self._roots.refusal_of_open(file.fileno(), str(self)))
            yield OpenFile(self._name, file.fileno(), found.st_size)

    def _open(self) -> BinaryIO:
        try:
            # By its real path: one that leads through /proc could lead out of what this process calls its folders.
            return open(os.path.realpath(self.path) if self._roots else self.path, "rb", opener=_at_once)
        except PermissionError as fault:
            raise StorageAway(f"{self} can't be read: {fault.strerror}") from fault

    def _check_kind(self, found: os.stat_result) -> None:
        if not S_ISREG(found.st_mode):
            raise SourceDamaged(f"{self} is neither a file nor a folder: deliver a file")

    def ahead(self, spans: Spans) -> AbstractContextManager[OpenFile]:
        """To read in order: the system itself reads ahead."""
        return self.open()


def _at_once(path: str, flags: int) -> int:
    """Open without waiting: a pipe that took a file's place would hold the task for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


def _raise(refusal: str | None) -> None:
    if refusal:
        raise SourceRefused(refusal)
