"""One pass over a file: digests it, and cuts its records into chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import xxhash

from include.ingest.csv.grammar import (
    CLOSED,
    CR,
    ESCAPED,
    FIELD,
    LF,
    LINE,
    QUOTED,
    QUOTED_ESCAPED,
    START,
    STATES,
    Dialect,
    Grammar,
    Text,
    grammar_of,
    is_record,
)
from include.ingest.csv.preamble import Start, start_of
from include.ingest.csv.records import Chunk, spans_of
from include.ingest.dataset.definition import MAX_RECORD_BYTES
from include.ingest.errors import IngestError, SourceDamaged
from include.ingest.source import Opened, Source
from include.ingest.source.file_signatures import HEAD_BYTES as KIND_BYTES
from include.ingest.source.file_signatures import check_text

SEGMENT_BYTES = 4 << 20  # fits the last-level cache
PIECE_BYTES = 512 << 10  # read again where a chunk begins in it
HEAD_BYTES = 64 << 10
WORTH_BYTES = 128 << 20  # that are worth a task of their own


class RecordNotEnded(IngestError):
    """The file ends inside a quoted field, or after an escape: it is cut short, or a quote is never closed."""


class HeaderRecord(NamedTuple):
    """A record of the header, with its line end."""

    offset: int
    length: int
    line: int


@dataclass(frozen=True)
class Layout:
    """What one pass over a file found: its content digest, its header, and its chunks."""

    size: int
    digest: str
    header: tuple[HeaderRecord, ...]  # fewer than were asked for where the file has no more
    chunks: tuple[Chunk, ...]
    start: Start  # what stands before is no CSV
    end: int  # of the data records: what follows is the footer


def scan_file(
    source: Source,
    dialect: Dialect,
    *,
    header: bool,
    header_records: int = 1,
    footer_records: int = 0,
    start: Start | None = None,
    chunk_bytes: int,
    max_chunks: int = 256,
    lanes: int = 1,
    step: int | None = None,
    threads: int | None = None,
    segment_bytes: int = SEGMENT_BYTES,
    piece_bytes: int = PIECE_BYTES,
    max_record_bytes: int = MAX_RECORD_BYTES,
    seed: int = 0,
) -> Layout:
    """Digest a file and cut its records into chunks of up to about `chunk_bytes`, in one pass and bounded memory.

    Chunks are of one size, and where there are several their number is a multiple of `lanes`, so that as many tasks
    at a time end together. A file that is worth it has one for each lane at least. They are made larger where there
    would be more than `max_chunks`. Where the file is one of many, `step` is the size of a chunk. Records begin at
    `start`, and the last `footer_records` are in no chunk. The digest depends on the content, all of it, on `seed` (64
    bits), and on `segment_bytes`, which only tests change. Raises SourceDamaged for what is no text or has no footer,
    RecordNotEnded, and RecordTooLong for the header.
    """
    grammar = grammar_of(dialect)
    with source.open() as opened:
        size, base = opened.size, _base(opened)
        start = start or Start(base, 1)
        check_text(str(source), opened.read(0, min(KIND_BYTES, size)))
        survey = partial(_survey_segment, opened, grammar, start.offset, segment_bytes, piece_bytes, seed)
        with ThreadPoolExecutor(threads or source.lanes) as pool:
            segments = list(pool.map(survey, range(base, size, segment_bytes)))
        places = _places(opened, grammar, (piece for _, pieces in segments for piece in pieces), start)
        _check_end(source, opened, grammar, places)
        whole = Chunk(0, start.offset, size - start.offset, start.line)
        head, first = _head(source, grammar, whole, header_records if header else 0, max_record_bytes)
        end = _data_end(source, opened, grammar, places, first, footer_records) if footer_records else size
        step = step or step_for(end - first.offset, chunk_bytes, max_chunks, lanes)
        cuts = _cuts(opened, grammar, places, first, end, step)
    digest = _digest((part for part, _ in segments), base, size, seed)
    chunks = tuple(
        Chunk(number, cut.offset, after.offset - cut.offset, cut.line)
        for number, (cut, after) in enumerate(pairwise([*cuts, _Place(end, 0)]))
    )
    return Layout(size, digest, head, chunks, start, end)


def digest_of(source: Source, *, seed: int = 0, segment_bytes: int = SEGMENT_BYTES) -> str:
    """The digest that `scan_file` gives, without looking for records."""
    with source.open() as opened, ThreadPoolExecutor(source.lanes) as pool:
        size, base = opened.size, _base(opened)

        def digest(offset: int) -> bytes:
            return xxhash.xxh3_128_digest(opened.read(offset, min(segment_bytes, size - offset)), seed)

        return _digest(pool.map(digest, range(base, size, segment_bytes)), base, size, seed)


def _digest(segments: Iterable[bytes], base: int, size: int, seed: int) -> str:
    return xxhash.xxh3_128_hexdigest(b"".join(segments) + b"%d %d" % (base, size), seed)


def _base(source: Opened) -> int:
    """Where the text begins: after a byte order mark."""
    return start_of("", source).offset


def step_for(size: int, chunk_bytes: int, max_chunks: int = 256, lanes: int = 1) -> int:
    """The size of chunks, as `scan_file` has it."""
    count = max(-(-size // chunk_bytes), min(lanes, size // WORTH_BYTES))
    if count > 1:
        count = -(-count // lanes) * lanes
    return max(1, -(-size // max(1, min(count, max_chunks))))


class _Surveyed(NamedTuple):
    """A piece judged without knowing the state before it."""

    offset: int
    length: int
    lines: int
    exits: tuple[int, ...]  # by the state before; -1: not foreseen


class _Place(NamedTuple):
    offset: int
    line: int
    state: int = START


def _survey_segment(
    source: Opened, grammar: Grammar, start: int, segment_bytes: int, piece_bytes: int, seed: int, offset: int
) -> tuple[bytes, list[_Surveyed]]:
    """Digest a segment and judge its pieces, from the start of the records on."""
    margin = 1 if offset else 0
    length = min(segment_bytes, source.size - offset)
    raw = source.read(offset - margin, min(length + margin + 1, source.size - offset + margin))
    text, surveyed = Text(raw), []
    for low in range(margin, margin + length, piece_bytes):
        high = min(low + piece_bytes, margin + length)
        low = max(low, start - offset + margin)
        if low >= high:
            continue
        before = raw[low - 1] if low else LF
        exits, lines = _exits(text, low, high, before, grammar)
        surveyed.append(_Surveyed(offset + low - margin, high - low, lines, exits))
    return xxhash.xxh3_128_digest(memoryview(raw)[margin : margin + length], seed), surveyed


def _exits(text: Text, low: int, high: int, before: int, grammar: Grammar) -> tuple[tuple[int, ...], int]:
    """The state after a piece for the likely states before it, and how many physical lines end in it.

    Outside quotes is likely, as the byte before says. Inside is too, unless outside makes sense of every quote. Inside
    a comment is not: few pieces begin there, and those are read once more.
    """
    doubled = before == grammar.quote and grammar.escape < 0
    likely = START if before == grammar.delimiter else CLOSED if doubled else FIELD
    if before in (LF, CR):
        likely = grammar.first
    exits, found = [-1] * STATES, text.passed(low, high, grammar, likely)
    exits[likely] = found.state
    if text.bytes[low] not in (grammar.quote, grammar.comment):  # one that is no mark, as most are
        exits[START] = exits[LINE] = exits[FIELD] = exits[CLOSED] = found.state
    if found.literal or not found.opened:
        exits[QUOTED] = text.passed(low, high, grammar, QUOTED).state
    return tuple(exits), found.lines


def _places(source: Opened, grammar: Grammar, pieces: Iterator[_Surveyed], start: Start) -> list[_Place]:
    """Where each piece begins, with the line and the state there; at last the end of the file."""
    places = [_Place(*start, grammar.first)]
    for piece in pieces:
        _, line, state = places[-1]
        end = piece.offset + piece.length
        places.append(_Place(end, line + piece.lines, _exit(source, grammar, piece, state)))
    return places


def _check_end(source: Source, opened: Opened, grammar: Grammar, places: list[_Place]) -> None:
    """Raise RecordNotEnded where the file ends inside a quoted field, which names the line on which it opened.

    From there on the whole rest of the file would be one field.
    """
    _, line, state = places[-1]
    if state == ESCAPED:
        raise RecordNotEnded(
            f"{source}:{line}: the file ends in the escape character, which nothing follows. Most likely it is cut"
            " short: deliver it whole, or set `csv.escape` to null if that character has no meaning there"
        )
    if state not in (QUOTED, QUOTED_ESCAPED):
        return
    for end, place in pairwise(reversed(places)):  # the field opened in the last piece in which any did
        raw = opened.read(place.offset, end.offset - place.offset)
        passed = Text(raw).passed(0, len(raw), grammar, place.state)
        if passed.quote_at >= 0:
            raise RecordNotEnded(
                f"{source}:{place.line + passed.quote_lines}: unterminated quoted field: the quote at byte"
                f" {place.offset + passed.quote_at} is never closed, so the rest of the file would be one value. Close"
                " it, deliver the file whole if it is cut short, or set `csv.quote` to null if quotes have no meaning"
                " there"
            )


def _head(
    source: Source, grammar: Grammar, whole: Chunk, wanted: int, max_record_bytes: int
) -> tuple[tuple[HeaderRecord, ...], _Place]:
    """The header's records, and where the first data record is, or the end of the file."""
    found: list[HeaderRecord] = []
    for span in spans_of(source, grammar, whole, HEAD_BYTES, max_record_bytes) if whole.length else ():
        for number in np.flatnonzero(span.filled)[: wanted + 1 - len(found)].tolist():
            start, end = span.bounds[number : number + 2].tolist()
            found.append(HeaderRecord(span.offset + start, end - start, int(span.lines[number])))
        if len(found) > wanted:
            offset, _, line = found.pop()
            return tuple(found), _Place(offset, line)
    return tuple(found), _Place(whole.offset + whole.length, 0)


