"""The chunks of a WebP: what is left of an animation that was cut off."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each whole chunk."""
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack("<4sI", data[at : at + 8])
        end = at + 8 + length + (length & 1)
        if end > len(data):
            return
        yield kind, at, end
        at = end


def whole_frames(data: bytes) -> bytes | None:
    """A file of the frames that came whole; None when there is none."""
    found = list(_chunks(data))
    if not any(kind == b"ANMF" for kind, *_ in found):
        return None
    end = found[-1][2]
    return b"RIFF" + struct.pack("<I", end - 8) + data[8:end]


def moves(data: bytes) -> bool:
    """Whether it has more than one frame."""
    return sum(kind == b"ANMF" for kind, *_ in _chunks(data)) > 1
