"""Tallies a whole file: cuts it into blocks of records, and has every thread judge blocks."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from include.ingest.csv.grammar import Dialect
from include.ingest.csv.records import Chunk
from include.ingest.csv.scan import scan_file
from include.ingest.infer import kernel
from include.ingest.infer.encoding import is_whole_utf8
from include.ingest.infer.keys import Hashes, first_choice
from include.ingest.infer.tally import KINDS, Tally, total
from include.ingest.source import OneFile, Opened, Source, Spans

BLOCK_BYTES = 8 << 20
SAMPLE_BYTES = 1 << 16
FIRST_BYTES = 1 << 20  # of which it is told what may be a key
# Cells with such a text often stand for nothing. They do so here only where they would keep a column from its type.
_NULLS = (
    "null", "na", "n/a", "#n/a", "nan", "none", "nil", "n.a.", "n. a.", "nd", "n/d", "n.d.", "tbd", "unknown",
    "unbekannt", "missing", "undefined", "leer", "<na>", "<null>", "(null)", "[null]", "#null!", "#value!", "#ref!",
    "#div/0!", "#num!", "not available", "nicht verfügbar", "keine angabe", "entfällt", "k.a.", "k. a.", "ka",
)  # fmt: skip
NULL_WORDS = (
    *(word for base in _NULLS for word in sorted({base, base.upper(), base.title(), base.capitalize()})),
    "NaN", "k.A.", "k. A.", "keine Angabe", "-", "--", "---", "\N{EN DASH}", "\N{EM DASH}", "?", "??", ".", "..", "...",
    "*", "\\N", "/", "x", "X", "-nan", "-NaN", "#",
)  # fmt: skip


class Window(OneFile):
    """The bytes of a source from `begin` to `end`, as a source of their own. Offsets count from its begin."""

    def __init__(self, source: Source, begin: int, end: int) -> None:
        self._source, self.begin, self.end = source, begin, end

    def __str__(self) -> str:
        return str(self._source)

    @property
    def lanes(self) -> int:
        """As the source's."""
        return self._source.lanes

    def open(self) -> AbstractContextManager[Opened]:
        """To read at any place."""
        return self._moved(self._source.open())

    def ahead(self, spans: Spans) -> AbstractContextManager[Opened]:
        """To read in these spans."""
        return self._moved(self._source.ahead([(first + self.begin, end + self.begin) for first, end in spans]))

    @contextmanager
    def _moved(self, opening: AbstractContextManager[Opened]) -> Iterator[Opened]:
        with opening as opened:
            yield _Moved(opened, self.begin, self.end - self.begin)


@dataclass(frozen=True)
class _Moved:
    opened: Opened
    begin: int
    size: int

    def read(self, offset: int, length: int) -> bytes:
        return self.opened.read(self.begin + offset, length)

    def read_into(self, window: np.ndarray, offset: int) -> None:
        self.opened.read_into(window, self.begin + offset)

    def forget(self, offset: int, length: int) -> None:
        self.opened.forget(self.begin + offset, length)


@dataclass(frozen=True)
class Cut:
    """What of a file is data, and how it is cut."""

    dialect: Dialect
    columns: int
    begin: int  # the first byte of the first record
    end: int
    first_line: int
    comment: str | None = None
    fill: bool = False  # whether a record may lack fields at its end


@dataclass
class Profile:
    """What was counted of a file."""

    tally: Tally
    hashes: Hashes
    bad_bytes: tuple[int, int] | None = (
        None  # the first line with bytes that are no UTF-8, and how many blocks have some
    )
    bad_sample: bytes = b""  # lines with such bytes, and with others beyond ASCII

    @property
    def rows(self) -> int:
        """Records that count, also those that were filled."""
        return int(self.tally.counts[0, :KINDS].sum()) if self.tally.columns else 0


def profile(source: Source, cut: Cut, names: Sequence[str], threads: int, also: Sequence[int] = ()) -> Profile:
    """Tally every record of a file. `also`: columns that are to be tried as a key, whatever they look like.

    Raises RecordNotEnded where a quote is never closed, SourceDamaged for what is no text.
    """
    window = Window(source, cut.begin, cut.end)
    size = cut.end - cut.begin
    step = max(1, min(BLOCK_BYTES, size // 2 if size > 2 * FIRST_BYTES else BLOCK_BYTES))
    layout = scan_file(window, cut.dialect, header=False, chunk_bytes=BLOCK_BYTES, max_chunks=1 << 30, step=step)
    work = _Work(window, cut, threads)
    with window.open() as opened:
        first, *rest = layout.chunks or (None,)
        if first is not None:
            raw = _Raw.read(opened, first)
            seen = Tally(cut.columns)
            hashed = work.judge(raw, first, seen, range(cut.columns))
            chosen = first_choice(hashed, seen, names, also)
            work.hashes = Hashes(chosen)
            work.hashes.add(hashed[chosen.columns])
            work.tallies.append(seen)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda chunk: work.take(opened, chunk), rest))
    return Profile(total(work.tallies or [Tally(cut.columns)]), work.hashes, work.bad_bytes(), work.bad_sample)


