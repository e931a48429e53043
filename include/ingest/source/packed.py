"""A packed file as a plain one: it is unpacked into the scratch folder, once on each machine that reads it.

The pass over a file needs its bytes more than once, at any place. What is packed as one stream can't be entered in the
middle, so it is unpacked once, and all that follows reads plain bytes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from include.ingest.errors import ScratchFull, UnpackedTooLarge
from include.ingest.source import OneFile, Opened, Spans, Stored
from include.ingest.source.file_signatures import HEAD_BYTES, check_stored
from include.ingest.source.gzipped import gunzip
from include.ingest.source.local import THREADS, LocalFile
from include.ingest.source.packed_bytes import Feed
from include.ingest.source.zstandard import unzstd

AHEAD_PIECES = 2  # unpacked while one is written: more would only be held in memory
LEFTOVER_SECONDS = 86_400  # a file that nobody has opened for so long belongs to a run that died
RATIO_FROM_BYTES = 64 << 20  # a small file of one repeated row is no bomb

Unpack = Callable[[Feed], Iterator[bytes]]

PACKINGS: dict[bytes, Unpack] = {
    b"\x1f\x8b": gunzip,
    b"\x28\xb5\x2f\xfd": unzstd,
    **{bytes([0x50 + number]) + b"\x2a\x4d\x18": unzstd for number in range(16)},  # begins with a frame to be skipped
}


@dataclass(frozen=True)
class Limit:
    """The most that a packed file may hold: so many bytes, and so many times its own size. None: no limit."""

    bytes: int | None = None
    ratio: float | None = None

    def check(self, name: str, packed: int, plain: int) -> None:
        """Raise UnpackedTooLarge where so many bytes out of so many are too much."""
        if self.bytes is not None and plain > self.bytes:
            over = f"{self.bytes:,} bytes (unpack_limit.bytes)"
        elif self.ratio is not None and plain > max(RATIO_FROM_BYTES, self.ratio * packed):
            over = f"{self.ratio:g} times its own size (unpack_limit.ratio)"
        else:
            return
        raise UnpackedTooLarge(
            f"{name} holds more than {over}: its first {packed:,} bytes are {plain:,} unpacked. If the file is right,"
            " raise the limit in the dataset file"
        )


NO_LIMIT = Limit()


def packing_of(stored: Stored) -> Unpack | None:
    """How a file is packed, by its first bytes, whatever it is called; None: not at all.

    Raises SourceDamaged where it is packed in a way that is not read here.
    """
    with stored.open() as opened:
        head = opened.read(0, min(HEAD_BYTES, opened.size))
    check_stored(str(stored), head)
    return next((unpack for magic, unpack in PACKINGS.items() if head.startswith(magic)), None)


class Unpacked(OneFile):
    """The text of a packed file. It is unpacked at the first use; `file` holds it then."""

    lanes = THREADS

    def __init__(self, stored: Stored, unpack: Unpack, file: Path, limit: Limit) -> None:
        self._stored, self._unpack, self._file, self._limit = stored, unpack, file, limit

    def __str__(self) -> str:
        return str(self._stored)

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """To read at any place."""
        while True:
            self._make()
            with suppress(FileNotFoundError):  # removed between the two, by somebody who tidies up
                text = LocalFile(self._file, f"{self} (unpacked)").open()
                opened = text.__enter__()
                break
        try:
            yield opened
        finally:
            text.__exit__(None, None, None)

    def ahead(self, spans: Spans) -> AbstractContextManager[Opened]:
        """To read in order."""
        return self.open()

    def _make(self) -> None:
        """Unpack the file unless it is there. Who comes second waits for the first."""
        with suppress(FileNotFoundError):
            os.utime(self._file)
            return
        folder = self._file.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / f"{self._file.name}.lock").open("wb") as lock:
            # The kernel gives it back if this process dies, so that a file with nobody's lock is never waited for.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._file.exists():
                return
            _remove_leftovers(folder)
            part = folder / f"{self._file.name}.{secrets.token_hex(4)}.part"
            try:
                self._write(part)
                part.replace(self._file)
            except OSError as fault:
                if fault.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise ScratchFull(
                    f"{folder} has no room for {self} unpacked: free some space there, or name another folder in"
                    " $MILLRACE_SCRATCH"
                ) from fault
            finally:
                part.unlink(missing_ok=True)

    def _write(self, part: Path) -> None:
        with self._stored.open() as opened:
            size = opened.size
        with self._stored.ahead([(0, size)]) as opened, part.open("xb", buffering=0) as out:
            for piece in _made_ahead(self._pieces(Feed(str(self), opened))):
                view = memoryview(piece)
                while view:
                    view = view[out.write(view) :]

    def _pieces(self, feed: Feed) -> Iterator[bytes]:
        for piece in self._unpack(feed):
            feed.plain += len(piece)
            self._limit.check(feed.name, feed.packed, feed.plain)
            yield piece


def _made_ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces; the next ones are made while one is written."""
    with ThreadPoolExecutor(1) as pool:
        made = deque(pool.submit(next, pieces, None) for _ in range(AHEAD_PIECES))
        while (piece := made.popleft().result()) is not None:
            made.append(pool.submit(next, pieces, None))
            yield piece


def _remove_leftovers(folder: Path) -> None:
    """Remove what runs that died left here."""
    before = time.time() - LEFTOVER_SECONDS
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            if file.is_file() and file.stat().st_mtime < before:
                file.unlink()
