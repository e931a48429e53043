"""Python's `csv` as the judge of what COPY does not read, or reads otherwise."""

from __future__ import annotations

import csv
import io

from fuzz.files.case import FIELDS, TEXT, Form, Row

LAST = "\x02\x03\x02"


def rows_of(text: bytes, form: Form) -> tuple[list[tuple[int, list[bytes]]], bool]:
    """The rows with the lines (from 1 on) on which they begin, without blank lines; and whether the last one ends."""
    csv.field_size_limit(1 << 30)
    reader = csv.reader(
        io.StringIO(text.decode("latin-1") + "\n" + LAST, newline=""),
        delimiter=form.delimiter,
        quotechar=form.quote,
        quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
        doublequote=form.escapes < 0,
        escapechar=chr(form.escapes) if form.escapes >= 0 else None,
    )
    found, line = [], 1
    for row in reader:
        if row:
            found.append((line, [cell.encode("latin-1") for cell in row]))
        line = reader.line_num + 1
    last = found.pop()[1]
    return found, last == [LAST.encode("latin-1")]


def judged(cells: list[bytes], form: Form, fields: int, positions: list[int]) -> Row | str:
    """What is to become of a record."""
    if len(cells) != fields:
        return FIELDS
    row: list[str | None] = []
    for position in positions:
        try:
            cell = cells[position].decode(form.encoding)
        except UnicodeDecodeError:
            return TEXT
        if "\0" in cell:
            return TEXT
        row.append(None if cell == form.null else cell)
    return tuple(row)
