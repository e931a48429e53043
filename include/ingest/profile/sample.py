"""A random sample of a chunk's records, taken from the blocks as they pass.

Records that the target holds already, and those that lose to another one of their key, are in it as well: it is a
sample of the file, and not of what is loaded. It is random, as each n-th record of a file that repeats itself every n
would always be the same one; and the same whenever the chunk is loaded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from include.ingest.csv.records import Block, Chunk

FEWEST = 2_500  # records of a chunk up to twice of which all are looked at
STRIDE = 1 << 17  # bytes of a large chunk to one record of the sample: what that costs can't be measured in a load
MOST_BYTES = 4 << 20  # of the records kept, however long each of them is


class Sample:
    """Each record is kept with the same chance, which halves when there are too many."""

    def __init__(self, chunk: Chunk) -> None:
        self.records = 0  # seen
        self._most = 2 * max(FEWEST, chunk.length // STRIDE)
        self._random = np.random.default_rng(chunk.offset)
        self._chance = 1.0
        self._kept: list[bytes] = []
        self._places = np.empty((2, 0), np.int64)  # offset and line of each

    def watching(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The blocks as they are, looked at in passing."""
        for block in blocks:
            self._look(block)
            yield block

    def block(self) -> Block | None:
        """What was kept; None where that is nothing."""
        if not self._kept:
            return None
        starts = np.cumsum([0, *(len(record) for record in self._kept[:-1])])
        return Block(b"".join(self._kept), self._places[0], starts, self._places[1])

    def _look(self, block: Block) -> None:
        count = len(block.starts)
        self.records += count
        number = int(self._random.binomial(count, self._chance))
        while len(self._kept) + number > self._most:
            self._thin()
            number = int(self._random.binomial(number, 0.5))
        if not number:
            return
        chosen = np.sort(self._random.choice(count, number, replace=False, shuffle=False))
        starts, ends = block.starts[chosen], block.starts[np.minimum(chosen + 1, count - 1)]
        ends[chosen == count - 1] = len(block.data)
        # Copies: the block's memory is used again.
        self._kept += [bytes(block.data[start:end]) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        self._places = np.hstack([self._places, [block.offsets[chosen], block.lines[chosen]]])
        while sum(map(len, self._kept)) > MOST_BYTES:
            self._thin()

    def _thin(self) -> None:
        self._chance /= 2
        left = np.flatnonzero(self._random.random(len(self._kept)) < 0.5)
        self._kept = [self._kept[number] for number in left.tolist()]
        self._places = self._places[:, left]
