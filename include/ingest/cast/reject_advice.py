"""What may be wrong with a whole file where most of its records are rejected for one reason."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from include.ingest.cast.header_advice import DELIMITERS, ENCODINGS, decodes, shown_mark
from include.ingest.csv.names import python_reader

if TYPE_CHECKING:
    from include.ingest.csv.grammar import Dialect
    from include.ingest.dataset.definition import Dataset


class Rejected(NamedTuple):
    """One of the rejected records, as the ledger has it."""

    rule: str
    value: str | None
    raw: str


def reject_advice(rejected: Sequence[Rejected], dataset: Dataset, dialect: Dialect, fields: int) -> str:
    """A sentence on the file's encoding, its delimiter or its short rows; empty where most have other faults.

    `rejected` are some of a run's, `fields` are those of its header.
    """
    for rule, told in (("encoding", _encoding), ("fields", _width)):
        some = [one for one in rejected if one.rule == rule]
        if 2 * len(some) > len(rejected):
            return told(some, dataset, dialect, fields)
    return ""


def _encoding(some: Sequence[Rejected], dataset: Dataset, dialect: Dialect, fields: int) -> str:
    values = [_as_bytes(one.value or "") for one in some]
    found = next((name for name in ENCODINGS if all(decodes(value, name) for value in values)), None)
    said = f" Most of them are no {dataset.csv.encoding}"
    if found is None:
        return f"{said}: see `csv.encoding`."
    # No value of them: this stands in logs and notes.
    return f"{said}, and all are text as {found}: if they read right so, set `csv.encoding: {found}`."


def _as_bytes(value: str) -> bytes:
    r"""The bytes of a cell that the ledger shows with \xff for what is no text."""
    parts = re.split(r"\\x([0-9a-f]{2})", value)
    return b"".join(bytes.fromhex(part) if number % 2 else part.encode() for number, part in enumerate(parts))


def _width(some: Sequence[Rejected], dataset: Dataset, dialect: Dialect, fields: int) -> str:
    taken = {mark.decode() for mark in (dialect.delimiter, dialect.quote, dialect.escape, dialect.comment) if mark}
    for mark in DELIMITERS:
        if mark not in taken and all(_fields(one, dialect, mark) == fields for one in some):
            return f' Most of them have {fields} fields where `csv.delimiter` is "{shown_mark(mark)}": set it so.'
    if all(_fields(one, dialect, dataset.csv.delimiter) < fields for one in some):
        return (
            " Most of them have fewer fields than the header: `csv.short_rows: fill` takes the missing ones for null."
        )
    return ""


def _fields(one: Rejected, dialect: Dialect, mark: str) -> int:
    text = io.StringIO(one.raw, newline="")
    return len(next(python_reader(text, replace(dialect, delimiter=mark.encode())), []))
