"""EXIF written by hand, in either byte order, and files of each format that hold it."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import pillow_jxl  # noqa: F401  # which Pillow writes JPEG XL by
from PIL import Image

from tests.images.engine.written import chunk, encoded
from tests.images.pictures import photo

HEIC = Path(__file__).parents[1] / "engine" / "heic" / "turned6.heic"
ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7
MAKE, MODEL, ORIENTATION = 0x010F, 0x0110, 0x0112
TAKEN, OFFSET, FRACTION, LENS = 0x9003, 0x9011, 0x9291, 0xA434

Entries = Mapping[int, tuple[int, bytes | Sequence[int]]]
NONE: Entries = {}


def text(words: str) -> tuple[int, bytes]:
    """A text, as cameras write it."""
    return ASCII, words.encode() + b"\0"


def rationals(*pairs: tuple[int, int]) -> tuple[int, list[int]]:
    """Fractions."""
    return RATIONAL, [number for pair in pairs for number in pair]


def exif(picture: Entries, camera: Entries = NONE, position: Entries = NONE, order: str = "<") -> bytes:
    """The three directories, without the prefix of JPEG."""
    start = 8
    second = start + _size(picture, pointers=2)
    third = second + _size(camera)
    links: Entries = {0x8769: (LONG, [second]), 0x8825: (LONG, [third])}
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    whole = head + _directory({**picture, **links}, start, order) + _directory(camera, second, order)
    return whole + _directory(position, third, order)


def _size(entries: Entries, pointers: int = 0) -> int:
    return 6 + 12 * (len(entries) + pointers) + sum(_outside(*entry) for entry in entries.values())


def _outside(kind: int, value: bytes | Sequence[int]) -> int:
    size = len(_packed(kind, value, "<"))
    return size if size > 4 else 0


def _packed(kind: int, value: bytes | Sequence[int], order: str) -> bytes:
    if isinstance(value, bytes):
        return value
    return struct.pack(f"{order}{len(value)}{'H' if kind == SHORT else 'I'}", *value)


def _directory(entries: Entries, at: int, order: str) -> bytes:
    index, outside = struct.pack(order + "H", len(entries)), b""
    place = at + 6 + 12 * len(entries)
    for tag, (kind, value) in sorted(entries.items()):
        data = _packed(kind, value, order)
        count = len(data) // 8 if kind == RATIONAL else len(value)
        index += struct.pack(order + "HHI", tag, kind, count)
        if len(data) <= 4:
            index += data.ljust(4, b"\0")
        else:
            index += struct.pack(order + "I", place + len(outside))
            outside += data
    return index + bytes(4) + outside


def file(form: str, tiff: bytes) -> bytes:
    """A picture of a format that can say when it was taken."""
    if form == "HEIC":
        return heic(tiff)
    image = photo(120, 80)
    if form == "TIFF":
        return in_a_tiff(tiff, image)
    if form == "PNG":
        plain = encoded(image)
        return plain[:33] + chunk(b"eXIf", tiff) + plain[33:]
    return encoded(image, form, exif=b"Exif\0\0" + tiff)


def heic(tiff: bytes) -> bytes:
    """A HEIC whose item of EXIF, the second, is another one, at the end of the file."""
    data, item = bytearray(HEIC.read_bytes()), struct.pack(">I", 6) + b"Exif\0\0" + tiff
    place = data.index(b"iloc") + 4 + 4 + 2 + 2 + 18  # behind version, sizes, count and the first item
    assert data[place : place + 4] == struct.pack(">HH", 2, 0)
    data[place + 4 : place + 18] = struct.pack(">IHII", len(data), 1, 0, len(item))  # one extent
    return bytes(data) + item


def in_a_tiff(tiff: bytes, image: Image.Image) -> bytes:
    """A TIFF with these directories, by Pillow."""
    tags = Image.Exif()
    tags.load(tiff)
    out = io.BytesIO()
    image.save(out, "TIFF", exif=tags)
    return out.getvalue()
