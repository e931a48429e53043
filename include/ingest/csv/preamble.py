"""Where the records of a file begin: after a byte order mark, and lines that have nothing to do with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from include.ingest.csv.grammar import Dialect
from include.ingest.csv.names import LINES, LOOK_BYTES, Names, names_by_line
from include.ingest.errors import SourceDamaged
from include.ingest.source import Opened

BOM = b"\xef\xbb\xbf"
PIECE_BYTES = 64 << 10  # read at a time
_LINE_END = re.compile(rb"\r\n|\r|\n")


class Start(NamedTuple):
    """The first byte that is looked at, and the physical line that it begins, from 1 on."""

    offset: int
    line: int


def start_of(name: str, opened: Opened, skip_lines: int = 0) -> Start:
    """Where the text begins after its byte order mark and so many physical lines, whatever these hold.

    Raises SourceDamaged where the file has fewer.
    """
    base = len(BOM) if opened.read(0, min(len(BOM), opened.size)) == BOM else 0
    ends = [base, *islice(_line_ends(opened, base), skip_lines)]
    if len(ends) > skip_lines:
        return Start(ends[-1], skip_lines + 1)
    held = len(ends) - 1 + (ends[-1] < opened.size)
    if held < skip_lines:
        raise SourceDamaged(
            f"{name}:{held}: the file has {held} lines, and the first {skip_lines} are left out (`csv.skip_lines`): it"
            " is cut short, or of another form. Deliver it whole, or correct `csv.skip_lines`"
        )
    return Start(opened.size, held)


def _line_ends(opened: Opened, offset: int) -> Iterator[int]:
    """Where physical lines end, from that byte on."""
    while offset < opened.size:
        raw = opened.read(offset, min(PIECE_BYTES + 1, opened.size - offset))  # the last byte may end a CRLF
        passed = len(raw) if offset + len(raw) == opened.size else PIECE_BYTES
        for found in _LINE_END.finditer(raw):
            if found.start() < passed:
                passed = max(passed, found.end())
                yield offset + found.end()
        offset += passed


class Found(NamedTuple):
    """A header that was looked for."""

    start: Start
    names: list[str]  # of its fields; none where no line begins a header


def find_header(
    opened: Opened, start: Start, dialect: Dialect, encoding: str, records: int, wanted: Sequence[frozenset[str]]
) -> Found:
    """The first header of so many records, near the start, that has a name of each set; else the one with the most."""
    head = opened.read(start.offset, min(LOOK_BYTES, opened.size - start.offset))
    best, most = Names(0, []), -1
    for found in names_by_line(head, dialect, encoding, records):
        held = sum(not names.isdisjoint(found.names) for names in wanted)
        if held > most:
            best, most = found, held
        if held == len(wanted):
            break
    above = b"".join(LINES.findall(head)[: best.above])
    return Found(Start(start.offset + len(above), start.line + best.above), best.names)
