"""A file, how it is to be read, and what may become of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
FIELDS, TEXT = "wrong number of fields", "no text of its encoding"  # why a record is bad
ANY = "any"  # a file that is refused, for one of several reasons
COPY_ENCODINGS = {
    "utf-8": "UTF8", "latin-1": "LATIN1", "cp1252": "WIN1252", "iso8859-15": "LATIN9", "iso8859-2": "LATIN2",
    "cp1250": "WIN1250", "cp1251": "WIN1251", "koi8-r": "KOI8R", "cp1253": "WIN1253", "cp866": "WIN866",
    "euc_kr": "EUC_KR",
}  # fmt: skip


class Form(NamedTuple):
    """A dialect that COPY can be told, the columns of the table, and what stands around the records."""

    columns: tuple[str, ...]  # in the order of the dataset; without a header, in that of the file
    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None  # None: the quote itself
    header: bool | str = True  # or "search"
    null: str | None = ""  # None: no cell is null
    encoding: str = "utf-8"
    comment: str | None = None
    header_lines: int = 1
    skip: int = 0  # physical lines
    footer: int = 0  # records
    fill: bool = False  # short records

    @property
    def escapes(self) -> int:
        """The byte that escapes and is not the quote; -1: none."""
        return ord(self.escape) if self.escape and self.escape != self.quote else -1

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns' names in the file: of a header of several records, every other one has a text in the first."""
        if self.header_lines == 1:
            return self.columns
        return tuple(f"over {name}" if int(name[1:]) % 2 else name for name in self.columns)


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
    refused: str | None = None  # header, unended, text, any
    line: int | None = None  # of what is refused, where it is known

    def met_by(self, got: Outcome) -> bool:
        """Whether that is what was wanted."""
        if self.refused == ANY:
            return got.refused is not None
        same = (self.refused, self.records) == (got.refused, got.records)
        return same and self.line in (None, got.line)
