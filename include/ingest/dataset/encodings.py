"""Which encodings a file may have: those in which it can be cut at any newline byte."""

from __future__ import annotations

import codecs
import importlib
from contextlib import suppress
from functools import lru_cache

NOT_TEXT = ("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined")


@lru_cache
def usable_encoding(name: str) -> str:
    """The codec's own name. Raises ValueError unless its bytes below 0x80 are always ASCII and whole characters."""
    try:
        codec = codecs.lookup(name)
        "".encode(name)
    except LookupError:
        raise ValueError(f"{name} is not a known encoding") from None
    if codec.name == "utf-8-sig":
        return "utf-8"
    if codec.name != "utf-8" and (codec.name in NOT_TEXT or not _keeps_ascii(codec.name)):
        raise ValueError(
            f"in {name}, a byte below 0x80 may be part of another character, so a file can't be cut safely;"
            f" convert it first: iconv -f {name} -t utf-8"
        )
    return codec.name


_ASCII = bytes(range(0x80)).decode("ascii")
_FILLER = "A" * 8  # longer than the longest sequence of any codec, so that none is cut short by the end


def _keeps_ascii(codec: str) -> bool:
    """Whether a byte below 0x80 is that character of ASCII, whatever stands before it."""
    with suppress(ImportError):
        # A table of 256 characters has no memory. To try it takes a tenth of a second, which each task would spend.
        table = getattr(importlib.import_module(f"encodings.{codec.replace('-', '_')}"), "decoding_table", None)
        if isinstance(table, str):
            return table[:0x80] == _ASCII
    return _tried(codec)


def _tried(codec: str) -> bool:
    """Every ASCII byte alone, and after every lead of one or two high bytes."""
    high = [bytes([lead]) for lead in range(0x80, 0x100)]
    pairs = [first + second for first in high for second in high]

    def survives(lead: bytes, letter: str) -> bool:
        return (lead + (letter + _FILLER).encode()).decode(codec, "replace").endswith(letter + _FILLER)

    try:
        return (
            all(letter.encode().decode(codec) == letter for letter in _ASCII)
            and all(survives(lead, letter) for lead in high for letter in _ASCII)
            and all(survives(lead, letter) for lead in pairs for letter in '\n",')
        )
    except (UnicodeError, LookupError):
        return False
