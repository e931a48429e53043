"""Where in a rejected record the bad value stands. Pure functions over text.

The record is shown as it is in the file, so the value is found by its place among the fields, not by its text alone:
in `7,7,x` it matters which 7 is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.ingest.dataset.columns import CsvFormat


@dataclass(frozen=True)
class Marked:
    """A record in three parts, of which the middle one is at fault; it is empty where the whole record is."""

    before: str
    bad: str
    after: str


def marked(raw: str, value: str | None, place: int | None, csv: CsvFormat | None) -> Marked:
    """Cut the record around its bad value. `place` is the field's number from 0, None where it is not known."""
    if place is not None and csv is not None:
        fields = spans(raw, csv)
        if place < len(fields):
            start, end = fields[place]
            if value is None or _same(raw[start:end], value, csv):
                return Marked(raw[:start], raw[start:end], raw[end:])
    if value and raw.count(value) == 1:
        start = raw.index(value)
        return Marked(raw[:start], value, raw[start + len(value) :])
    return Marked(raw, "", "")


def spans(raw: str, csv: CsvFormat) -> Sequence[tuple[int, int]]:
    """Start and end of each field, with its quotes."""
    found, start, quoted, at = [], 0, False, 0
    end = len(raw.rstrip("\r\n"))
    while at < end:
        letter = raw[at]
        if csv.escape and letter == csv.escape and csv.escape != csv.quote:
            at += 1
        elif csv.quote and letter == csv.quote:
            quoted = not quoted  # a doubled one closes and opens again
        elif letter == csv.delimiter and not quoted:
            found.append((start, at))
            start = at + 1
        at += 1
    return [*found, (start, end)]


def _same(shown: str, value: str, csv: CsvFormat) -> bool:
    """Whether the field may hold the value: a part of it must, as a long value is kept in part."""
    quote = csv.quote or ""
    plain = shown.strip().strip(quote).replace(quote * 2, quote) if quote else shown.strip()
    return not value.strip() or value.strip(quote).strip()[:20] in plain
