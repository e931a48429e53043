"""Unpacks zstd, frame after frame, as one stream."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa

from include.ingest.source.packed_bytes import PLAIN_BYTES, Feed


class _Stream(io.RawIOBase):
    """A feed as the file that Arrow reads."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._feed.more(size)


def unzstd(feed: Feed) -> Iterator[bytes]:
    """The text of all frames, in pieces."""
    stream = pa.CompressedInputStream(_Stream(feed), "zstd")
    while True:
        try:
            piece = stream.read(PLAIN_BYTES)
        except OSError as fault:
            if type(fault) is not OSError or fault.errno:  # of the file itself
                raise
            if "runcated" in str(fault):
                raise feed.cut_short() from fault
            raise feed.fault(str(fault).rpartition(": ")[2]) from fault
        if not piece:
            return
        yield piece
