"""Python's `csv` as the judge of what COPY does not read, or reads otherwise."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from fuzz.files.case import FIELDS, TEXT, Form, Row

LAST = "\x02\x03\x02"


class Parsed(NamedTuple):
    """A record: the line on which it begins, from 1 on, its cells, and its bytes as they stand in the file."""

    line: int
    cells: list[bytes]
    raw: bytes


def rows_of(text: bytes, form: Form) -> tuple[list[Parsed], bool]:
    """The records but blank lines; and whether the last one ends."""
    csv.field_size_limit(1 << 30)
    lines = _Lines(text.decode("latin-1") + "\n" + LAST, form.comment)
    reader = csv.reader(
        lines,
        delimiter=form.delimiter,
        quotechar=form.quote,
        quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
        doublequote=form.escapes < 0,
        escapechar=chr(form.escapes) if form.escapes >= 0 else None,
    )
    found = []
    for row in reader:
        if row:
            cells = [cell.encode("latin-1") for cell in row]
            found.append(Parsed(lines.first, cells, "".join(lines.taken).encode("latin-1")))
        lines.fresh = True
    last = found.pop().cells
    return found, last == [LAST.encode("latin-1")]


class _Lines:
    """Physical lines, of which those are left out that begin with a comment mark where a record would begin."""

    def __init__(self, text: str, comment: str | None) -> None:
        self._lines, self._comment = enumerate(io.StringIO(text, newline=""), 1), comment
        self.fresh = True  # a record begins with the next line
        self.first = 1  # the line with which the last one began
        self.taken: list[str] = []  # its lines

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        while self.fresh and self._comment and line.startswith(self._comment):
            number, line = next(self._lines)
        if self.fresh:
            self.first, self.fresh, self.taken = number, False, []
        self.taken.append(line)
        return line


def judged_late(record: Parsed, form: Form, fields: int, positions: list[int]) -> Row | str:
    """What is to become of a record that COPY does not judge.

    Like COPY, it looks at the bytes as they are in the file: a letter whose bytes a quote parts is no text, although
    they are one without the quote.
    """
    row = judged(record.cells, form, fields, positions)
    parted = not _is_text(record.raw, form) and all(_is_text(cell, form) for cell in record.cells)
    return TEXT if parted and row != FIELDS else row


def _is_text(data: bytes, form: Form) -> bool:
    try:
        data.decode(form.encoding)
    except UnicodeDecodeError:
        return False
    return True


def judged(cells: list[bytes], form: Form, fields: int, positions: list[int]) -> Row | str:
    """What is to become of a record."""
    if len(cells) != fields and not (form.fill and len(cells) < fields):
        return FIELDS
    row: list[str | None] = []
    for position in positions:
        if position >= len(cells):
            row.append(None)
            continue
        try:
            cell = cells[position].decode(form.encoding)
        except UnicodeDecodeError:
            return TEXT
        if "\0" in cell:
            return TEXT
        row.append(None if cell == form.null else cell)
    return tuple(row)
