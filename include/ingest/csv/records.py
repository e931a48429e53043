"""The records of a CSV file: cuts a chunk into blocks of whole records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from include.ingest.csv.grammar import LF, Dialect, Grammar, Text, grammar_of, is_record
from include.ingest.dataset.definition import MAX_RECORD_BYTES
from include.ingest.errors import IngestError
from include.ingest.source import Source


class RecordTooLong(IngestError):
    """A record is longer than the limit, most likely because a quote is never closed."""


@dataclass(frozen=True)
class Chunk:
    """A byte range of whole records; where it spans files, all of each."""

    number: int
    offset: int
    length: int
    first_line: int  # physical line of the first record, the least one of all files; the first line of a file is 1


@dataclass(frozen=True)
class Block:
    """Whole records of a chunk and nothing between them: each ends where the next one starts, with its line end.

    What lies between records in the file (lines with no bytes, comments, records that were left out) is no part of
    `data`, so `offsets` need not advance like `starts`.
    """

    data: bytes | memoryview
    offsets: np.ndarray  # int64: start of each record in the file
    starts: np.ndarray  # int64: start of each record in `data`
    lines: np.ndarray  # int64: physical line of the file on which each record starts

    def only(self, wanted: np.ndarray) -> Block:
        """The records of this mask, moved together."""
        ends = np.append(self.starts[1:], len(self.data))
        first = np.flatnonzero(np.diff(wanted, prepend=False) & wanted)
        last = np.flatnonzero(np.diff(wanted, append=False) & wanted)
        runs = zip(self.starts[first].tolist(), ends[last].tolist(), strict=True)
        data = b"".join([self.data[start:end] for start, end in runs])
        lengths = (ends - self.starts)[wanted]
        return Block(data, self.offsets[wanted], np.cumsum(lengths) - lengths, self.lines[wanted])


def joined(blocks: Sequence[Block]) -> Block:
    """Blocks as one."""
    if len(blocks) == 1:
        return blocks[0]
    firsts = np.cumsum([0, *(len(block.data) for block in blocks[:-1])])
    starts = [block.starts + first for block, first in zip(blocks, firsts, strict=True)]
    parts = (np.concatenate(part) for part in ([b.offsets for b in blocks], starts, [b.lines for b in blocks]))
    return Block(b"".join(block.data for block in blocks), *parts)


def read_blocks(
    source: Source,
    dialect: Dialect,
    chunk: Chunk,
    *,
    block_bytes: int = 8 << 20,
    max_record_bytes: int = MAX_RECORD_BYTES,
    forget: bool = False,
) -> Iterator[Block]:
    """Stream a chunk as blocks of whole records, of at most `block_bytes` unless one record is longer.

    What is read leaves the system's cache where the caller says `forget`: the memory is for others then.

    Raises RecordTooLong, and SourceChanged when the file ends inside the chunk.
    """
    for offset, end, line in source.ranges(chunk.offset, chunk.offset + chunk.length, chunk.first_line):
        part = Chunk(chunk.number, offset, end - offset, line)
        for span in spans_of(source, grammar_of(dialect), part, block_bytes, max_record_bytes, forget):
            starts = span.bounds[:-1]
            lines = Block(span.data, span.offset + starts, starts, span.lines)
            if span.filled.all():
                yield lines
            elif span.filled.any():
                yield lines.only(span.filled)


class _Span(NamedTuple):
    """Whole lines of a chunk, blank ones and comments included: line n is data[bounds[n]:bounds[n + 1]]."""

    data: memoryview
    offset: int
    bounds: np.ndarray
    lines: np.ndarray  # of the file, on which each begins
    filled: np.ndarray  # mask of those that are records: a line with no bytes is none, nor is a comment


def spans_of(
    source: Source, grammar: Grammar, chunk: Chunk, block_bytes: int, max_record_bytes: int, forget: bool = False
) -> Iterator[_Span]:
    """Stream a chunk. What is cut off at the end of a block is read again with the next one."""
    offset, end, line = chunk.offset, chunk.offset + chunk.length, chunk.first_line
    wanted = block_bytes
    with source.ahead([(offset, end)]) as opened:
        while offset < end:
            raw = opened.read(offset, min(wanted, end - offset))
            bounds, lines = _bounds(raw, grammar, final=offset + len(raw) == end)
            longest = int(np.diff(bounds).max(initial=0)) if len(raw) > max_record_bytes else 0
            if longest > max_record_bytes or (len(bounds) == 1 and len(raw) > max_record_bytes):
                number = int(np.argmax(np.diff(bounds))) if longest else 0
                raise _too_long(source, line + int(lines[number]), offset + int(bounds[number]), max_record_bytes)
            if len(bounds) == 1:
                wanted = min(2 * wanted, max_record_bytes + 1)
                continue
            cut = int(bounds[-1])
            yield _Span(memoryview(raw)[:cut], offset, bounds, lines[:-1] + line, _filled(raw, bounds, grammar))
            offset, line, wanted = offset + cut, line + int(lines[-1]), block_bytes
            if forget:
                opened.forget(offset - cut, cut)


def _filled(raw: bytes, bounds: np.ndarray, grammar: Grammar) -> np.ndarray:
    """Which of the lines are records."""
    if grammar.comment >= 0:
        return is_record(np.frombuffer(raw, dtype=np.uint8), bounds[:-1], grammar)
    lengths = np.diff(bounds)
    short = np.flatnonzero(lengths <= 2)  # no longer line is blank
    filled = np.ones(len(lengths), dtype=bool)
    filled[short] = is_record(np.frombuffer(raw, dtype=np.uint8), bounds[short], grammar)
    return filled


def _bounds(raw: bytes, grammar: Grammar, final: bool) -> tuple[np.ndarray, np.ndarray]:
    """Where lines and records begin and the last whole one ends, and how many physical line ends are before each."""
    text = Text(raw, after=-1 if final else LF)  # a CR at the end may be half of a CRLF
    found = text.records(0, len(raw), grammar, grammar.first)
    starts, before = np.insert(found.ends, 0, 0), np.insert(found.lines, 0, 0)
    if final and starts[-1] < len(raw):
        starts, before = np.append(starts, len(raw)), np.append(before, found.newlines)
    return starts, before


def _too_long(source: Source, line: int, offset: int, limit: int) -> RecordTooLong:
    file, place = source.where(offset)
    return RecordTooLong(
        f"{file}:{line}: the record at byte {place} is longer than {limit:,} bytes (max_record_bytes): most likely a"
        " quote on that line is not closed where it should be. Correct the line; set `csv.quote` to null if quotes have"
        " no meaning there; or raise `max_record_bytes` in the dataset file if the record is right."
    )
