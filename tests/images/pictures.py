"""Pictures made for the tests: plain ones, of every mode, and hostile ones."""

from __future__ import annotations

import struct
import zlib

from PIL import Image, ImageCms

from samples.pictures import encoded, photo

__all__ = ["animation", "encoded", "photo", "png_header", "quarters", "scan_flood", "wide_gamut_profile"]


def quarters(width: int = 200, height: int = 100) -> Image.Image:
    """Red, green, blue and white quarters: left to right, top to bottom."""
    image = Image.new("RGB", (width, height), "white")
    image.paste((255, 0, 0), (0, 0, width // 2, height // 2))
    image.paste((0, 255, 0), (width // 2, 0, width, height // 2))
    image.paste((0, 0, 255), (0, height // 2, width // 2, height))
    return image


def animation(frames: int = 5, size: tuple[int, int] = (120, 80), form: str = "GIF") -> bytes:
    """Moving squares."""
    pictures = []
    for number in range(frames):
        image = Image.new("RGB", size, "navy")
        image.paste((255, 200, 0), (number * 10 % 100, 10, number * 10 % 100 + 20, 30))
        pictures.append(image)
    return encoded(pictures[0], form, save_all=True, append_images=pictures[1:], duration=80, loop=0)


def wide_gamut_profile() -> bytes:
    """A profile whose red, green and blue are not those of sRGB: sRGB's own with red and green exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", data[128:132])[0]
    tags = {bytes(data[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    data[red + 4 : red + 12], data[green + 4 : green + 12] = data[green + 4 : green + 12], data[red + 4 : red + 12]
    return bytes(data)


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that promises that many pixels and holds almost none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def scan_flood(scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded(photo(256, 256), progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + data[-2:]