@dataclass
class _Raw:
    data: np.ndarray
    size: int

    @classmethod
    def read(cls, opened: Opened, chunk: Chunk) -> _Raw:
        data = np.empty(chunk.length + kernel.PAD, np.uint8)
        data[chunk.length :] = kernel.LF
        opened.read_into(data[: chunk.length], chunk.offset)
        return cls(data, chunk.length)

    def beyond_ascii(self) -> bytes:
        """Lines that hold bytes beyond ASCII."""
        lines = self.data[: self.size].tobytes().splitlines(keepends=True)
        return b"".join(line for line in lines if not line.isascii())[:SAMPLE_BYTES]

    def bad_lines(self) -> tuple[int, int] | None:
        """How many lines are before the first with bytes that are no UTF-8, and how many have such; None: none has."""
        data = self.data[: self.size]
        if data.max(initial=0) < 0x80 or _is_utf8(data):
            return None
        texts = data.tobytes().split(b"\n")
        bad = [number for number, text in enumerate(texts) if not (text.isascii() or is_whole_utf8(text))]
        return (bad[0], len(bad)) if bad else None


def _is_utf8(data: np.ndarray) -> bool:
    """Arrow says it without holding up other threads."""
    ends = pa.py_buffer(np.array([0, len(data)], np.int32))
    try:
        pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(data)]).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


class _Work:
    """What threads share: a tally for each, and the hashes of what may be a key."""

    def __init__(self, window: Window, cut: Cut, threads: int) -> None:
        self._window, self._cut = window, cut
        marks = [mark[0] if mark else -1 for mark in (cut.dialect.delimiter, cut.dialect.quote, cut.dialect.escape)]
        self._marks = np.array([*marks, ord(cut.comment) if cut.comment else -1, cut.fill], np.int64)
        self._stops = kernel.stops_of(*marks)
        self._nulls = null_slots()
        self._local, self._lock = threading.local(), threading.Lock()
        self.tallies: list[Tally] = []
        self.hashes = Hashes()
        self._bad: list[tuple[int, int]] = []
        self.bad_sample = b""

    def bad_bytes(self) -> tuple[int, int] | None:
        """The first line with bytes that are no UTF-8, and how many lines have some."""
        return (min(self._bad)[0], sum(count for _, count in self._bad)) if self._bad else None

    def take(self, opened: Opened, chunk: Chunk) -> None:
        """Judge a chunk in this thread."""
        if not hasattr(self._local, "tally"):
            self._local.tally = Tally(self._cut.columns)
            with self._lock:
                self.tallies.append(self._local.tally)
        hashed = self.judge(_Raw.read(opened, chunk), chunk, self._local.tally, self.hashes.columns)
        with self._lock:
            self.hashes.add(hashed)

    def judge(self, raw: _Raw, chunk: Chunk, into: Tally, wanted: Iterable[int]) -> np.ndarray:
        """Tally a chunk; the hashes (uint64, wanted columns x records)."""
        line = chunk.first_line + self._cut.first_line - 1
        bad = raw.bad_lines()
        if bad is not None:
            with self._lock:
                self._bad.append((line + bad[0], bad[1]))
                if len(self.bad_sample) < SAMPLE_BYTES:
                    self.bad_sample += raw.beyond_ascii()
        count, numbers = self._cut.columns, list(wanted)
        flags, places = np.zeros(count, np.bool_), np.zeros(count, np.int64)
        flags[numbers], places[numbers] = True, np.arange(len(numbers))
        hashes = np.zeros((len(numbers), raw.size // (2 if self._cut.fill else max(2, count)) + 2), np.uint64)
        room = [np.zeros(count + 1, np.int64) for _ in range(3)]
        found = np.zeros(64, np.int64)
        rows = kernel.walk(
            raw.data,
            raw.size,
            line,
            self._marks,
            self._nulls,
            flags,
            places,
            *kernel.arrays_of(into),
            hashes,
            *room,
            found,
            *self._stops,
        )
        return hashes[:, :rows]


def null_slots(words: Sequence[str] = NULL_WORDS) -> np.ndarray:
    """The hashes of null words at their places in an open table of uint64."""
    size = 1024
    slots = np.zeros(size, np.uint64)
    for word in {word.encode() for word in words}:
        data = np.zeros(len(word) + kernel.PAD, np.uint8)
        data[: len(word)] = np.frombuffer(word, np.uint8)
        hashed = int(kernel.hash_of(data, 0, len(word)))
        slot = hashed % size
        while slots[slot]:
            slot = (slot + 1) % size
        slots[slot] = hashed
    return slots
