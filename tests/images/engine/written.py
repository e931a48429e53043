"""GIF, APNG and other files written by hand, so that each says exactly what a test is about."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

from PIL import Image

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (90, 90, 90), (9, 9, 9)]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Part:
    """A frame of one colour of COLOURS, with a hole of another in its middle if it is wanted."""

    colour: int
    box: tuple[int, int, int, int] = (0, 0, 64, 64)  # left, top, width, height
    hole: int | None = None
    disposal: int = 0
    milliseconds: int = 100
    blend: int = 0  # of APNG

    def indices(self) -> Image.Image:
        """The picture as numbers of COLOURS."""
        _, _, width, height = self.box
        image = Image.new("L", (width, height), self.colour)
        if self.hole is not None:
            image.paste(self.hole, (width // 4, height // 4, 3 * width // 4, 3 * height // 4))
        return image


def gif(
    *parts: Part, loop: int | None = None, clear: int | None = None, size: tuple[int, int] = (64, 64), ground: int = 4
) -> bytes:
    """A GIF; `clear` is the number of the transparent colour, `ground` that of the background."""
    out = b"GIF89a" + struct.pack("<HHBBB", *size, 0xF2, ground, 0) + bytes(sum(COLOURS, ()))
    if loop is not None:
        out += b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loop) + b"\0"
    for part in parts:
        flags = part.disposal << 2 | (clear is not None)
        out += b"!\xf9\x04" + struct.pack("<BHB", flags, part.milliseconds // 10, clear or 0) + b"\0"
        out += b"," + struct.pack("<HHHHB", *part.box, 0) + b"\3" + _lzw(part.indices().tobytes())
    return out + b";"


def _lzw(indices: bytes) -> bytes:
    """Codes of four bits, with a clear code in time, so that they never grow longer."""
    codes = [8]
    for at in range(0, len(indices), 6):
        codes += [*indices[at : at + 6], 8]
    codes.append(9)
    codes += [0] * (len(codes) % 2)
    packed = bytes(low | high << 4 for low, high in zip(codes[::2], codes[1::2], strict=True))
    blocks = [packed[at : at + 255] for at in range(0, len(packed), 255)]
    return b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes, tail: bytes = b"") -> bytes:
    """A PNG of unpacked rows without their filter bytes; `extra` chunks stand before the pixels, `tail` after them."""
    length = len(rows) // height
    filtered = b"".join(b"\0" + rows[at * length : (at + 1) * length] for at in range(height))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return PNG_SIGNATURE + head + b"".join(extra) + chunk(b"IDAT", zlib.compress(filtered)) + tail + chunk(b"IEND", b"")


def apng(
    *parts: Part, plays: int = 0, default: Part | None = None, palette: bool = True, clear: int | None = None
) -> bytes:
    """An APNG of palette frames, or RGBA ones; `default` is a picture that is no frame."""
    sequence, body = 0, b""
    for number, part in enumerate([default, *parts] if default else parts):
        assert part is not None
        image = part.indices()
        if part is not default:
            left, top, width, height = part.box
            body += chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, width, height, left, top, part.milliseconds,
                                               1000, part.disposal, part.blend))  # fmt: skip
            sequence += 1
        data = zlib.compress(_filtered(image, palette, clear))
        if number == 0:
            body += chunk(b"IDAT", data)
        else:
            body += chunk(b"fdAT", struct.pack(">I", sequence) + data)
            sequence += 1
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 3 if palette else 6, 0, 0, 0))
    if palette:
        head += chunk(b"PLTE", bytes(sum(COLOURS, ())))
        if clear is not None:
            head += chunk(b"tRNS", bytes([255] * clear + [0]))
    return PNG_SIGNATURE + head + chunk(b"acTL", struct.pack(">II", len(parts), plays)) + body + chunk(b"IEND", b"")


def _filtered(image: Image.Image, palette: bool, clear: int | None) -> bytes:
    if palette:
        rows, length = image.tobytes(), image.width
    else:
        rows = b"".join(bytes((*COLOURS[one], 0 if one == clear else 255)) for one in image.tobytes())
        length = 4 * image.width
    return b"".join(b"\0" + rows[at : at + length] for at in range(0, len(rows), length))


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """A file as Pillow writes it."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of grey with that curve."""
    white = struct.pack(">3i", 63190, 65536, 54061)  # D50
    curve = struct.pack(">4s4xIH2x", b"curv", 1, round(gamma * 256))
    tags = (
        struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, 14) + struct.pack(">4s4x", b"XYZ ") + white + curve
    )
    size = 128 + len(tags)
    return struct.pack(">I4xI4s4s4s12x4s28x12s48x", size, 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp", white) + tags
