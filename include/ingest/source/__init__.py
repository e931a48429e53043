"""Where a file's plain text is read from, by byte ranges: a file of this machine, an object of a storage, or a packed
one of either kind, which is unpacked into the scratch folder first.

`storage.Storage` finds the source of a path or URL; the rest of the ingest knows only what stands here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np

Range = tuple[int, int, int]  # first byte and end of records, and the line of the first
Spans = Sequence[tuple[int, int]]  # first byte and end of each, ascending


class Mark(NamedTuple):
    """What tells a stored file from the one that takes its place: its bytes, and a time or tag that changes."""

    size: int
    version: str


class File(NamedTuple):
    """A file of a run, as it was planned."""

    path: str  # or URL
    mark: Mark
    digest: str  # of its text
    offset: int  # of its text in that of all files
    size: int  # of its text
    data_offset: int  # of its first record, in its own text
    data_line: int
    data_end: int | None = None  # where its last record ends, in its own text; None: with the text

    @property
    def end(self) -> int:
        """Where its text ends in that of all files."""
        return self.offset + self.size


def files_of(plan: dict[str, Any]) -> tuple[File, ...]:
    """The files of a plan as the ledger has it; older plans know one local file."""
    if "files" not in plan:
        mark = Mark(plan["size"], str(plan["modified_ns"]))
        return (File(plan["path"], mark, "", 0, plan["size"], 0, 1),)
    return tuple(File(path, Mark(*mark), *rest) for path, mark, *rest in plan["files"])


class Opened(Protocol):
    """An open source."""

    @property
    def size(self) -> int:
        """Bytes of the text."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Raises SourceChanged where the text is shorter, or is another one."""

    def read_into(self, window: np.ndarray, offset: int) -> None:
        """Fill the window (uint8) from this byte on."""

    def forget(self, offset: int, length: int) -> None:
        """These bytes will not be needed again soon: the system need not keep them in memory."""


class Source(Protocol):
    """A text that can be opened. `str` of it is what messages call it."""

    @property
    def lanes(self) -> int:
        """How many readers at once make the most of it."""

    def open(self) -> AbstractContextManager[Opened]:
        """To read at any place."""

    def ahead(self, spans: Spans) -> AbstractContextManager[Opened]:
        """To read in these spans, one after the other: what follows is fetched beforehand where that helps."""

    def ranges(self, offset: int, end: int, line: int) -> Iterable[Range]:
        """Where records stand in these bytes, of which the first begins on that line."""

    def where(self, offset: int) -> tuple[str, int]:
        """What to call the place of a byte: a file, and the offset in it."""

    def numbers(self, offsets: np.ndarray) -> np.ndarray:
        """The number (int64) of the file that holds each byte."""


class OneFile:
    """What a source of one file has in common with all such."""

    def ranges(self, offset: int, end: int, line: int) -> Iterable[Range]:
        """All of it."""
        return [(offset, end, line)]

    def where(self, offset: int) -> tuple[str, int]:
        """The file, and the same offset."""
        return str(self), offset

    def numbers(self, offsets: np.ndarray) -> np.ndarray:
        """It is the first one."""
        return np.zeros(len(offsets), np.int64)


class Stored(Source, Protocol):
    """A file as it lies there, packed or not."""

    def mark(self) -> Mark:
        """Its mark now. Raises SourceMissing."""

    def pinned(self, mark: Mark) -> Stored:
        """The same file, to be read only as long as it has this mark, where the storage can see to that."""

    @property
    def proves(self) -> bool:
        """Whether equal marks prove equal content."""
