"""Many files as one text: each begins where the one before it ends, so that one offset names a place in all of them.

That offset decides which row of a repeated key wins, and stands in what a run keeps for itself. People are told the
file and the offset in it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache

import numpy as np

from include.ingest.source import File, Opened, Range, Source, Spans
from include.ingest.source.local import THREADS


class Joined:
    """The text of several files; `open_text` gives that of one. What is opened is for one thread."""

    lanes = THREADS

    def __init__(self, name: str, files: Sequence[File], open_text: Callable[[File], Source]) -> None:
        self._name, self.files = name, files
        self.starts = [file.offset for file in files]
        self.text = cache(lambda number: open_text(files[number]))

    def __str__(self) -> str:
        return self._name

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """To read at any place."""
        with self.ahead([(0, self.files[-1].end)]) as opened:
            yield opened

    @contextmanager
    def ahead(self, spans: Spans) -> Iterator[Opened]:
        """To read in these spans, one after the other."""
        with ExitStack() as stack:
            yield _Reader(self, spans, stack)

    def ranges(self, offset: int, end: int, line: int) -> Iterator[Range]:
        """The records in these bytes, file by file, without headers and footers. `line` is that of the first one."""
        for number in range(bisect_right(self.starts, offset) - 1, len(self.files)):
            file = self.files[number]
            if file.offset >= end:
                return
            first = file.offset + file.data_offset
            low, high = max(offset, first), min(end, file.end if file.data_end is None else file.offset + file.data_end)
            if low < high:
                yield low, high, file.data_line if low == first else line

    def where(self, offset: int) -> tuple[str, int]:
        """The file that holds this byte, and the offset in it."""
        file = self.files[bisect_right(self.starts, offset) - 1]
        return file.path, offset - file.offset

    def numbers(self, offsets: np.ndarray) -> np.ndarray:
        """The number (int64) of the file that holds each byte."""
        return np.searchsorted(np.array(self.starts), offsets, "right") - 1


class _Reader:
    """Opens a file when something in it is read, and closes it when another one is."""

    def __init__(self, joined: Joined, spans: Spans, stack: ExitStack) -> None:
        self._joined, self._spans, self._stack = joined, spans, stack
        self._number = -1
        self._opened: Opened | None = None
        self.size = joined.files[-1].end

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes."""
        pieces = [opened.read(low, high - low) for opened, low, high, _ in self._pieces(offset, length)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_into(self, window: np.ndarray, offset: int) -> None:
        """Fill the window from this byte on."""
        for opened, low, high, at in self._pieces(offset, len(window)):
            opened.read_into(window[at : at + high - low], low)

    def forget(self, offset: int, length: int) -> None:
        """These bytes need not stay in the system's memory."""
        for opened, low, high, _ in self._pieces(offset, length):
            opened.forget(low, high - low)

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[Opened, int, int, int]]:
        """The parts of these bytes by file: first byte and end in it, and how many bytes come before."""
        at = offset
        while at < offset + length:
            number = bisect_right(self._joined.starts, at) - 1
            file = self._joined.files[number]
            high = min(offset + length, file.end) if number + 1 < len(self._joined.files) else offset + length
            yield self._at(number), at - file.offset, high - file.offset, at - offset
            at = high

    def _at(self, number: int) -> Opened:
        if number != self._number or self._opened is None:
            self._stack.close()
            file = self._joined.files[number]
            low = bisect_right(self._spans, file.offset, key=lambda span: span[1])
            high = bisect_right(self._spans, file.end - 1, key=lambda span: span[0])
            spans = [
                (max(first, file.offset) - file.offset, min(end, file.end) - file.offset)
                for first, end in self._spans[low:high]
            ]
            self._opened = self._stack.enter_context(self._joined.text(number).ahead(spans))
            self._number = number
        return self._opened
