"""Reads some tags of EXIF, which is laid out as a TIFF, and of a TIFF itself.

Nothing in it is trusted: offsets may lead anywhere, counts may be anything. Three directories are looked at, so many
entries of each, and so many bytes of a value; what does not fit is passed over.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Collection, Container
from typing import NamedTuple

ENTRIES = 1000  # of a directory; cameras write under a hundred
VALUE_BYTES = 500  # of a value; a text is cut, numbers are few
TEXT_CHARACTERS = 100
_PREFIX = b"Exif\0\0"
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 129: 1}  # bytes of a value by type; 129 is EXIF 3's UTF-8
_TEXTS, _RATIONAL = (2, 7, 129), 5
_EXIF, _GPS = 0x8769, 0x8825  # tags that say where the other directories are


class Value(NamedTuple):
    """A value as it lies in the file."""

    kind: int
    data: bytes
    order: str

    def text(self) -> str | None:
        """A text: UTF-8 as programs write it, or Latin-1; up to its first NUL, printable, and not too long."""
        if self.kind not in _TEXTS:
            return None
        raw = self.data.partition(b"\0")[0]
        try:
            found = codecs.utf_8_decode(raw, "strict", False)[0]  # a character that was cut at the end is left out
        except UnicodeError:
            found = raw.decode("latin-1")
        return plain(found)

    def number(self) -> int | None:
        """The first of whole numbers."""
        code = {1: "B", 3: "H", 4: "I"}.get(self.kind)
        if code is None or len(self.data) < _SIZES[self.kind]:
            return None
        return int(struct.unpack_from(self.order + code, self.data)[0])

    def fractions(self) -> list[float] | None:
        """Rational numbers; None for other kinds, and where one is divided by 0."""
        if self.kind != _RATIONAL:
            return None
        found = list(struct.iter_unpack(self.order + "II", self.data[: len(self.data) // 8 * 8]))
        return [above / below for above, below in found] if all(below for _, below in found) else None


Tags = dict[int, Value]


class Exif(NamedTuple):
    """The directories: the picture's, the camera's and the position's."""

    picture: Tags
    camera: Tags
    position: Tags


def read(data: bytes, *, picture: Collection[int], camera: Container[int], position: Container[int]) -> Exif:
    """The tags that are asked for of each directory; none of what is no EXIF."""
    while data.startswith(_PREFIX):  # some programs write it twice
        data = data[len(_PREFIX) :]
    order = _ORDERS.get(data[:4])
    if order is None or len(data) < 8:
        return Exif({}, {}, {})
    first = _directory(data, struct.unpack_from(order + "I", data, 4)[0], order, {*picture, _EXIF, _GPS})
    others = [
        _directory(data, first[tag].number() or 0, order, wanted) if tag in first else {}
        for tag, wanted in ((_EXIF, camera), (_GPS, position))
    ]
    return Exif(first, *others)


def _directory(data: bytes, at: int, order: str, wanted: Container[int]) -> Tags:
    """The entries of a directory that are wanted, the first of each tag."""
    if not 8 <= at <= len(data) - 2:
        return {}
    found: Tags = {}
    (count,) = struct.unpack_from(order + "H", data, at)
    for entry in range(at + 2, min(at + 2 + 12 * min(count, ENTRIES), len(data) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHI", data, entry)
        if tag in wanted and tag not in found and kind in _SIZES:
            size = _SIZES[kind] * number
            place = entry + 8 if size <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
            found[tag] = Value(kind, data[place : place + min(size, VALUE_BYTES)], order)
    return found


def plain(text: str) -> str | None:
    """A text of a file, to show: on one line, of characters that can be seen, and not too long. None for none."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.split())[:TEXT_CHARACTERS].strip() or None
