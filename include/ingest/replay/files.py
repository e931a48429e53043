"""Rejected records out of their files, while these are the ones that were read: what the ledger does not keep."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Iterable
from uuid import UUID

from include.ingest.csv.grammar import Dialect
from include.ingest.csv.kept_record import without_line_end
from include.ingest.csv.records import Chunk, read_blocks
from include.ingest.errors import IngestError
from include.ingest.source import File
from include.ingest.source.packed import Limit
from include.ingest.source.storage import Storage

MAX_RECORD_BYTES = 512 << 20  # the most that any dataset may allow
READ_BYTES = 64 << 10  # for the first look: most records are shorter

log = logging.getLogger("millrace")


class Files:
    """The files of a run, to read single records of. `close` removes what was unpacked."""

    def __init__(self, storage: Storage, files: Iterable[File], reading: UUID, dialect: Dialect) -> None:
        self._storage, self._reading, self._dialect = storage, reading, dialect
        self._files = {file.path: file for file in files}
        self._same: dict[str, bool] = {}

    def record(self, path: str, offset: int, line: int) -> bytes | None:
        """The record that begins there, without its line end; None: the file is gone, or is another one by now."""
        file = self._files.get(path)
        if file is None or not self._is_same(file):
            return None
        text = self._storage.text(path, file.mark, self._reading, Limit(file.size))
        try:
            chunk = Chunk(0, offset, file.size - offset, line)
            blocks = read_blocks(text, self._dialect, chunk, block_bytes=READ_BYTES, max_record_bytes=MAX_RECORD_BYTES)
            block = next(iter(blocks))
        except (IngestError, OSError, StopIteration) as fault:
            log.info("%s can't be read at byte %d: %s", path, offset, fault)
            return None
        end = int(block.starts[1]) if len(block.starts) > 1 else len(block.data)
        return without_line_end(bytes(block.data[:end]), self._dialect.escape)

    def head(self, path: str) -> bytes:
        """What stands before the first record; empty: nothing, or the file is another one by now."""
        file = self._files[path]
        if not (file.data_offset and self._is_same(file)):
            return b""
        with self._storage.text(path, file.mark, self._reading, Limit(file.size)).open() as opened:
            return opened.read(0, file.data_offset).removeprefix(codecs.BOM_UTF8)

    def close(self) -> None:
        """Remove what was unpacked."""
        self._storage.forget(self._reading)

    def _is_same(self, file: File) -> bool:
        if file.path not in self._same:
            try:
                self._same[file.path] = self._storage.stored(file.path).mark() == file.mark
            except (IngestError, OSError):
                self._same[file.path] = False
        return self._same[file.path]
