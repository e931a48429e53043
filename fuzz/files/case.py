"""A file, how it is to be read, and what may become of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
FIELDS, TEXT = "wrong number of fields", "no text of its encoding"  # why a record is bad
COPY_ENCODINGS = {
    "utf-8": "UTF8", "latin-1": "LATIN1", "cp1252": "WIN1252", "iso8859-15": "LATIN9", "iso8859-2": "LATIN2",
    "cp1250": "WIN1250", "cp1251": "WIN1251", "koi8-r": "KOI8R", "cp1253": "WIN1253", "cp866": "WIN866",
    "euc_kr": "EUC_KR",
}  # fmt: skip


class Form(NamedTuple):
    """A dialect that COPY can be told, and the columns of the table."""

    columns: tuple[str, ...]  # in the order of the dataset; without a header, in that of the file
    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None  # None: the quote itself
    header: bool = True
    null: str | None = ""  # None: no cell is null
    encoding: str = "utf-8"

    @property
    def escapes(self) -> int:
        """The byte that escapes and is not the quote; -1: none."""
        return ord(self.escape) if self.escape and self.escape != self.quote else -1


class Sizes(NamedTuple):
    """What must not matter."""

    chunk: int = 1 << 30
    block: int = 1 << 20
    segment: int = 1 << 20


class Case(NamedTuple):
    """A file and all that is said about it. `whole`: by whole runs, else without the ledger."""

    data: bytes
    form: Form
    sizes: Sizes = Sizes()
    whole: bool = False


Row = tuple[str | None, ...]


@dataclass
class Outcome:
    """What became of a file: its records by the line on which each begins, or why it was refused as a whole."""

    records: dict[int, Row | str] = field(default_factory=dict)  # a row, or why it is bad
    refused: str | None = None  # header, unended, text
    line: int | None = None  # of what is refused, where it is known

    def met_by(self, got: Outcome) -> bool:
        """Whether that is what was wanted."""
        same = (self.refused, self.records) == (got.refused, got.records)
        return same and self.line in (None, got.line)
