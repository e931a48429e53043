"""The blocks of a GIF: its frames as pictures of their own, and how often it plays."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from PIL import Image

from include.images.engine.frames import CLEAR, KEEP, RESTORE, Piece, Pieces

_DISPOSALS = {2: CLEAR, 3: RESTORE}
MOST_PLAYS = 65535  # what WebP can say


class _Torn(Exception):
    """The file ends within a block."""


def pieces(data: bytes, most: int) -> Pieces:
    """Frames up to `most`; those before a cut when the file is cut off. Raises ValueError when there is none."""
    if len(data) < 13:
        raise ValueError("the GIF file ends early: it was cut off")
    width, height, flags = struct.unpack("<HHB", data[6:11])
    at = 13 + _table_bytes(flags)
    walk = _Walk(data, at, data[13:at])
    found: list[Piece] = []
    try:
        for piece in walk.frames():
            if not found:  # as browsers do: a first frame that does not fit makes the canvas larger
                width, height = max(width, piece.left + piece.width), max(height, piece.top + piece.height)
            found.append(piece)
            if len(found) >= most:
                break
    except _Torn:
        pass
    if not found:
        raise ValueError("the GIF file ends early: it was cut off")
    return Pieces((width, height), tuple(found), walk.plays)


class _Walk:
    def __init__(self, data: bytes, at: int, table: bytes) -> None:
        self._data, self._at, self._table = data, at, table
        self.plays = 1  # without a word about it, it plays once
        self._control = (0, 0, 0)  # flags, hundredths of a second, transparent index

    def frames(self) -> Iterator[Piece]:
        while (kind := self._take(1)) != b";":
            if kind == b"!":
                self._extension(self._take(1)[0])
            elif kind == b",":
                yield self._image()
            elif kind != b"\0":  # browsers pass over stray zeros, and stop at anything else
                return

    def _take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) < count:
            raise _Torn
        self._at += count
        return part

    def _blocks(self) -> tuple[int, int]:
        """Pass over sub-blocks; from where to where they lie, with the empty one at the end."""
        data, start, at = self._data, self._at, self._at
        while at < len(data) and data[at]:  # there may be millions
            at += data[at] + 1
        self._at = at + 1
        if self._at > len(data):
            raise _Torn
        return start, self._at

    def _extension(self, label: int) -> None:
        start, end = self._blocks()
        body = self._data[start:end]
        if label == 0xF9 and len(body) >= 5:
            self._control = (body[1], *struct.unpack("<HB", body[2:5]))
        elif label == 0xFF and body[1:12] in (b"NETSCAPE2.0", b"ANIMEXTS1.0") and body[12:14] == b"\x03\x01":
            again = struct.unpack("<H", body[14:16])[0]  # how often it is repeated, after it was played once
            self.plays = min(again + 1, MOST_PLAYS) if again else 0

    def _image(self) -> Piece:
        place = self._take(9)
        left, top, width, height, flags = struct.unpack("<HHHHB", place)
        table = self._take(_table_bytes(flags))
        begin = self._at
        self._take(1)
        with suppress(_Torn):  # the decoder says so
            self._blocks()
        control, hundredths, transparent = self._control
        self._control = (0, 0, 0)
        make = partial(self._alone, place, table, begin, min(self._at, len(self._data)), control, transparent)
        disposal = _DISPOSALS.get(control >> 2 & 7, KEEP)
        return Piece(make, left, top, width, height, hundredths * 10, disposal, over=True)

    def _alone(self, place: bytes, table: bytes, begin: int, end: int, control: int, transparent: int) -> Image.Image:
        """A GIF of this frame only."""
        size, flags = place[4:8], place[8]
        colours = b"" if table or not self._table else self._table
        bits = (len(colours) // 3).bit_length() - 2 if colours else 0
        head = b"GIF89a" + size + bytes([(0x80 | bits) if colours else 0, 0, 0]) + colours
        if control & 1:
            head += b"!\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
        whole = head + b",\0\0\0\0" + size + bytes([flags]) + table + self._data[begin:end] + b"\0;"
        return Image.open(io.BytesIO(whole), formats=("GIF",))


def _table_bytes(flags: int) -> int:
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0
