"""The names in header records, read as text: by Python's own reader, which also serves where text is no CSV yet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from include.ingest.csv.grammar import Dialect

LINES = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")  # physical ones, each with its end
LOOK_BYTES, LOOK_LINES = 64 << 10, 200  # within which a header is looked for


class Names(NamedTuple):
    """What a header that begins on some line would name."""

    above: int  # physical lines before it
    names: list[str]


def python_reader(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    """Python's reader of that dialect. It takes no line more than a row needs."""
    return csv.reader(lines, **_options(dialect))


def _options(dialect: Dialect) -> dict[str, Any]:
    return {
        "delimiter": dialect.delimiter.decode(),
        "quotechar": dialect.quote.decode() if dialect.quote else None,
        "quoting": csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        "doublequote": dialect.escape is None,
        "escapechar": dialect.escape.decode() if dialect.escape else None,
    }


def joined_names(records: Sequence[Sequence[str]]) -> list[str]:
    """The name of each field: the texts that stand above each other, joined by a space where both are some."""
    stripped = ([text.strip() for text in record] for record in records)
    return [" ".join(filter(None, texts)) for texts in zip_longest(*stripped, fillvalue="")]


def one_record(names: Sequence[str], dialect: Dialect, encoding: str) -> bytes:
    """A header of one record with these names; empty where that can't be written."""
    out = io.StringIO(newline="")
    try:
        csv.writer(out, **_options(dialect)).writerow(names)
        return out.getvalue().encode(encoding)
    except (csv.Error, UnicodeEncodeError):
        return b""


def names_by_line(head: bytes, dialect: Dialect, encoding: str, records: int) -> Iterator[Names]:
    """What a header of so many records would name, for each line on which it could begin.

    What stands above a header is no CSV, so a quote there may be open: any line is tried, whatever precedes it.
    """
    texts = [line.decode(encoding, errors="replace") for line in LINES.findall(head)[:LOOK_LINES]]
    for above, text in enumerate(texts):
        if _is_record(text, dialect):
            found = _first_records(texts[above:], dialect, records)
            if len(found) == records:
                yield Names(above, joined_names(found))


def _is_record(text: str, dialect: Dialect) -> bool:
    comment = dialect.comment.decode() if dialect.comment else None
    return bool(text.strip("\r\n")) and not (comment and text.startswith(comment))


def _first_records(texts: Sequence[str], dialect: Dialect, count: int) -> list[list[str]]:
    """The fields of the first records, up to one that does not end."""
    found: list[list[str]] = []
    lines, beyond = iter(texts), iter([""])
    for text in lines:
        if _is_record(text, dialect):
            row = next(python_reader(chain([text], lines, beyond), dialect))
            if next(beyond, None) is None:  # the reader wanted more
                break
            beyond = iter([""])
            found.append(row)
            if len(found) == count:
                break
    return found
