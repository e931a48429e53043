"""The chunks of a PNG: those that its pixels and colours need, its frames if it is animated, and nothing else.

Pillow refuses a file for a text that is long or a checksum of a comment that is wrong; browsers pass over both.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from PIL import Image

from include.images.engine.frames import CLEAR, KEEP, RESTORE, Piece, Pieces

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PROFILE_BYTES = 8 << 20  # of an unpacked profile
_END = b"\0\0\0\0IEND\xaeB`\x82"
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT")
_USED = (b"tRNS", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"eXIf", b"acTL", b"fcTL", b"fdAT")
_GREY = (0, 4)  # colour types


@dataclass
class Png:
    """What is used of the file. `header` is the content of IHDR."""

    header: bytes
    palette: bytes = b""  # whole chunks, as they stand in the file
    transparency: bytes = b""
    data: list[bytes] = field(default_factory=list)
    facts: dict[bytes, bytes] = field(default_factory=dict)  # contents of chunks that may be there once
    controls: list[tuple[bytes, list[bytes]]] = field(default_factory=list)  # a frame's fcTL, and its data
    ends: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        width, height = struct.unpack(">II", self.header[:8])
        return width, height

    @property
    def grey(self) -> bool:
        """Whether it has no colours."""
        return self.header[9] in _GREY

    @property
    def profile(self) -> bytes | None:
        """The embedded ICC profile."""
        packed = self.facts.get(b"iCCP", b"").partition(b"\0")[2][1:]
        try:
            return zlib.decompressobj().decompress(packed, PROFILE_BYTES) or None
        except zlib.error:
            return None

    @property
    def begins(self) -> bool:
        """Whether at least its first row is there."""
        width, bits, samples = self.size[0], self.header[8], {2: 3, 4: 2, 6: 4}.get(self.header[9], 1)
        row = 1 + (width * bits * samples + 7) // 8
        packed = b"".join(part[8:] for part in self.data[:64])
        try:
            return len(zlib.decompressobj().decompress(packed, row)) == row
        except zlib.error:
            return False

    def still(self) -> Image.Image:
        """The default picture."""
        return self._open(self.header, self.data)

    def animation(self, most: int) -> Pieces | None:
        """Its frames, up to `most`; None for a still. The default picture is a frame only if it says so."""
        if b"acTL" not in self.facts or len(self.facts[b"acTL"]) < 8:
            return None
        announced, plays = struct.unpack(">II", self.facts[b"acTL"][:8])
        found: list[Piece] = []
        for control, data in self.controls[: min(announced, most)]:
            piece = self._piece(control, data, first=not found)
            if piece is None:
                break
            found.append(piece)
        return Pieces(self.size, tuple(found), min(plays, 65535)) if found else None

    def _piece(self, control: bytes, data: list[bytes], *, first: bool) -> Piece | None:
        if len(control) < 26 or not data:
            return None
        width, height, left, top, part, whole, disposal, blend = struct.unpack(">IIIIHHBB", control[4:26])
        if not (width and height and left + width <= self.size[0] and top + height <= self.size[1]):
            return None
        kinds = {1: CLEAR, 2: CLEAR if first else RESTORE}
        make = partial(self._alone, width, height, data)
        milliseconds = round(1000 * part / (whole or 100))
        return Piece(make, left, top, width, height, milliseconds, kinds.get(disposal, KEEP), over=blend == 1)

    def _alone(self, width: int, height: int, data: list[bytes]) -> Image.Image:
        return self._open(struct.pack(">II", width, height) + self.header[8:], data)

    def _open(self, header: bytes, data: list[bytes]) -> Image.Image:
        whole = b"".join((SIGNATURE, chunk(b"IHDR", header), self.palette, self.transparency, *data, _END))
        image = Image.open(io.BytesIO(whole), formats=("PNG",))
        _set_key(image, self.header[8])
        return image


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def read(data: bytes) -> Png:
    """Walk the chunks. Raises ValueError for a file that has not even a header."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise ValueError("the PNG file has no header")
    png = Png(data[16:29])
    sequence = 0
    for kind, body, whole in _chunks(data):
        if kind == b"IEND":
            png.ends = True
            break
        if kind in _USED and kind not in (b"fcTL", b"fdAT"):
            _fact(png, kind, body, whole)
        elif kind == b"PLTE":
            png.palette = whole
        elif kind == b"IDAT":
            png.data.append(whole)
            if png.controls:
                png.controls[0][1].append(whole)
        elif kind in (b"fcTL", b"fdAT"):
            if len(body) < 4 or int.from_bytes(body[:4], "big") != sequence:
                sequence = -1  # what follows belongs nowhere
                continue
            sequence += 1
            if kind == b"fcTL":
                png.controls.append((body, []))
            elif png.controls:
                png.controls[-1][1].append(chunk(b"IDAT", body[4:]))
    return png


def _fact(png: Png, kind: bytes, body: bytes, whole: bytes) -> None:
    if kind == b"tRNS":
        png.transparency = png.transparency or whole
    elif kind not in (b"acTL", b"eXIf") or not png.data:  # behind the pixels it is too late for these, as in browsers
        png.facts.setdefault(kind, body)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Kind, content and whole chunk; of the last one of a file that was cut off, what is there."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        whole = data[at : at + 12 + length]
        if kind in _CRITICAL or kind == b"IEND":
            yield kind, b"", whole
        elif kind in _USED:
            body = whole[8:-4]
            if len(whole) == 12 + length and zlib.crc32(whole[4:-4]).to_bytes(4, "big") == whole[-4:]:
                yield kind, body, whole
        at += 12 + length


def _set_key(image: Image.Image, bits: int) -> None:
    """Give the transparent colour in the 8 bits that Pillow makes of 2, 4, or three times 16."""
    key = image.info.get("transparency")
    if isinstance(key, int) and image.mode == "L" and bits < 8:
        image.info["transparency"] = key * 255 // ((1 << bits) - 1)
    elif isinstance(key, tuple) and bits == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)
