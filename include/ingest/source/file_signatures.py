"""What a file is, by its first bytes, whatever it is called."""

from __future__ import annotations

import re

from include.ingest.errors import SourceDamaged

HEAD_BYTES = 512  # enough for all of it: the mark of tar stands at byte 257
PLAINLY = "deliver it uncompressed, or compressed with gzip or zstd"

# More than the letters that some begin with, which may begin a header as well.
_FOREIGN = {
    rb"PK(\x03\x04|\x05\x06)": "zip",
    rb"BZh[1-9](1AY&SY|\x17rE8P\x90)": "bzip2",
    rb"\xfd7zXZ\x00": "xz",
    rb"\x04\x22\x4d\x18": "lz4",
    rb"7z\xbc\xaf\x27\x1c": "7z",
    rb"Rar!\x1a\x07": "rar",
    rb"(?s:.{257})ustar": "tar",
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a workbook of Excel",
    rb"PAR1[\x00-\x08\x0b\x0c\x0e-\x1f]": "Parquet",
    rb"Obj\x01": "Avro",
    rb"PGDMP[\x00-\x08]": "a dump of PostgreSQL",
}
_PACKED = rb"\x1f\x8b|\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"
_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_LEAST = 8  # bytes that tell something
_SHARE = 0.75  # of the upper halves of characters, that are zero in most text


def check_stored(name: str, head: bytes) -> None:
    """Raise SourceDamaged for a file that is packed, or written, in a way that is not read."""
    found = foreign(head)
    if found:
        raise SourceDamaged(f"{name} is {found}, which is not read: {PLAINLY}")


def check_text(name: str, head: bytes) -> None:
    """Raise SourceDamaged for what is no text in a codec that keeps ASCII: compressed twice, or UTF-16."""
    found = foreign(head) or ("compressed twice" if re.match(_PACKED, head) else None)
    if found:
        raise SourceDamaged(f"{name}, unpacked, is {found}: {PLAINLY} once")
    found = wide(head)
    if found:
        raise SourceDamaged(
            f"{name} is {found}, in which a file can't be cut safely: convert it first, as by"
            f" iconv -f {found.lower()} -t utf-8"
        )


def foreign(head: bytes) -> str | None:
    """The name of what is not read; None: it is none of that."""
    return next((name for pattern, name in _FOREIGN.items() if re.match(pattern, head)), None)


def wide(head: bytes) -> str | None:
    """UTF-16 or UTF-32, with its mark or without."""
    mark = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if mark and b"\0" in head:
        return mark
    for first in (0, 1):
        half = head[first::2]
        if len(head) >= _LEAST and half.count(0) >= _SHARE * len(half):
            return "UTF-32" if head[first ^ 1 :: 2].count(0) * 2 >= len(half) - 1 else "UTF-16"
    return None
