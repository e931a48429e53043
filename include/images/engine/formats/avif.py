"""The boxes of an AVIF: its visible part, its colours, how often it plays; and a fault of older encoders mended.

The names of boxes are those of ISO/IEC 14496-12 and 23008-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

Span = tuple[bytes, int, int, int]  # kind, start of the box, start and end of its content
_FOREVER = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True)
class Boxes:
    """What is used of the file."""

    crop: tuple[int, int, int, int] | None = None  # left, upper, right, lower
    colours: tuple[int, int] | None = None  # primaries and transfer, as of ISO/IEC 23091-2
    plays: int = 1  # of an image sequence; 0: for ever


def read(data: bytes, size: tuple[int, int]) -> Boxes:
    """What the boxes say of the first picture, as it is stored in `size`; nothing, if they are not by the standard."""
    try:
        properties = _properties(data)
        crop = next((_crop(body, size) for kind, body in properties if kind == b"clap"), None)
        colour = next((body for kind, body in properties if kind == b"colr" and body[:4] == b"nclx"), None)
        pair = struct.unpack(">HH", colour[4:8]) if colour is not None else None
        return Boxes(crop, pair, _plays(data))
    except (struct.error, IndexError, ZeroDivisionError):
        return Boxes()


def _walk(data: bytes, start: int, end: int) -> Iterator[Span]:
    while start + 8 <= end:
        length, kind = struct.unpack(">I4s", data[start : start + 8])
        content = start + 8
        if length == 1:
            length, content = struct.unpack(">Q", data[content : content + 8])[0], start + 16
        stop = end if length == 0 else start + length
        if stop < content or stop > end:
            return
        yield kind, start, content, stop
        start = stop


def _find(data: bytes, *path: bytes, within: tuple[int, int] | None = None) -> Span | None:
    """The first box at that path."""
    start, end = within or (0, len(data))
    found = None
    for name in path:
        found = next((box for box in _walk(data, start, end) if box[0] == name), None)
        if found is None:
            return None
        start, end = found[2] + (4 if name == b"meta" else 0), found[3]
    return found


def _properties(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of the properties of the primary item."""
    primary, every = _find(data, b"meta", b"pitm"), _every(data)
    if primary is None:
        return []
    at = primary[2]
    item = int.from_bytes(data[at + 4 : at + (8 if data[at] else 6)], "big")
    numbers = [number for box in _associations(data) for number in _entries(data, box).get(item, [])]
    return [
        (every[n - 1][0], data[every[n - 1][2] : every[n - 1][3]]) for n in map(_plain, numbers) if _known(n, every)
    ]


def _every(data: bytes) -> list[Span]:
    """All properties: an association names them by their place in this list, counted from 1."""
    holder = _find(data, b"meta", b"iprp", b"ipco")
    return list(_walk(data, holder[2], holder[3])) if holder else []


def _associations(data: bytes) -> list[Span]:
    holder = _find(data, b"meta", b"iprp")
    return [box for box in _walk(data, holder[2], holder[3]) if box[0] == b"ipma"] if holder else []


def _entries(data: bytes, box: Span) -> dict[int, list[bytes]]:
    """The properties of each item, as they stand in a box of associations."""
    body = data[box[2] : box[3]]
    name, step, at = 4 if body[0] else 2, 2 if body[3] & 1 else 1, 8
    found: dict[int, list[bytes]] = {}
    for _ in range(struct.unpack(">I", body[4:8])[0]):
        item, count, at = int.from_bytes(body[at : at + name], "big"), body[at + name], at + name + 1
        found[item] = [body[at + i * step : at + (i + 1) * step] for i in range(count)]
        at += count * step
    return found


def _plain(number: bytes) -> int:
    """Without the bit that says whether the property is essential."""
    return int.from_bytes(number, "big") & (0x7FFF if len(number) == 2 else 0x7F)


def _known(number: int, every: list[Span]) -> bool:
    return 0 < number <= len(every)


def _crop(body: bytes, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The clean aperture in whole pixels; None unless it lies within the picture."""
    numbers = struct.unpack(">IIIIiIiI", body[:32])
    width, height, across, down = (Fraction(numbers[i], numbers[i + 1]) for i in range(0, 8, 2))
    left, upper = Fraction(size[0], 2) + across - width / 2, Fraction(size[1], 2) + down - height / 2
    if width < 1 or height < 1 or left < 0 or upper < 0 or left + width > size[0] or upper + height > size[1]:
        return None
    wide, high = round(width), round(height)
    box = (min(round(left), size[0] - wide), min(round(upper), size[1] - high), wide, high)
    return (box[0], box[1], box[0] + wide, box[1] + high) if (wide, high) != size else None


def _plays(data: bytes) -> int:
    """How often the first track with pictures plays, by its edit list; without one, once."""
    movie = _find(data, b"moov")
    for kind, _, start, end in _walk(data, movie[2], movie[3]) if movie else ():
        edits = _find(data, b"edts", b"elst", within=(start, end)) if kind == b"trak" else None
        header = _find(data, b"tkhd", within=(start, end)) if kind == b"trak" else None
        if edits is None or header is None or not data[edits[2] + 3] & 1:
            continue
        wide = data[edits[2]] == 1
        segment = int.from_bytes(data[edits[2] + 8 : edits[2] + (16 if wide else 12)], "big")
        at, length = (header[2] + 28, 8) if data[header[2]] == 1 else (header[2] + 20, 4)
        whole = int.from_bytes(data[at : at + length], "big")
        return 0 if whole in _FOREVER else min(65535, max(1, -(-whole // segment)))
    return 1


def mended(data: bytes) -> bytes | None:
    """The file with its boxes of associations joined into one, as the standard has it; None when there is one.

    Older encoders wrote one for each item. The bytes that are saved become an empty box, so that nothing moves.
    """
    try:
        holder, parts = _find(data, b"meta", b"iprp"), _associations(data)
        if holder is None or len(parts) < 2 or len({data[box[2] : box[2] + 4] for box in parts}) > 1:
            return None
        if parts[-1][3] != holder[3] or any(one[3] != other[1] for one, other in pairwise(parts)):
            return None
        count = sum(struct.unpack(">I", data[box[2] + 4 : box[2] + 8])[0] for box in parts)
        body = data[parts[0][2] : parts[0][2] + 4] + struct.pack(">I", count)
        body += b"".join(data[box[2] + 8 : box[3]] for box in parts)
        joined = struct.pack(">I4s", 8 + len(body), b"ipma") + body
        saved = holder[3] - parts[0][1] - len(joined)
        head = struct.pack(">I", holder[3] - holder[1] - saved) + data[holder[1] + 4 : parts[0][1]]
        empty = struct.pack(">I4s", saved, b"free") + bytes(saved - 8)
        return data[: holder[1]] + head + joined + empty + data[holder[3] :]
    except struct.error:
        return None
