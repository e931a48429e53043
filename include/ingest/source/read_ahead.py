"""Reads an object in order, with the next ranges in flight while one is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Self

import numpy as np

from include.ingest.source import Opened, Spans

PART_BYTES = 4 << 20
IN_FLIGHT = 4  # parts beyond the one that is read: they hide the storage's delay, and are held in memory


class Ahead:
    """An open source that fetches whole parts, those that the spans touch, in their order.

    A part is kept until something behind it is read, so memory holds some parts at most.
    """

    def __init__(self, opened: Opened, spans: Spans) -> None:
        self._opened, self.size = opened, opened.size
        self._wanted = _parts(spans)
        self._parts: dict[int, Future[bytes]] = {}
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="millrace-ahead")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes."""
        return b"".join(self._pieces(offset, length))

    def read_into(self, window: np.ndarray, offset: int) -> None:
        """Fill the window from this byte on."""
        at = 0
        for piece in self._pieces(offset, len(window)):
            window[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            at += len(piece)

    def forget(self, offset: int, length: int) -> None:
        """What has been read is dropped anyway."""

    def _pieces(self, offset: int, length: int) -> Iterator[memoryview]:
        end = offset + length
        if end > self.size:  # says so
            self._opened.read(offset, length)
        first, last = offset // PART_BYTES, (end - 1) // PART_BYTES
        for number in [number for number in self._parts if number < first]:
            self._parts.pop(number).cancel()
        for number in range(first, last + 1):
            self._ask(number)
        for number in range(first, last + 1):
            start = number * PART_BYTES
            part = memoryview(self._parts[number].result())
            yield part[max(0, offset - start) : end - start]

    def _ask(self, number: int) -> None:
        """Have that part fetched, and those that follow."""
        if number not in self._parts:
            self._parts[number] = self._pool.submit(self._fetch, number)
        room = IN_FLIGHT - sum(1 for other in self._parts if other > number)
        for follower in islice(self._wanted, max(0, room)):
            if follower > number and follower not in self._parts:
                self._parts[follower] = self._pool.submit(self._fetch, follower)

    def _fetch(self, number: int) -> bytes:
        start = number * PART_BYTES
        return self._opened.read(start, min(PART_BYTES, self.size - start))


def _parts(spans: Iterable[tuple[int, int]]) -> Iterator[int]:
    """The numbers of the parts that spans touch, ascending, each once."""
    last = -1
    for start, end in spans:
        for number in range(max(last + 1, start // PART_BYTES), -(-end // PART_BYTES)):
            last = number
            yield number
