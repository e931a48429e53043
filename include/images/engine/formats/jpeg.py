"""The markers of a JPEG: how many scans it has, of what kind it is, and whether it ends.

Bytes behind the end marker are no part of the picture: phones put films and further pictures there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

END = b"\xff\xd9"
_START, _STOP, _SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, _START, *range(0xD0, 0xD8)}  # markers without a length behind them
_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)  # what ends a scan's data
_KINDS = {
    0xC3: "a lossless JPEG", 0xC5: "a hierarchical JPEG", 0xC6: "a hierarchical JPEG", 0xC7: "a lossless JPEG",
    0xCB: "a lossless JPEG", 0xCD: "a hierarchical JPEG", 0xCE: "a hierarchical JPEG", 0xCF: "a lossless JPEG",
    0xF7: "a JPEG-LS picture",
}  # fmt: skip


@dataclass(frozen=True)
class Markers:
    """What was met up to the end marker, or to the last byte."""

    scans: int
    kind: int | None  # the marker of the frame
    bits: int  # of a sample
    ends: bool


def markers(data: bytes, most_scans: int = 1 << 30) -> Markers:
    """Walk the markers, and stop at the end marker or after one scan more than `most_scans`."""
    scans, kind, bits, at = 0, None, 8, 2
    while scans <= most_scans:
        at = data.find(b"\xff", at)
        while data[at : at + 2] == b"\xff\xff":  # any number of them may fill up
            at += 1
        if at < 0 or at + 2 > len(data):
            return Markers(scans, kind, bits, False)
        marker, at = data[at + 1], at + 2
        if marker == _STOP:
            return Markers(scans, kind, bits, True)
        if marker == 0 or marker in _ALONE:
            continue
        if (marker in _FRAMES or marker == 0xF7) and at + 2 < len(data):
            kind, bits = marker, data[at + 2]
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
        if marker == _SCAN:
            scans += 1
            found = _IN_SCAN.search(data, at)
            at = found.start() if found else len(data)
    return Markers(scans, kind, bits, False)


def fault(data: bytes) -> str:
    """Why a JPEG can't be read, in words."""
    found = markers(data)
    if found.kind in _KINDS:
        return f"this is {_KINDS[found.kind]}, which browsers do not show; save it as an ordinary JPEG"
    if found.bits != 8:
        return f"this is a JPEG of {found.bits} bits a colour, which browsers do not show; save it with 8"
    if not found.ends:
        return "the JPEG file ends early: it was cut off"
    return "the JPEG file is damaged"
