"""Where a file's plain text is read from, by byte ranges: a file of this machine, an object of a storage, or a packed
one of either kind, which is unpacked into the scratch folder first.

`storage.Storage` finds the source of a path or URL; the rest of the ingest knows only what stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np

Spans = Sequence[tuple[int, int]]  # first byte and end of each, ascending


class Mark(NamedTuple):
    """What tells a stored file from the one that takes its place: its bytes, and a time or tag that changes."""

    size: int
    version: str


def mark_of(plan: dict[str, Any]) -> Mark:
    """The mark of a planned file, from the plan as the ledger has it; older plans know local files only."""
    return Mark(*plan["mark"]) if "mark" in plan else Mark(plan["size"], str(plan["modified_ns"]))


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


class Stored(Source, Protocol):
    """A file as it lies there, packed or not."""

    def mark(self) -> Mark:
        """Its mark now. Raises SourceMissing."""

    def pinned(self, mark: Mark) -> Stored:
        """The same file, to be read only as long as it has this mark, where the storage can see to that."""

    @property
    def proves(self) -> bool:
        """Whether equal marks prove equal content."""
