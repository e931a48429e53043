"""Python's `csv` as the judge of what COPY does not read, or reads otherwise."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from fuzz.files.case import FIELDS, TEXT, Form, Row

LAST = "\x02\x03\x02"
NO_TEXT = re.compile("[\0\udc80-\udcff]")


def rows_of(text: bytes, form: Form) -> tuple[list[tuple[int, list[str]]], bool]:
    """The rows with the lines (from 1 on) on which they begin, without blank lines; and whether the last one ends.

    A byte that is no text where it stands in the file becomes a lone surrogate. So does each byte of a letter that a
    quote parts: COPY, too, reads letters before it takes quotes away.
    """
    csv.field_size_limit(1 << 30)
    lines = _Lines(text.decode(form.encoding, "surrogateescape") + "\n" + LAST, form.comment)
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
            found.append((lines.first, row))
        lines.fresh = True
    last = found.pop()[1]
    return found, last == [LAST]


class _Lines:
    """Physical lines, of which those are left out that begin with a comment mark where a record would begin."""

    def __init__(self, text: str, comment: str | None) -> None:
        self._lines, self._comment = enumerate(io.StringIO(text, newline=""), 1), comment
        self.fresh = True  # a record begins with the next line
        self.first = 1  # the line with which the last one began

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        while self.fresh and self._comment and line.startswith(self._comment):
            number, line = next(self._lines)
        if self.fresh:
            self.first, self.fresh = number, False
        return line


def judged(cells: list[str], form: Form, fields: int, positions: list[int]) -> Row | str:
    """What is to become of a record."""
    if len(cells) != fields and not (form.fill and len(cells) < fields):
        return FIELDS
    row: list[str | None] = []
    for position in positions:
        if position >= len(cells):
            row.append(None)
            continue
        cell = cells[position]
        if NO_TEXT.search(cell):
            return TEXT
        row.append(None if cell == form.null else cell)
    return tuple(row)
