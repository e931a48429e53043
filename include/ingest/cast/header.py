"""Matches the header of a file with the columns of its dataset."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from include.ingest.cast.header_advice import advice
from include.ingest.cast.rows import storable_text
from include.ingest.csv.grammar import Dialect
from include.ingest.csv.names import joined_names, python_reader
from include.ingest.errors import HeaderMismatch

if TYPE_CHECKING:
    from include.ingest.dataset.definition import Dataset

HEADER_LIMIT = 1 << 10  # characters of a header that an error shows


class Header(NamedTuple):
    """How a file's fields map to the dataset's columns."""

    fields: int
    positions: tuple[int, ...]  # of each column
    ignored: tuple[str, ...] = ()  # names that the dataset does not have


class HeaderPlace(NamedTuple):
    """Where a header stands, and what an error may look at."""

    file: str
    line: int
    head: bytes  # the file's first bytes, without a byte order mark


def wanted_names(dataset: Dataset) -> list[str]:
    """What the header must name, in the order of the columns."""
    return [column.source or name for name, column in dataset.columns.items()]


def header_names(records: Sequence[bytes], dialect: Dialect, encoding: str) -> list[str]:
    """The name of each field, from the raw records of a header."""
    texts = [io.StringIO(raw.decode(encoding, errors="replace"), newline="") for raw in records]
    return joined_names([next(python_reader(text, dialect), []) for text in texts])


def match_header(names: Sequence[str], dataset: Dataset, dialect: Dialect, place: HeaderPlace) -> Header:
    """Where the columns stand. Raises HeaderMismatch when one is missing or stands twice, with what may be wrong."""
    wanted = wanted_names(dataset)
    missing = [name for name in wanted if name not in names]
    twice = sorted({name for name in names if names.count(name) > 1 and name in wanted})
    if missing or twice:
        what = f"lacks {', '.join(missing)}" if missing else f"names {', '.join(twice)} twice"
        held = storable_text(", ".join(names))[:HEADER_LIMIT] or "nothing"
        hint = "Name each column once: deliver the file so, or set `source:` of the column to another name."
        if missing:
            hint = advice(names, wanted, dataset, dialect, place.line, place.head)
        raise HeaderMismatch(f"{place.file}:{place.line}: the header {what}; it holds: {held}. {hint}")
    ignored = tuple(storable_text(name) for name in names if name not in wanted)
    return Header(len(names), tuple(names.index(name) for name in wanted), ignored)
