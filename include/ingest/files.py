"""The files of a run: finds them, and cuts their records into chunks, many small ones into one chunk."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

import xxhash

from include.ingest.cast.rows import Header, read_header
from include.ingest.csv.grammar import Dialect
from include.ingest.csv.records import Chunk
from include.ingest.csv.scan import Layout, scan_file, step_for
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import HeaderMismatch
from include.ingest.source import File, Source
from include.ingest.source.packed import Limit
from include.ingest.source.storage import Storage

SIDE_BY_SIDE = 4  # files that are unpacked or scanned at a time


class Found(NamedTuple):
    """What the files hold, as one text."""

    files: tuple[File, ...]
    chunks: tuple[Chunk, ...]
    header: Header
    digest: str
    head: bytes = b""  # the header record of the first file; empty: it has none

    @property
    def size(self) -> int:
        """Bytes of all."""
        return self.files[-1].end


def find_files(storage: Storage, path: str, run_id: UUID, dataset: Dataset, dialect: Dialect, seed: int = 0) -> Found:
    """Find the files of a path, pattern or folder, in the order of their names, and cut them. `seed`: of their digests.

    Raises SourceMissing, SourceDamaged, HeaderMismatch, RecordNotEnded or RecordTooLong.
    """
    limit = Limit(dataset.unpack_limit.bytes, dataset.unpack_limit.ratio)
    listed = storage.files(path)

    def scan(text: Source, step: int | None) -> Layout:
        return scan_file(
            text,
            dialect,
            header=dataset.csv.header,
            chunk_bytes=dataset.chunk_bytes,
            lanes=dataset.parallel,
            step=step,
            max_record_bytes=dataset.max_record_bytes,
            seed=seed,
        )

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        texts = list(pool.map(lambda one: storage.text(one[0], one[1], run_id, limit), listed))
        step = None
        if len(texts) > 1:
            step = step_for(sum(pool.map(_size, texts)), dataset.chunk_bytes, lanes=dataset.parallel)
        layouts = list(pool.map(lambda text: scan(text, step), texts))
        headers = list(pool.map(lambda text, layout: _header(dataset, dialect, text, layout), texts, layouts))
    files, offset = [], 0
    for (name, mark), layout in zip(listed, layouts, strict=True):
        first = layout.chunks[0] if layout.chunks else Chunk(0, layout.size, 0, 1)
        files.append(File(name, mark, layout.digest, offset, layout.size, first.offset, first.first_line))
        offset += layout.size
    header, digest = _one_header(dataset, files, headers), _digest(files, seed)
    return Found(tuple(files), _chunks(files, layouts, step), header, digest, _head(texts[0], layouts[0]))


def _head(text: Source, layout: Layout) -> bytes:
    if not layout.header_length:
        return b""
    with text.open() as opened:
        return opened.read(layout.header_offset, layout.header_length)


def _size(text: Source) -> int:
    with text.open() as opened:
        return opened.size


def _header(dataset: Dataset, dialect: Dialect, text: Source, layout: Layout) -> Header | None:
    """How the fields stand in the file; None: it has no header."""
    if not dataset.csv.header:
        return None
    if not layout.header_length:  # else an empty delivery would pass for one from which all rows have gone
        raise HeaderMismatch(
            f"{text}:1: the file is empty: it lacks the header that each file of {dataset.name} begins with, also one"
            " without rows. Deliver it whole, or take it away; set `csv.header: false` if files have no header"
        )
    with text.open() as opened:
        raw = opened.read(layout.header_offset, layout.header_length)
    return read_header(raw, dataset, dialect, str(text))


def _one_header(dataset: Dataset, files: Sequence[File], headers: Sequence[Header | None]) -> Header:
    """The header that all files have."""
    first = headers[0]
    if first is None:
        return Header(len(dataset.columns), tuple(range(len(dataset.columns))))
    for file, header in zip(files, headers, strict=True):
        if header is None or header[:2] != first[:2]:
            raise HeaderMismatch(
                f"{file.path}:1: its columns do not stand as in {files[0].path}, which is of the same run. Files of"
                " one run have one header: deliver them so, or ingest them one by one by the form's path"
            )
    return first


def _digest(files: Sequence[File], seed: int) -> str:
    """A digest of all content, in this order."""
    return (
        files[0].digest
        if len(files) == 1
        else xxhash.xxh3_128_hexdigest(b" ".join(file.digest.encode() for file in files), seed)
    )


def _chunks(files: Sequence[File], layouts: Sequence[Layout], step: int | None) -> tuple[Chunk, ...]:
    """The chunks of all files; files smaller than a chunk are put together, whole."""
    chunks: list[Chunk] = []
    open_for_more = False
    for file, layout in zip(files, layouts, strict=True):
        moved = [replace(chunk, offset=chunk.offset + file.offset) for chunk in layout.chunks]
        if open_for_more and len(moved) == 1 and step and file.end - chunks[-1].offset <= step:
            last = chunks[-1]
            lines = min(last.first_line, moved[0].first_line)
            chunks[-1] = replace(last, length=file.end - last.offset, first_line=lines)
            continue
        chunks += moved
        open_for_more = len(moved) == 1 or (open_for_more and not moved)
    return tuple(replace(chunk, number=number) for number, chunk in enumerate(chunks))