def _data_end(
    source: Source, opened: Opened, grammar: Grammar, places: list[_Place], first: _Place, footer: int
) -> int:
    """Where the last records begin that are no data: pieces are read from the end on until they are found."""
    left = footer
    for end, place in pairwise(reversed(places)):
        if end.offset <= first.offset:
            break
        raw = opened.read(place.offset, min(end.offset + 1, opened.size) - place.offset)
        text = Text(raw)
        starts = text.records(0, end.offset - place.offset, grammar, place.state).ends
        if place.offset <= first.offset:  # no line may end before it in this piece
            starts = np.append(first.offset - place.offset, starts[starts > first.offset - place.offset])
        starts = starts[starts < len(raw)]
        starts = starts[is_record(text.bytes, starts, grammar)] + place.offset
        if len(starts) >= left:
            return int(starts[-left])
        left -= len(starts)
    raise SourceDamaged(
        f"{source}:{places[-1].line}: the file ends after {footer - left} records of data, and the last {footer} of"
        " each file are its footer (`csv.footer_lines`): it is cut short, or of another form. Deliver it whole, or"
        " correct `csv.footer_lines`"
    )


def _cuts(source: Opened, grammar: Grammar, places: list[_Place], first: _Place, end: int, step: int) -> list[_Place]:
    """The first record, and the first one at or after each multiple of `step` bytes after it, before the end."""
    if first.offset >= end:
        return []
    cuts, target = [first], first.offset + step
    for place, after in pairwise(places):
        while target <= min(after.offset, end - 1):  # a record that starts there is found by its predecessor's
            found = _next_record(source, grammar, place, target)
            if found is None or found.offset >= end:
                return cuts
            cuts.append(found)
            target = first.offset + step * ((found.offset - first.offset) // step + 1)
    return cuts


def _exit(source: Opened, grammar: Grammar, piece: _Surveyed, state: int) -> int:
    if piece.exits[state] >= 0:
        return piece.exits[state]
    return Text(source.read(piece.offset, piece.length)).passed(0, piece.length, grammar, state).state


def _next_record(source: Opened, grammar: Grammar, place: _Place, target: int) -> _Place | None:
    """The first record that starts at or after `target`, read from a place before it."""
    offset, line, state = place
    while offset < source.size:
        raw = source.read(offset, min(PIECE_BYTES + 1, source.size - offset))
        length, text = min(PIECE_BYTES, len(raw)), Text(raw)
        found = text.records(0, length, grammar, state)
        numbers = np.flatnonzero((found.ends + offset >= target) & (found.ends < len(raw)))
        numbers = numbers[is_record(text.bytes, found.ends[numbers], grammar)]
        if len(numbers):
            return _Place(offset + int(found.ends[numbers[0]]), line + int(found.lines[numbers[0]]))
        offset, line, state = offset + length, line + found.newlines, found.state
    return None
