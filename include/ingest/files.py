"""The files of a run: finds them, and cuts their records into chunks, many small ones into one chunk."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

import xxhash

from include.ingest.cast.header import Header, HeaderPlace, header_names, match_header
from include.ingest.csv.grammar import Dialect
from include.ingest.csv.names import LOOK_BYTES, one_record
from include.ingest.csv.preamble import Start, find_header, start_of
from include.ingest.csv.records import Chunk
from include.ingest.csv.scan import Layout, scan_file, step_for
from include.ingest.dataset.definition import Dataset
from include.ingest.drift.matching import BY_NAME, wanted
from include.ingest.errors import HeaderMismatch
from include.ingest.source import File, Opened, Source
from include.ingest.source.file_signatures import HEAD_BYTES as KIND_BYTES
from include.ingest.source.file_signatures import check_text
from include.ingest.source.packed import Limit
from include.ingest.source.storage import Storage

SIDE_BY_SIDE = 4  # files that are unpacked or scanned at a time


class Found(NamedTuple):
    """What the files hold, as one text."""

    files: tuple[File, ...]
    chunks: tuple[Chunk, ...]
    header: Header
    digest: str
    head: bytes = b""  # the header of the first file, as one record; empty: it has none

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

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        texts = list(pool.map(lambda one: storage.text(one[0], one[1], run_id, limit), listed))
        step = None
        if len(texts) > 1:
            step = step_for(sum(pool.map(_size, texts)), dataset.chunk_bytes, lanes=dataset.parallel)
        layouts = list(pool.map(lambda text: cut_file(text, dataset, dialect, step=step, seed=seed), texts))
        headers = list(pool.map(lambda text, layout: _header(dataset, dialect, text, layout), texts, layouts))
    files, offset = [], 0
    for (name, mark), layout in zip(listed, layouts, strict=True):
        first = layout.chunks[0] if layout.chunks else Chunk(0, layout.size, 0, 1)
        files.append(File(name, mark, layout.digest, offset, layout.size, first.offset, first.first_line, layout.end))
        offset += layout.size
    header, digest = _one_header(dataset, files, layouts, headers), _digest(files, seed)
    head = _head(texts[0], layouts[0], dialect, dataset.csv.encoding)
    return Found(tuple(files), _chunks(files, layouts, step), header, digest, head)


def _head(text: Source, layout: Layout, dialect: Dialect, encoding: str) -> bytes:
    """The header as it stands there; one of several records as the one record that names the same fields."""
    raws = _header_records(text, layout)
    if len(raws) <= 1:
        return b"".join(raws)
    try:
        b"".join(raws).decode(encoding)
    except UnicodeDecodeError:  # then the names are not quite those of the file
        return b""
    return one_record(header_names(raws, dialect, encoding), dialect, encoding)


def _header_records(text: Source, layout: Layout) -> list[bytes]:
    with text.open() as opened:
        return [opened.read(record.offset, record.length) for record in layout.header]


def _size(text: Source) -> int:
    with text.open() as opened:
        return opened.size


def cut_file(text: Source, dataset: Dataset, dialect: Dialect, **options: Any) -> Layout:
    """Scan one file as its dataset says; `options` are those of `scan_file`. Raises what `find_files` does."""
    csv, start = dataset.csv, None
    if csv.skip_lines or csv.header == "search":
        with text.open() as opened:
            check_text(str(text), opened.read(0, min(KIND_BYTES, opened.size)))
            start = start_of(str(text), opened, csv.skip_lines)
            if csv.header == "search":
                start = _searched(text, opened, start, dataset, dialect)
    return scan_file(
        text,
        dialect,
        header=bool(csv.header),
        header_records=csv.header_lines,
        footer_records=csv.footer_lines,
        start=start,
        **{
            "chunk_bytes": dataset.chunk_bytes,
            "lanes": dataset.parallel,
            "max_record_bytes": dataset.max_record_bytes,
            **options,
        },
    )


def _searched(text: Source, opened: Opened, start: Start, dataset: Dataset, dialect: Dialect) -> Start:
    """Where the header begins. Raises HeaderMismatch with the most likely one if none holds all columns."""
    found = find_header(opened, start, dialect, dataset.csv.encoding, dataset.csv.header_lines, wanted(dataset))
    if found.names:
        match_header(found.names, dataset, dialect, _place(text, opened, found.start.line))
    return found.start


def _place(text: Source, opened: Opened, line: int) -> HeaderPlace:
    base = start_of(str(text), opened).offset
    return HeaderPlace(str(text), line, opened.read(base, min(LOOK_BYTES, opened.size - base)))


def _header(dataset: Dataset, dialect: Dialect, text: Source, layout: Layout) -> Header | None:
    """How the fields stand in the file; None: it has no header."""
    csv = dataset.csv
    if not csv.header:
        return None
    if not layout.header:  # else an empty delivery would pass for one from which all rows have gone
        what = "the file holds no record" if csv.skip_lines or csv.comment else "the file is empty"
        raise HeaderMismatch(
            f"{text}:{layout.start.line}: {what}: it lacks the header that each file of {dataset.name} begins with,"
            " also one without rows. Deliver it whole, or take it away; set `csv.header: false` if files have no header"
        )
    line = layout.header[0].line
    if len(layout.header) < csv.header_lines:
        raise HeaderMismatch(
            f"{text}:{line}: the file holds {len(layout.header)} records, and the header alone has {csv.header_lines}"
            " (`csv.header_lines`). Deliver it whole, or correct `csv.header_lines`"
        )
    names = header_names(_header_records(text, layout), dialect, csv.encoding)
    with text.open() as opened:
        return match_header(names, dataset, dialect, _place(text, opened, line))


def _one_header(
    dataset: Dataset, files: Sequence[File], layouts: Sequence[Layout], headers: Sequence[Header | None]
) -> Header:
    """The header that all files have; where unknown columns are ignored, with the names that any of them has."""
    first = headers[0]
    if first is None:
        return Header(len(dataset.columns), tuple(range(len(dataset.columns))))
    for file, layout, header in zip(files, layouts, headers, strict=True):
        if header is None or _layout(header, dataset) != _layout(first, dataset):
            raise HeaderMismatch(
                f"{file.path}:{layout.header[0].line}: its columns do not stand as in {files[0].path}, which is of the"
                " same run. Files of one run have one header: deliver them so, or ingest them one by one by the form's"
                " path"
            )
    found = [header for header in headers if header is not None]
    renamed = tuple(dict.fromkeys(chain.from_iterable(header.renamed for header in found)))
    names = tuple(dict.fromkeys(chain.from_iterable(header.names for header in found)))
    if len(names) == len(first.names):
        return first._replace(renamed=renamed)
    unknown = {header.names[place] for header in found for place in header.unknown}
    places = tuple(place for place, name in enumerate(names) if name in unknown)
    return first._replace(names=names, unknown=places, renamed=renamed)


def _layout(header: Header, dataset: Dataset) -> tuple[object, ...]:
    """What of a header decides how records are read."""
    by_name = dataset.unknown_columns in BY_NAME
    return header.fields, header.positions, by_name and [header.names[place] for place in header.unknown]


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
