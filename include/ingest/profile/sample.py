"""A random sample of a chunk's records, taken from the blocks as they pass.

Records that the target holds already, and those that lose to another one of their key, are in it as well: it is a sample
of the file, and not of what is loaded. It is random, as each n-th record of a file that repeats itself every n would
always be the same one; and the same whenever the chunk is loaded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from include.ingest.csv.records import Block, Chunk, joined

FEWEST = 5_000  # records of a chunk up to twice of which all are looked at
STRIDE = 1 << 17  # bytes of a large chunk to one record of the sample: what that costs can't be measured in a load
MOST_BYTES = 4 << 20  # of the records kept, however long each of them is


class Sample:
    """Each record is kept with the same chance, which halves when there are too many."""

    def __init__(self, chunk: Chunk) -> None:
        self.records = 0  # seen
        self._most = 2 * max(FEWEST, chunk.length // STRIDE)
        self._random = np.random.default_rng(chunk.offset)
        self._kept: list[Block] = []
        self._chance = 1.0

    def watching(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The blocks as they are, looked at in passing."""
        for block in blocks:
            self._look(block)
            yield block

    def block(self) -> Block | None:
        """What was kept; None where that is nothing."""
        return joined(self._kept) if self._kept else None

    def _look(self, block: Block) -> None:
        count = len(block.starts)
        self.records += count
        number = int(self._random.binomial(count, self._chance))
        while self._number + number > self._most:
            self._thin()
            number = int(self._random.binomial(number, 0.5))
        if number:
            wanted = np.zeros(count, dtype=bool)
            wanted[self._random.choice(count, number, replace=False)] = True
            self._kept.append(block.only(wanted))  # a copy: the block's memory is used again
        while sum(len(one.data) for one in self._kept) > MOST_BYTES:
            self._thin()

    @property
    def _number(self) -> int:
        return sum(len(block.starts) for block in self._kept)

    def _thin(self) -> None:
        self._chance /= 2
        halves = [block.only(self._random.random(len(block.starts)) < 0.5) for block in self._kept]
        self._kept = [block for block in halves if len(block.starts)]
