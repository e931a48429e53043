"""Where the records of a CSV file begin: cuts a file into chunks, and a chunk into blocks of whole records.

The grammar is that of `csv.reader(strict=False)` and of `pyarrow.csv` with `newlines_in_values=True`, which agree
on every record boundary. A quote opens only at the start of a field; elsewhere outside quotes it is literal. Text
after a closing quote goes on as an unquoted part of the field. An escape makes the next byte literal, inside quotes
and outside. Records end at LF, CRLF or a lone CR. A line with no bytes is not a record. The two differ in values
only: an escape as the last byte of a file escapes nothing for Arrow, a line end for Python; and Arrow drops a byte
order mark at the start of any block, even one that belongs to a field.

Bytes are judged a piece at a time, in numpy. A piece whose opening quotes all stand at the start of a field, or
right after the quote that closed, is decided by counting quotes alone. Any other piece is decided by runs of
adjacent quotes, from outside as from inside:

- an even run changes nothing: it is literal, empty, or doubled;
- an odd run at the start of a field toggles;
- any other odd run leaves the state outside, where it closes or is literal.

So the state after a run is the parity of the toggles since the last run of the third kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash

from include.ingest.errors import IngestError, SourceChanged

BOM = b"\xef\xbb\xbf"
LF, CR = 10, 13
PIECE_BYTES = 512 << 10  # with its masks, about fits the second-level cache
SEGMENT_BYTES = 4 << 20  # fits the last-level cache
HEAD_BYTES = 64 << 10
THREADS = min(4, os.cpu_count() or 1)  # that read one file
MAX_RECORD_BYTES = 64 << 20

# The state between two bytes. What differs is only how the next byte is taken.
START, FIELD, CLOSED, QUOTED, ESCAPED, QUOTED_ESCAPED = range(6)


class RecordTooLong(IngestError):
    """A record is longer than the limit, most likely because a quote is never closed."""


@dataclass(frozen=True)
class Dialect:
    """How fields are separated and quoted. All are single ASCII bytes."""

    delimiter: bytes = b","
    quote: bytes | None = b'"'  # None: quoting is off
    escape: bytes | None = None  # None: a quote inside quotes is doubled; else this byte makes the next one literal


@dataclass(frozen=True)
class Chunk:
    """A byte range of whole records."""

    number: int
    offset: int
    length: int
    first_line: int  # physical line of the first record; the first line of the file is 1


@dataclass(frozen=True)
class Layout:
    """What one pass over a file found: its content digest, its header record, and its chunks."""

    size: int
    digest: str
    header_offset: int
    header_length: int  # line end included; 0: there is no header
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class Block:
    """Whole records of a chunk. Record i ends at `starts[i + 1]`, the last one at the end of `data`."""

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


def scan_file(
    path: Path,
    dialect: Dialect,
    *,
    header: bool,
    chunk_bytes: int,
    max_chunks: int = 256,
    lanes: int = 1,
    threads: int | None = None,
    segment_bytes: int = SEGMENT_BYTES,
    piece_bytes: int = PIECE_BYTES,
) -> Layout:
    """Digest a file and cut its records into chunks of up to about `chunk_bytes`, in one pass and bounded memory.

    Chunks are of one size, and where there are several their number is a multiple of `lanes`, so that as many tasks
    at a time end together. They are made larger where there would be more than `max_chunks`. The digest depends on the
    content and on `segment_bytes`, which only tests change. Raises RecordTooLong for the header.
    """
    grammar = _grammar(dialect)
    with path.open("rb") as file:
        source = _Source(path, file.fileno(), os.fstat(file.fileno()).st_size)
        base = _base(source)
        survey = partial(_survey_segment, source, grammar, segment_bytes, piece_bytes)
        with ThreadPoolExecutor(threads or THREADS) as pool:
            segments = list(pool.map(survey, range(base, source.size, segment_bytes)))
        head = _head(path, grammar, Chunk(0, base, source.size - base, 1), header)
        pieces = (piece for _, pieces in segments for piece in pieces)
        step = _step(source.size - head.data.offset, chunk_bytes, max_chunks, lanes)
        cuts = _cuts(source, grammar, pieces, head.data, step)
    digest = _digest((part for part, _ in segments), base, source.size)
    end = _Place(source.size, 0)
    chunks = tuple(
        Chunk(number, cut.offset, after.offset - cut.offset, cut.line)
        for number, (cut, after) in enumerate(pairwise([*cuts, end]))
    )
    return Layout(source.size, digest, head.offset, head.length, chunks)


def digest_of(path: Path, *, segment_bytes: int = SEGMENT_BYTES) -> str:
    """The digest that `scan_file` gives, without looking for records."""
    with path.open("rb") as file, ThreadPoolExecutor(THREADS) as pool:
        source = _Source(path, file.fileno(), os.fstat(file.fileno()).st_size)
        base = _base(source)

        def digest(offset: int) -> bytes:
            return xxhash.xxh3_128_digest(source.read(offset, min(segment_bytes, source.size - offset)))

        return _digest(pool.map(digest, range(base, source.size, segment_bytes)), base, source.size)


def _digest(segments: Iterable[bytes], base: int, size: int) -> str:
    return xxhash.xxh3_128_hexdigest(b"".join(segments) + b"%d %d" % (base, size))


def _base(source: _Source) -> int:
    """Where the text begins: after a byte order mark."""
    return len(BOM) if source.read(0, min(len(BOM), source.size)) == BOM else 0


def _step(size: int, chunk_bytes: int, max_chunks: int, lanes: int) -> int:
    count = -(-size // chunk_bytes)
    if count > 1:
        count = -(-count // lanes) * lanes
    return max(1, -(-size // max(1, min(count, max_chunks))))


def read_blocks(
    path: Path,
    dialect: Dialect,
    chunk: Chunk,
    *,
    block_bytes: int = 8 << 20,
    max_record_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Block]:
    """Stream a chunk as blocks of whole records, of at most `block_bytes` unless one record is longer.

    Raises RecordTooLong, and SourceChanged when the file ends inside the chunk.
    """
    for span in _spans(path, _grammar(dialect), chunk, block_bytes, max_record_bytes):
        if len(span.records):
            starts = span.bounds[span.records]
            yield Block(span.data, span.offset + starts, starts, span.lines[span.records])


# --- the grammar, a piece at a time ---------------------------------------------------------------------------------


class _Grammar(NamedTuple):
    quote: int  # -1: none, which no byte equals
    escape: int  # -1: none
    neutral: int  # a byte without a meaning
    doubled: bool
    opens: np.ndarray  # bool by byte: a quote after it opens a field
    proves: np.ndarray  # bool by byte: where counting says that a quote opens, it does so after this byte


@lru_cache
def _grammar(dialect: Dialect) -> _Grammar:
    special = {*dialect.delimiter, *(dialect.quote or b""), *(dialect.escape or b""), LF, CR}
    opens = np.zeros(256, dtype=bool)
    opens[[dialect.delimiter[0], LF, CR]] = True
    proves = opens.copy()
    if dialect.quote and dialect.escape is None:
        proves[dialect.quote[0]] = True
    quote = dialect.quote[0] if dialect.quote else -1
    escape = dialect.escape[0] if dialect.escape else -1
    return _Grammar(quote, escape, min(set(range(256)) - special), escape < 0, opens, proves)


class _Piece:
    """The quotes of some bytes, and what they mean for any state before the bytes."""

    def __init__(self, clean: np.ndarray, escapes: bool, quotes: np.ndarray, grammar: _Grammar) -> None:
        self.clean, self.escapes, self.quotes, self.grammar = clean, escapes, quotes, grammar
        self.before = clean[quotes - 1]  # wrong for a quote at 0: _at knows better
        self._counted: dict[int, bool] = {}

    def counted(self, state: int) -> bool:
        """Whether every quote that opens by counting is one that the grammar lets open."""
        if state not in self._counted:
            self._counted[state] = bool(self._at(state, self.grammar.proves, first=_quoted(state), every=2).all())
        return self._counted[state]

    def inside(self, state: int, after: np.ndarray) -> np.ndarray:
        """Whether what follows the first n quotes is quoted, for each n in `after`."""
        if self.counted(state):
            odd: np.ndarray = (after & 1) != _quoted(state)
            return odd
        return np.take(self._inside_by_runs(state), after)

    def _inside_by_runs(self, state: int) -> np.ndarray:
        entry = _quoted(state)
        begins = self._runs()
        runs = np.flatnonzero(begins)
        odd = (np.diff(runs, append=len(begins)) & 1).astype(bool)
        opens = self._at(state, self.grammar.opens)[runs]
        toggles = entry + np.cumsum(odd & opens)
        settled = np.maximum.accumulate(np.where(odd & ~opens, toggles, 0))
        run_of_quote = np.cumsum(begins) - 1
        return np.append(entry, (toggles - settled)[run_of_quote] & 1).astype(bool)

    def exit(self, state: int) -> int:
        """The state after the bytes."""
        inside = bool(self.inside(state, np.array([len(self.quotes)]))[0])
        if self.escapes:
            return QUOTED_ESCAPED if inside else ESCAPED
        if inside:
            return QUOTED
        last = int(self.clean[-1])
        if self.grammar.opens[last]:
            return START
        return CLOSED if last == self.grammar.quote and self._closes(state) else FIELD

    def _closes(self, state: int) -> bool:
        """Whether a last quote that leaves the state outside is a closing one, which a next quote would double."""
        if not self.grammar.doubled:
            return False
        last = np.flatnonzero(self._runs())[-1:]
        return bool(self.inside(state, last)[0] or self._at(state, self.grammar.opens)[last[0]])

    def _at(self, state: int, table: np.ndarray, first: int = 0, every: int = 1) -> np.ndarray:
        """What a table says about the byte before each quote."""
        found: np.ndarray = np.take(table, self.before[first::every])
        if first == 0 and len(self.quotes) and self.quotes[0] == 0:
            found[0] = state in (START, CLOSED)
        return found

    def _runs(self) -> np.ndarray:
        """Mask of the quotes that begin a run. Where quotes are not doubled, each is a run."""
        if not self.grammar.doubled:
            return np.ones(len(self.quotes), dtype=bool)
        begins: np.ndarray = np.diff(self.quotes, prepend=-2) != 1
        return begins


def _quoted(state: int) -> int:
    return int(state in (QUOTED, QUOTED_ESCAPED))


def _piece(raw: np.ndarray, grammar: _Grammar, state: int, masks: np.ndarray | None = None) -> _Piece:
    clean, escapes = _without_escaped(raw, grammar, state in (ESCAPED, QUOTED_ESCAPED))
    out = None if masks is None else masks[0][: len(raw)]
    return _Piece(clean, escapes, np.flatnonzero(np.equal(clean, grammar.quote, out=out)), grammar)


def _without_escaped(raw: np.ndarray, grammar: _Grammar, escaped: bool) -> tuple[np.ndarray, bool]:
    """The bytes with escaped ones made neutral, and whether the last byte escapes the next one."""
    if grammar.escape < 0:
        return raw, False
    places = np.flatnonzero(raw == grammar.escape)
    if not escaped and not len(places):
        return raw, False
    clean = raw.copy()
    if escaped and raw[0] != grammar.escape:
        clean[0] = grammar.neutral
    if not len(places):
        return clean, False
    first = np.flatnonzero(np.diff(places, prepend=-2) != 1)
    lengths = np.diff(first, append=len(places))
    ends = places[first] + lengths
    if escaped and places[0] == 0:
        lengths[0] -= 1
    hit = ends[(lengths & 1).astype(bool)]
    pending = bool(len(hit)) and int(hit[-1]) == len(raw)
    clean[hit[:-1] if pending else hit] = grammar.neutral
    return clean, pending


def _masks(length: int) -> np.ndarray:
    """Room for two masks of a piece, to be used again: new pages for each piece would cost more than the work."""
    return np.empty((2, min(length, PIECE_BYTES)), dtype=bool)


def _line_ends(raw: np.ndarray, after: int, returns: bool, out: np.ndarray) -> np.ndarray:
    """Mask of the last byte of each physical line end. `after` is the byte that follows, -1 at the end of the file."""
    mask: np.ndarray = np.equal(raw, LF, out=out[: len(raw)])
    if returns:
        lone = raw == CR
        lone[:-1] &= ~mask[1:]
        lone[-1] &= after != LF
        mask |= lone
    return mask


class _Ends(NamedTuple):
    ends: np.ndarray  # the byte after each record's line end
    lines: np.ndarray  # physical line ends up to there
    newlines: int  # all physical line ends
    state: int


def _record_ends(raw: np.ndarray, after: int, grammar: _Grammar, state: int, returns: bool, masks: np.ndarray) -> _Ends:
    """Where records end in a piece that begins in the given state."""
    clean, escapes = _without_escaped(raw, grammar, state in (ESCAPED, QUOTED_ESCAPED))
    mask = _line_ends(raw, after, returns, masks[0])
    mask |= np.equal(clean, grammar.quote, out=masks[1][: len(raw)])
    marks = np.flatnonzero(mask)
    quotes = clean[marks] == grammar.quote
    piece = _Piece(clean, escapes, marks[quotes], grammar)
    passed = np.cumsum(quotes)
    ends = np.logical_or(quotes, piece.inside(state, passed))
    np.logical_not(ends, out=ends)
    if clean is not raw:
        ends &= clean[marks] == raw[marks]
    found = np.flatnonzero(ends)
    lines = found + 1 - passed[found]
    return _Ends(marks[found] + 1, lines, len(marks) - len(piece.quotes), piece.exit(state))


# --- the scan -------------------------------------------------------------------------------------------------------


class _Source(NamedTuple):
    path: Path
    handle: int
    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Raises SourceChanged where the file is shorter."""
        data = os.pread(self.handle, length, offset)
        while len(data) < length:
            more = os.pread(self.handle, length - len(data), offset + len(data))
            if not more:
                raise SourceChanged(f"{self.path} ends at byte {offset + len(data)}; it was longer when it was planned")
            data += more
        return data


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


