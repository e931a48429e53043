"""Matches the header of a file with the columns of its dataset."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from include.ingest.cast.header_advice import advice
from include.ingest.cast.rows import storable_text
from include.ingest.csv.grammar import Dialect
from include.ingest.csv.names import joined_names, python_reader
from include.ingest.drift.matching import faults_of, is_own, match
from include.ingest.errors import HeaderMismatch

if TYPE_CHECKING:
    from include.ingest.dataset.definition import Dataset

HEADER_LIMIT = 1 << 10  # characters of a header that an error shows


class Header(NamedTuple):
    """How a file's fields map to the dataset's columns."""

    fields: int
    positions: tuple[int, ...]  # of each column, or ABSENT
    names: tuple[str, ...] = ()  # of all fields; none where the file has no header
    unknown: tuple[int, ...] = ()  # positions of the names that the dataset does not have
    renamed: tuple[tuple[str, str], ...] = ()  # columns under another than their first name, with that name


class HeaderPlace(NamedTuple):
    """Where a header stands, and what an error may look at."""

    file: str
    line: int
    head: bytes  # the file's first bytes, without a byte order mark


def header_names(records: Sequence[bytes], dialect: Dialect, encoding: str) -> list[str]:
    """The name of each field, from the raw records of a header."""
    texts = [io.StringIO(raw.decode(encoding, errors="replace"), newline="") for raw in records]
    return joined_names([next(python_reader(text, dialect), []) for text in texts])


def match_header(names: Sequence[str], dataset: Dataset, dialect: Dialect, place: HeaderPlace) -> Header:
    """Where the columns stand.

    Raises HeaderMismatch, with what may be wrong, when a column is missing or stands twice, or the dataset can't take
    what else there is.
    """
    found = match(names, dataset)
    faults = list(faults_of(names, dataset, found))
    if faults:
        held = f": {storable_text(', '.join(names))[:HEADER_LIMIT]}" if is_own(names, dataset) else _number_of(names)
        what = storable_text("; it ".join(fault.what for fault in faults))[: 2 * HEADER_LIMIT]
        ways_out = dict.fromkeys(
            fault.way_out or advice(names, dataset, dialect, place.line, place.head) for fault in faults
        )
        raise HeaderMismatch(f"{place.file}:{place.line}: the header {what}; it holds{held}. {' '.join(ways_out)}")
    return Header(len(names), found.positions, tuple(map(storable_text, names)), found.unknown, found.renamed)


def _number_of(names: Sequence[str]) -> str:
    """What may be told of a record that is no header of this dataset: it may be the first line of anything."""
    number = "nothing" if not any(names) else f"{len(names):,} field{'' if len(names) == 1 else 's'}"
    return f" {number}, none with the name of a column"
