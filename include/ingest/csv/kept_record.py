r"""What is kept of a record that can't be loaded: text that people can read, and enough to have its bytes again.

The text is in the file's own encoding. Bytes that are no text there stand as escapes (`\xe4`), and so does NUL, which
PostgreSQL's text can't hold. Where the text alone does not give the bytes back, they are kept beside it; where the
record is longer than RAW_LIMIT, only its beginning is, and the file must be read again.
"""

from __future__ import annotations

from typing import NamedTuple

RAW_LIMIT = 64 << 10  # characters of a rejected record that are kept; the byte offset finds the rest


class Kept(NamedTuple):
    """A record as the ledger has it."""

    raw: str  # to read; without its line end
    record: bytes | None  # its bytes without the line end, where `raw` does not give them
    whole: bool  # whether nothing was cut off


def keep(record: bytes, encoding: str, escape: bytes | None = None) -> Kept:
    """What is kept of a record, given with its line end."""
    exact = without_line_end(record, escape)
    raw = readable(exact.rstrip(b"\r\n"), encoding)
    if len(raw) > RAW_LIMIT:
        return Kept(raw[:RAW_LIMIT], None, False)
    return Kept(raw, None if bytes_of(raw, encoding) == exact else exact, True)


def bytes_of(raw: str, encoding: str) -> bytes | None:
    """The bytes of a text; None where it is none in this encoding."""
    try:
        return raw.encode(encoding)
    except UnicodeEncodeError:
        return None


def without_line_end(record: bytes, escape: bytes | None = None) -> bytes:
    """The record without the one line end that ends it. What stands behind an escape is part of the record."""
    for end in (b"\r\n", b"\n", b"\r"):
        if record.endswith(end):
            left = record[: -len(end)]
            escapes = len(left) - len(left.rstrip(escape)) if escape else 0
            return left + end[:1] if escapes % 2 else left
    return record


def readable(raw: bytes, encoding: str = "utf-8") -> str:
    """Readable text of any bytes, fit for a PostgreSQL text column."""
    text = raw.decode(encoding, errors="backslashreplace").replace("\0", "\\x00")
    # A codec may give half a surrogate pair, which is no text for the server.
    return text.encode(errors="backslashreplace").decode()