class _Head(NamedTuple):
    offset: int
    length: int
    data: _Place  # the first data record, or the end of the file


def _survey_segment(
    source: _Source, grammar: _Grammar, segment_bytes: int, piece_bytes: int, offset: int
) -> tuple[bytes, list[_Surveyed]]:
    """Digest a segment and judge its pieces."""
    margin = 1 if offset else 0
    length = min(segment_bytes, source.size - offset)
    raw = source.read(offset - margin, min(length + margin + 1, source.size - offset + margin))
    array, returns = np.frombuffer(raw, dtype=np.uint8), b"\r" in raw
    surveyed, masks = [], np.empty((2, piece_bytes), dtype=bool)
    for low in range(margin, margin + length, piece_bytes):
        high = min(low + piece_bytes, margin + length)
        before = int(array[low - 1]) if low else LF
        after = int(array[high]) if high < len(array) else -1
        lines = int(np.count_nonzero(_line_ends(array[low:high], after, returns, masks[0])))
        exits = _exits(array[low:high], before, grammar, masks)
        surveyed.append(_Surveyed(offset + low - margin, high - low, lines, exits))
    return xxhash.xxh3_128_digest(memoryview(raw)[margin : margin + length]), surveyed


def _exits(raw: np.ndarray, before: int, grammar: _Grammar, masks: np.ndarray) -> tuple[int, ...]:
    """The state after a piece for the likely states before it: outside quotes as the byte before says, and inside."""
    piece = _piece(raw, grammar, FIELD, masks)
    likely = START if grammar.opens[before] else CLOSED if before == grammar.quote and grammar.doubled else FIELD
    exits = [-1] * 6
    outside, inside = piece.counted(likely), piece.counted(QUOTED)
    if outside or not inside:
        exits[likely] = piece.exit(likely)
        if raw[0] != grammar.quote:
            exits[START] = exits[FIELD] = exits[CLOSED] = exits[likely]
    if inside or not outside:
        exits[QUOTED] = piece.exit(QUOTED)
    return tuple(exits)


