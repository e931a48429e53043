"""The size of a JPEG XL picture, by the first bits of its codestream (ISO/IEC 18181-1, annex D)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SIGNATURE = b"\xff\x0a"
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}  # width to height


def size(data: bytes) -> tuple[int, int]:
    """Width and height as stored. Raises ValueError when there is no codestream."""
    start = _codestream(data)
    if not start.startswith(_SIGNATURE):
        raise ValueError("no JPEG XL codestream")
    bits = _Bits(start[2:16])
    small = bits.take(1)
    height = _length(bits, small)
    ratio = bits.take(3)
    if ratio:
        over, under = _RATIOS[ratio]
        return height * over // under, height
    return _length(bits, small), height


class _Bits:
    """Bits of bytes, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        found = self._value & ((1 << count) - 1)
        self._value >>= count
        return found


def _length(bits: _Bits, small: int) -> int:
    if small:
        return 8 * (1 + bits.take(5))
    return 1 + bits.take((9, 13, 18, 30)[bits.take(2)])


def _codestream(data: bytes) -> bytes:
    """Its beginning, out of the container if there is one."""
    if data.startswith(_SIGNATURE):
        return data[:16]
    return next((data[at : at + 16] for at in _parts(data)), b"")


def _parts(data: bytes) -> Iterator[int]:
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        content = at + 8
        if length == 1:
            length, content = int.from_bytes(data[content : content + 8], "big"), at + 16
        if kind == b"jxlc":
            yield content
        elif kind == b"jxlp":
            yield content + 4
        if length < 8:
            return
        at += length
