"""Reads records that are scattered over a file."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from include.compiled import BYTES, INT, INTS, compiled
from include.ingest.csv.records import Block
from include.ingest.source import Source

WINDOW_BYTES = 256 << 10  # records as near as this are read together; fits the second-level cache


def read_places(source: Source, offsets: np.ndarray, lengths: np.ndarray, first: int = 0) -> Block:
    """Records at ascending offsets as one block, with numbers from `first` in place of lines.

    Raises SourceChanged where the file ends before them.
    """
    ends = np.cumsum(lengths)
    data = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    firsts = np.flatnonzero(np.diff(offsets // WINDOW_BYTES, prepend=-1))
    window = np.empty(0, np.uint8)
    bounds = list(pairwise([*firsts.tolist(), len(offsets)]))
    spans = [(int(offsets[low]), int(offsets[high - 1] + lengths[high - 1])) for low, high in bounds]
    with source.ahead(spans) as opened:
        for (low, high), (start, end) in zip(bounds, spans, strict=True):
            if len(window) < end - start:
                window = np.empty(max(2 * WINDOW_BYTES, end - start), np.uint8)
            opened.read_into(window[: end - start], start)
            _gather(window, offsets[low:high] - start, lengths[low:high], data, int(ends[low] - lengths[low]))
    return Block(data.data, offsets, ends - lengths, first + np.arange(len(offsets)))


@compiled(INT(BYTES, INTS, INTS, BYTES, INT))
def _gather(window, starts, lengths, data, at):  # type: ignore[no-untyped-def]
    """Copy pieces of the window one after the other."""
    for number in range(len(starts)):
        for place in range(starts[number], starts[number] + lengths[number]):
            data[at] = window[place]
            at += 1
    return at
