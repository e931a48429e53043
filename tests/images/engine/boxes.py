"""AVIF files as other encoders write them: made of Pillow's by changing its boxes."""

from __future__ import annotations

import struct

HEAD = struct.Struct(">I4s")


def _box(data: bytes, kind: bytes) -> tuple[int, int]:
    """Where the first box of that kind starts and ends."""
    at = data.index(kind) - 4
    return at, at + int.from_bytes(data[at : at + 4], "big")


def _grown(data: bytes, at: int, extra: bytes, *parents: bytes) -> bytes:
    """With more bytes at a place within these boxes; what lies behind is found all the same."""
    out = bytearray(data)
    for kind in parents:
        start, end = _box(data, kind)
        out[start : start + 4] = struct.pack(">I", end - start + len(extra))
    start, _ = _box(data, b"iloc")
    count = int.from_bytes(data[start + 14 : start + 16], "big")
    assert data[start + 8 : start + 14] == b"\0\0\0\0\x44\0", (
        "as Pillow writes it: one extent of four bytes for each item"
    )
    for number in range(count):
        place = start + 22 + 14 * number
        offset = int.from_bytes(data[place : place + 4], "big")
        out[place : place + 4] = struct.pack(">I", offset + len(extra))
    return bytes(out[:at]) + extra + bytes(out[at:])


def with_two_boxes_of_associations(data: bytes) -> bytes:
    """One for each item, as encoders wrote before 2020."""
    start, end = _box(data, b"ipma")
    first = 16 + 3 + data[start + 18]
    boxes = [data[start + 16 : start + first], data[start + first : end]]
    body = b"".join(HEAD.pack(16 + len(one), b"ipma") + bytes(4) + struct.pack(">I", 1) + one for one in boxes)
    grown = _grown(data, end, bytes(len(body) - (end - start)), b"iprp", b"meta")
    return grown[:start] + body + grown[start + len(body) :]


def cropped(data: bytes, size: tuple[int, int], box: tuple[int, int, int, int]) -> bytes:
    """A clean aperture of left, upper, right, lower in a picture of that size."""
    pairs = [(box[2] - box[0], 1), (box[3] - box[1], 1), (box[0] + box[2] - size[0], 2), (box[1] + box[3] - size[1], 2)]
    aperture = HEAD.pack(40, b"clap") + b"".join(struct.pack(">iI", *pair) for pair in pairs)
    _, end = _box(data, b"ipco")
    data = _grown(data, end, aperture, b"ipco", b"iprp", b"meta")
    start, end = _box(data, b"ipma")
    data = _grown(data, end, b"\x80", b"ipma", b"iprp", b"meta")  # of the only item
    count = data[start + 18]
    number = sum(data.count(kind) for kind in (b"ispe", b"pixi", b"av1C", b"colr", b"irot", b"imir")) + 1
    return data[: start + 18] + bytes([count + 1]) + data[start + 19 : end] + bytes([0x80 | number]) + data[end + 1 :]
