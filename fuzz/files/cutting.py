"""Cuts a file into records by the rules of COPY (`copyfromparse.c`), as far as they are Millrace's too. Comments are
left out as the file is read, a line at a time.

Nothing here comes from the ingest. That the cut is right is shown by COPY, which makes one row, or a complaint, of each
record.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fuzz.files.case import Form

END_MARK = re.compile(rb"(?:\A|[\r\n])\\\.(?=[\r\n]|\Z)")  # on a line of its own, within quotes too
NEWLINE = re.compile(rb"\r\n|\r|\n")


class Record(NamedTuple):
    """A record with its line end."""

    raw: bytes
    line: int  # on which it begins
    start: int

    @property
    def text(self) -> bytes:
        """Without the line end."""
        return re.sub(rb"(\r\n|\r|\n)\Z", b"", self.raw)


class Cut(NamedTuple):
    """The records that both understand alike, blank lines among them."""

    records: list[Record]
    parts: tuple[str, int, int] | None = None  # why both part, and where the record begins in which they do: byte, line
    unended: int | None = None  # the line on which a quoted field begins that never ends


def cut(body: bytes, form: Form, *, end_mark: bool) -> Cut:
    """Cut the file up to the first byte that COPY takes otherwise. `end_mark`: backslash and point alone end it."""
    delimiter, quote, escape = ord(form.delimiter), ord(form.quote) if form.quote else -1, form.escapes
    records: list[Record] = []
    start, line, style, at = 0, 1, b"", 0
    quoted, fresh, opened = False, True, 0
    comment = ord(form.comment) if form.comment else -1
    while at < len(body):
        if at == start and body[at] == comment:
            ended = NEWLINE.search(body, at)
            start = at = ended.end() if ended else len(body)
            line += 1
            continue
        byte, following = body[at], body[at + 1] if at + 1 < len(body) else -1
        at += 1
        if byte == escape:
            if not quoted or following not in (escape, quote):
                return Cut(records, ("escape", start, line))
            at += 1
        elif quoted:
            if byte == quote and escape < 0 and following == quote:
                at += 1
            elif byte == quote:
                quoted = False
        elif byte == quote:
            if not fresh:
                return Cut(records, ("quote inside", start, line))
            quoted, fresh, opened = True, False, at - 1
        elif byte in b"\r\n":
            end = b"\r\n" if byte == 13 and following == 10 else bytes([byte])
            if style not in (b"", end):
                return Cut(records, ("newlines", start, line))
            style, at = end, at - 1 + len(end)
            record = Record(body[start:at], line, start)
            if end_mark and END_MARK.search(record.raw):
                return Cut(records, ("end mark", start, line))
            records.append(record)
            line += len(NEWLINE.findall(record.raw))
            start, fresh = at, True
        else:
            fresh = byte == delimiter
    if quoted:
        return Cut(records, None, line + len(NEWLINE.findall(body[start:opened])))
    if start < len(body):
        last = Record(body[start:], line, start)
        if end_mark and END_MARK.search(last.raw):
            return Cut(records, ("end mark", start, line))
        records.append(last)
    return Cut(records)