def _head(path: Path, grammar: _Grammar, whole: Chunk, header: bool) -> _Head:
    """Where the header record and the first data record are."""
    wanted = 2 if header else 1
    places: list[tuple[_Place, int]] = []
    for span in _spans(path, grammar, whole, HEAD_BYTES, MAX_RECORD_BYTES) if whole.length else ():
        for number in span.records[:wanted].tolist():
            start, end = span.bounds[number : number + 2].tolist()
            places.append((_Place(span.offset + start, int(span.lines[number])), end - start))
        if len(places) >= wanted:
            break
    places += [(_Place(whole.offset + whole.length, 0), 0)] * wanted
    if not header:
        return _Head(whole.offset, 0, places[0][0])
    return _Head(places[0][0].offset, places[0][1], places[1][0])


def _cuts(source: _Source, grammar: _Grammar, pieces: Iterator[_Surveyed], first: _Place, step: int) -> list[_Place]:
    """The first record, and the first one at or after each multiple of `step` bytes after it."""
    if first.offset >= source.size:
        return []
    cuts, target = [first], first.offset + step
    state, line = START, 1
    for piece in pieces:
        end = piece.offset + piece.length
        while target <= min(end, source.size - 1):  # a record that starts at `end` is found by its predecessor's end
            found = _next_record(source, grammar, _Place(piece.offset, line, state), target)
            if found is None:
                return cuts
            cuts.append(found)
            target = first.offset + step * ((found.offset - first.offset) // step + 1)
        line += piece.lines
        state = _exit(source, grammar, piece, state)
    return cuts


def _exit(source: _Source, grammar: _Grammar, piece: _Surveyed, state: int) -> int:
    if piece.exits[state] >= 0:
        return piece.exits[state]
    raw = np.frombuffer(source.read(piece.offset, piece.length), dtype=np.uint8)
    return _piece(raw, grammar, state).exit(state)


def _next_record(source: _Source, grammar: _Grammar, place: _Place, target: int) -> _Place | None:
    """The first record that starts at or after `target`, read from a place before it."""
    offset, line, state = place
    while offset < source.size:
        raw = source.read(offset, min(PIECE_BYTES + 1, source.size - offset))
        array = np.frombuffer(raw, dtype=np.uint8)
        length = min(PIECE_BYTES, len(raw))
        found = _record_ends(
            array[:length], raw[length] if length < len(raw) else -1, grammar, state, b"\r" in raw, _masks(length)
        )
        numbers = np.flatnonzero((found.ends + offset >= target) & (found.ends < len(raw)))
        numbers = numbers[~_blank(array, found.ends[numbers])]
        if len(numbers):
            return _Place(offset + int(found.ends[numbers[0]]), line + int(found.lines[numbers[0]]))
        offset, line, state = offset + length, line + found.newlines, found.state
    return None


def _blank(array: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Which of the lines that start there hold no bytes."""
    first = array[starts]
    blank: np.ndarray = (first == LF) | (first == CR)
    return blank


# --- the blocks -----------------------------------------------------------------------------------------------------


class _Span(NamedTuple):
    """Whole lines of a chunk, blank ones included: line n is data[bounds[n]:bounds[n + 1]]."""

    data: memoryview
    offset: int
    bounds: np.ndarray
    lines: np.ndarray  # of the file, on which each begins
    records: np.ndarray  # the numbers of those that are not blank


def _spans(path: Path, grammar: _Grammar, chunk: Chunk, block_bytes: int, max_record_bytes: int) -> Iterator[_Span]:
    """Stream a chunk. What is cut off at the end of a block is read again with the next one."""
    offset, end, line = chunk.offset, chunk.offset + chunk.length, chunk.first_line
    wanted = block_bytes
    with path.open("rb") as file:
        source = _Source(path, file.fileno(), end)
        while offset < end:
            raw = source.read(offset, min(wanted, end - offset))
            bounds, lines = _bounds(raw, grammar, final=offset + len(raw) == end)
            longest = int(np.diff(bounds).max(initial=0)) if len(raw) > max_record_bytes else 0
            if longest > max_record_bytes or (len(bounds) == 1 and len(raw) > max_record_bytes):
                number = int(np.argmax(np.diff(bounds))) if longest else 0
                raise _too_long(path, line + int(lines[number]), offset + int(bounds[number]), max_record_bytes)
            if len(bounds) == 1:
                wanted = min(2 * wanted, max_record_bytes + 1)
                continue
            cut = int(bounds[-1])
            yield _Span(memoryview(raw)[:cut], offset, bounds, lines[:-1] + line, _records(raw, bounds))
            offset, line, wanted = offset + cut, line + int(lines[-1]), block_bytes


def _records(raw: bytes, bounds: np.ndarray) -> np.ndarray:
    """The numbers of the lines that are not blank."""
    lengths = np.diff(bounds)
    short = np.flatnonzero(lengths <= 2)
    blank = short[_blank(np.frombuffer(raw, dtype=np.uint8), bounds[short])]
    kept = np.ones(len(lengths), dtype=bool)
    kept[blank] = False
    return np.flatnonzero(kept)


def _bounds(raw: bytes, grammar: _Grammar, final: bool) -> tuple[np.ndarray, np.ndarray]:
    """Where lines and records begin and the last whole one ends, and how many physical line ends are before each."""
    array, returns = np.frombuffer(raw, dtype=np.uint8), b"\r" in raw
    bounds, lines = [np.zeros(1, dtype=np.int64)], [np.zeros(1, dtype=np.int64)]
    state, count, masks = START, 0, _masks(len(raw))
    for low in range(0, len(raw), PIECE_BYTES):
        high = min(low + PIECE_BYTES, len(raw))
        after = raw[high] if high < len(raw) else -1 if final else LF  # a CR at the end may be half of a CRLF
        found = _record_ends(array[low:high], after, grammar, state, returns, masks)
        bounds.append(found.ends + low)
        lines.append(found.lines + count)
        state, count = found.state, count + found.newlines
    starts, before = np.concatenate(bounds), np.concatenate(lines)
    if final and starts[-1] < len(raw):
        starts, before = np.append(starts, len(raw)), np.append(before, count)
    return starts, before


def _too_long(path: Path, line: int, offset: int, limit: int) -> RecordTooLong:
    return RecordTooLong(
        f"{path}:{line}: the record at byte {offset} is longer than {limit:,} bytes: most likely a quote"
        " on that line is never closed. Correct the line, or set `csv.quote` to null if quotes have no meaning there."
    )
