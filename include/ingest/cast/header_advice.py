"""What to change in a dataset file where a header does not fit, found by trying it on the first bytes of the file.

A change is named only where it was tried and the header then holds all columns, so that nobody follows it in vain.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from include.ingest.cast.rows import Reader, read_rows, storable_text
from include.ingest.csv.grammar import Dialect
from include.ingest.csv.names import LINES, LOOK_LINES, Names, names_by_line
from include.ingest.csv.records import Block
from include.ingest.drift.matching import is_own, wanted

if TYPE_CHECKING:
    from include.ingest.dataset.definition import Dataset

DELIMITERS = ",;\t|:"
ENCODINGS = ("utf-8", "windows-1252", "iso8859-15", "windows-1250", "cp850", "mac-roman")  # the likely one first
MOST_RECORDS = 3  # of a header
TRIED_BYTES = 16 << 10  # of the file, where more than one thing is wrong with it


class Variant(NamedTuple):
    """A way to read the start of a file."""

    encoding: str
    delimiter: str
    records: int


def advice(names: Sequence[str], dataset: Dataset, dialect: Dialect, line: int, head: bytes) -> str:
    """A sentence or two on what to change. `names` are those of the header on that line, `head` the file's start."""
    needed = wanted(dataset)
    own = Variant(dataset.csv.encoding, dataset.csv.delimiter, dataset.csv.header_lines)
    for variant in _variants(own, dialect, head):
        found = _all_named(variant, own, needed, dialect, head)
        if found and (variant != own or found.above + 1 != line):
            return _told(variant, own, found.above + 1, line, len(needed), names, dataset)
    if (mark := _only_mark(names, own)) is not None:
        return f"{_one_column(names, mark)}: is {mark!r} its `csv.delimiter` rather than {own.delimiter!r}?"
    if not frozenset().union(*needed) & set(names) and _is_row(head, line, dataset, dialect):
        return "It reads as a row of the dataset: where the files have no header, set `csv.header: false`."
    if dataset.csv.header == "search":
        return f"No header within the first {LOOK_LINES} lines and 64 kB holds all of them (`csv.header: search`)."
    told = _undecoded(own, head, line) if is_own(names, dataset) else ""
    return f"{told}Set `source:` of a column in {dataset.name}.yaml to its name in the file."


def _variants(own: Variant, dialect: Dialect, head: bytes) -> list[Variant]:
    """The ways that are worth a try, those with the fewest changes first."""
    ascii_only = head.isascii()
    encodings = [own.encoding, *(name for name in ENCODINGS if not ascii_only and not _same(name, own.encoding))]
    taken = {mark.decode() for mark in (dialect.quote, dialect.escape, dialect.comment) if mark}
    delimiters = [own.delimiter, *(mark for mark in DELIMITERS if mark.encode() in head and mark not in taken)]
    records = [own.records, *range(1, MOST_RECORDS + 1)]
    ways = dict.fromkeys(Variant(*way) for way in product(encodings, delimiters, records))
    return sorted(ways, key=lambda way: sum(one != other for one, other in zip(way, own, strict=True)))


def _same(name: str, other: str) -> bool:
    return codecs.lookup(name).name == codecs.lookup(other).name


def _all_named(
    variant: Variant, own: Variant, needed: Sequence[frozenset[str]], dialect: Dialect, head: bytes
) -> Names | None:
    """The first header that holds all columns, read that way."""
    tried = head if variant == own else head[:TRIED_BYTES]
    dialect = replace(dialect, delimiter=variant.delimiter.encode())
    read = names_by_line(tried, dialect, variant.encoding, variant.records)
    return next((found for found in read if not any(names.isdisjoint(found.names) for names in needed)), None)


def _told(
    variant: Variant, own: Variant, at: int, line: int, columns: int, names: Sequence[str], dataset: Dataset
) -> str:
    """What was found, and all that must be set for it."""
    searched = dataset.csv.header == "search"
    moved = at != line and (not searched or at <= dataset.csv.skip_lines)
    settings = [*([f"csv.skip_lines: {at - 1}"] if moved else []), *_settings(variant, own)]
    together = "" if variant.records == 1 else f" and the {_number(variant.records - 1)} after it, joined,"
    found = f"line {at}{together} hold{'s' if variant.records == 1 else ''} all {columns} columns"
    if variant.encoding != own.encoding:
        found = f"it reads right as {variant.encoding}" + (f", where {found}" if moved or together else "")
    elif variant.delimiter != own.delimiter and not moved and not together and len(names) == 1:
        found = _one_column(names, variant.delimiter)
    text = f"{found[0].upper()}{found[1:]}: set {', '.join(f'`{setting}`' for setting in settings)}"
    return f"{text}{' or `csv.header: search`' if moved and not searched and len(settings) == 1 else ''}."


def _settings(variant: Variant, own: Variant) -> Iterator[str]:
    if variant.encoding != own.encoding:
        yield f"csv.encoding: {variant.encoding}"
    if variant.delimiter != own.delimiter:
        yield f'csv.delimiter: "{shown_mark(variant.delimiter)}"'
    if variant.records != own.records:
        yield f"csv.header_lines: {variant.records}"


def shown_mark(mark: str) -> str:
    """As YAML has it within double quotes."""
    return "\\t" if mark == "\t" else mark


_NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def _one_column(names: Sequence[str], mark: str) -> str:
    count = names[0].count(mark)
    return f"The header has one column and {_number(count)} `{shown_mark(mark)}`"


def _only_mark(names: Sequence[str], own: Variant) -> str | None:
    """The delimiter that a header of one column may have."""
    if len(names) != 1:
        return None
    counts = {mark: names[0].count(mark) for mark in DELIMITERS if mark != own.delimiter}
    mark = max(counts, key=lambda mark: counts[mark])
    return mark if counts[mark] else None


def _is_row(head: bytes, line: int, dataset: Dataset, dialect: Dialect) -> bool:
    """Whether the record on that line is a good row, by position."""
    raw = b"".join(LINES.findall(head)[line - 1 : line])
    if not raw:
        return False
    count = len(dataset.columns)
    zero = np.zeros(1, np.int64)
    rows = read_rows(Block(raw, zero, zero, zero + line), Reader(dataset, dialect, count, tuple(range(count))))
    return bool(rows.table.num_rows == 1)


def _undecoded(own: Variant, head: bytes, line: int) -> str:
    """What an encoding would make of a header that has bytes which its own does not know."""
    raw = b"".join(LINES.findall(head)[line - 1 : line]).rstrip(b"\r\n")
    if decodes(raw, own.encoding):
        return ""
    found = next((name for name in ENCODINGS if decodes(raw, name)), "latin-1")
    return f"It is no {own.encoding}; as {found} it reads: {storable_text(raw.decode(found))[:200]}. "


def decodes(raw: bytes, encoding: str) -> bool:
    """Whether the bytes are text of that encoding."""
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
