"""The records of a replay as one text in a temporary file, which the ingest reads like any other.

Those that nobody has edited stand together, and those that were corrected. What was rejected names the place in this
text; the spool knows which row of the ledger stands there.
"""

from __future__ import annotations

import shutil
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO, NamedTuple
from uuid import UUID

import numpy as np

from include.ingest.csv.records import Chunk
from include.ingest.source import File, Mark, Source
from include.ingest.source.local import LocalFile
from include.ingest.source.storage import Storage

FIRST_LINE = b"records that are replayed\n"  # so that no record begins the file, and is taken for a packed one's mark


class Record(NamedTuple):
    """A record to replay: the row of the ledger, its bytes without the line end, and where it stood."""

    rejected_id: int
    data: bytes
    edited: bool
    file: int  # its number among the run's
    line: int


class Places(NamedTuple):
    """Where the records stand, each array int64 and as long as there are records."""

    ids: np.ndarray  # the row of the ledger
    offsets: np.ndarray  # in this text, ascending
    text_lines: np.ndarray  # on which it begins in this text, ascending
    files: np.ndarray  # number of the file that it came from
    lines: np.ndarray  # on which it begins there
    edited: np.ndarray  # 0 or 1


@dataclass(frozen=True)
class Spool(Storage):
    """A storage that holds one file, of this name."""

    name: str = field(kw_only=True)
    path: Path = field(kw_only=True)
    size: int = field(kw_only=True)
    chunks: tuple[Chunk, ...] = field(kw_only=True)  # of the records as they came, and of those that were corrected
    places: Places = field(kw_only=True, compare=False, repr=False)

    @property
    def file(self) -> File:
        """The one file."""
        return File(self.name, Mark(self.size, ""), "", 0, self.size, len(FIRST_LINE), 2)

    def files(self, path: str) -> list[tuple[str, Mark]]:
        """The one file."""
        return [(self.name, self.file.mark)]

    def planned(self, name: str, files: Sequence[File], run_id: UUID) -> Source:
        """Its text."""
        return LocalFile(self.path, self.name)

    def forget(self, run_id: UUID) -> None:
        """Nothing was unpacked."""

    def unpacked(self) -> set[UUID]:
        """Nothing was."""
        return set()

    def is_edited(self, chunk: Chunk) -> bool:
        """Whether it is the chunk of the corrected records."""
        return bool(self.places.edited[np.searchsorted(self.places.offsets, chunk.offset)])


@contextmanager
def spooled(records: Iterable[Record], name: str, *, edited_first: bool) -> Iterator[Spool]:
    """Write records, in the order of their files, into a temporary file that lasts as long as the block."""
    with _Part() as as_is, _Part() as edited:
        for record in records:
            (edited if record.edited else as_is).add(record)
        parts = [edited, as_is] if edited_first else [as_is, edited]
        with NamedTemporaryFile(prefix="millrace-replay-") as out:
            out.write(FIRST_LINE)
            chunks: list[Chunk] = []
            places: list[Places] = []
            line = 2
            for part in parts:
                if len(part.columns[0]):
                    start = out.tell()
                    places.append(part.places(start, line))
                    part.copy_to(out)
                    chunks.append(Chunk(len(chunks), start, part.size, line))
                    line += part.text_lines
            out.flush()
            arrays = [np.concatenate(columns) for columns in zip(*places, strict=True)]
            found = Places(*(arrays or [np.empty(0, np.int64)] * len(Places._fields)))
            yield Spool(name=name, path=Path(out.name), size=out.tell(), chunks=tuple(chunks), places=found)


class _Part:
    """Records that stand together, in a temporary file of their own until they have all come."""

    def __init__(self) -> None:
        self.columns = tuple(array("q") for _ in Places._fields)
        self.size, self.text_lines = 0, 0
        self._out: IO[bytes] = TemporaryFile(prefix="millrace-replay-")  # noqa: SIM115  # closed by __exit__

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()

    def add(self, record: Record) -> None:
        """One more."""
        place = (record.rejected_id, self.size, self.text_lines, record.file, record.line, record.edited)
        for column, value in zip(self.columns, place, strict=True):
            column.append(value)
        written = record.data + b"\n"
        self._out.write(written)
        self.size += len(written)
        self.text_lines += _line_ends(written)

    def places(self, offset: int, line: int) -> Places:
        """Where they stand in a text in which the first one stands there."""
        found = Places(*(np.array(column, np.int64) for column in self.columns))
        return found._replace(offsets=found.offsets + offset, text_lines=found.text_lines + line)

    def copy_to(self, out: IO[bytes]) -> None:
        """Append them to that file."""
        self._out.seek(0)
        shutil.copyfileobj(self._out, out)


def _line_ends(data: bytes) -> int:
    """Physical line ends: LF, CRLF and a lone CR."""
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
