"""The grammar of CSV records: a state a byte, compiled. Bytes without a meaning are passed 64 at a time.

It is that of `csv.reader(strict=False)` and of `pyarrow.csv` with `newlines_in_values=True`, which agree
on every record boundary. A quote opens only at the start of a field; elsewhere outside quotes it is literal. Text
after a closing quote goes on as an unquoted part of the field. An escape makes the next byte literal, inside quotes
and outside. Records end at LF, CRLF or a lone CR. A line with no bytes is no record, wherever it stands. The two
differ in one value only: Arrow drops a byte order mark at the start of any block, even one that belongs to a field. A
text that ends inside quotes, or after an escape, is refused by `scan`.

Where the dialect has a comment mark, a line that begins with it is no record either, and ends at its line end whatever
stands in it. Only there must the start of a record be told from the start of any other field. So that others do not pay
for it, the walk is compiled twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from include.compiled import INT, INTS, TEXT, compiled, inlined

LF, CR = 10, 13
# The state between two bytes. What differs is only how the next byte is taken. LINE, the start of a record, is START
# where no line can be a comment; STATES is how many there are.
START, FIELD, CLOSED, QUOTED, ESCAPED, QUOTED_ESCAPED, LINE, COMMENT, STATES = range(9)

ROOM_BYTES = 64  # of text for each record that there is room for at first
DELIMITER, QUOTE, ESCAPE, REMARK = range(4)  # places in `Grammar.marks`
# Places in what `_walk` takes along: two count quotes, two say where the last field opened that is quoted.
AT, STATE, LINES, OPENED, LITERAL, QUOTE_AT, QUOTE_LINES, ALONG_SIZE = range(8)


@dataclass(frozen=True)
class Dialect:
    """How fields are separated and quoted. All are single ASCII bytes."""

    delimiter: bytes = b","
    quote: bytes | None = b'"'  # None: quoting is off
    escape: bytes | None = None  # None: a quote inside quotes is doubled; else this byte makes the next one literal
    comment: bytes | None = None  # None: no line is one; else a line that begins with this byte, outside quotes


class Grammar(NamedTuple):
    """A dialect as numbers."""

    delimiter: int
    quote: int  # -1: none, which no byte equals
    escape: int  # -1: none; then quotes are doubled
    comment: int  # -1: none
    marks: np.ndarray  # the four, int64

    @property
    def first(self) -> int:
        """The state in which a record begins."""
        return START if self.comment < 0 else LINE


@lru_cache
def grammar_of(dialect: Dialect) -> Grammar:
    """A dialect's grammar."""
    delimiter, quote, escape, comment = (
        mark[0] if mark else -1 for mark in (dialect.delimiter, dialect.quote, dialect.escape, dialect.comment)
    )
    return Grammar(delimiter, quote, escape, comment, np.array([delimiter, quote, escape, comment], np.int64))


class Text:
    """Bytes, and what the walk over them takes along."""

    def __init__(self, raw: bytes, after: int = -1) -> None:
        """`after` is the byte that follows, -1 at the end of the file."""
        self.bytes, self._after = np.frombuffer(raw, np.uint8), after

    def records(self, begin: int, end: int, grammar: Grammar, state: int) -> Ends:
        """Where records end in data[begin:end], which begins in that state."""
        room, parts = np.empty((2, (end - begin) // ROOM_BYTES + 64), np.int64), []
        along, walk = _along(begin, state), _walk if grammar.comment < 0 else _walk_comments
        while along[AT] < end:
            found = walk(self.bytes, end, self._after, grammar.marks, *room, along)
            parts.append(room[:, :found].copy() if along[AT] < end else room[:, :found])
        ends, lines = np.concatenate(parts, axis=1) if parts else room[:, :0]
        return Ends(ends, lines, int(along[LINES]), int(along[STATE]))

    def passed(self, begin: int, end: int, grammar: Grammar, state: int) -> Passed:
        """What comes of data[begin:end], which begins in that state."""
        along, none = _along(begin, state), np.empty(0, np.int64)
        walk = _walk if grammar.comment < 0 else _walk_comments
        walk(self.bytes, end, self._after, grammar.marks, none, none, along)
        _, state, *counts = along.tolist()
        return Passed(state, *counts)


class Passed(NamedTuple):
    """What bytes came to, and what they hold."""

    state: int  # at their end
    lines: int  # physical line ends
    opened: int  # quotes that opened
    literal: int  # quotes outside that did not
    quote_at: int  # the last quote at the start of a field; -1: none
    quote_lines: int  # physical line ends before it


class Ends(NamedTuple):
    """What a walk found."""

    ends: np.ndarray  # int64: the byte after each record's line end
    lines: np.ndarray  # int64: physical line ends up to there
    newlines: int  # all physical line ends
    state: int  # at the end


def _along(begin: int, state: int) -> np.ndarray:
    along = np.zeros(ALONG_SIZE, np.int64)
    along[AT], along[STATE], along[QUOTE_AT] = begin, state, -1
    return along


def is_record(array: np.ndarray, starts: np.ndarray, grammar: Grammar) -> np.ndarray:
    """Which of the lines that start there are records: they hold bytes, and are no comments."""
    first = array[starts]
    none: np.ndarray = (first == LF) | (first == CR)
    if grammar.comment >= 0:
        none |= first == grammar.comment
    return ~none


def _equal_64(_typing, data, at, byte):  # type: ignore[no-untyped-def]
    """A bit for each of the 64 bytes from data[at] on that equals `byte`: some instructions of the processor's."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        array, at, byte = arguments
        first = builder.gep(context.make_array(signature.args[0])(context, builder, array).data, [at])
        wide, zero = ir.VectorType(ir.IntType(8), 64), ir.Constant(ir.IntType(32), 0)
        loaded = builder.load(builder.bitcast(first, wide.as_pointer()), align=1)
        one = builder.insert_element(ir.Constant(wide, ir.Undefined), builder.trunc(byte, ir.IntType(8)), zero)
        same = builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), 64), None))
        return builder.bitcast(builder.icmp_unsigned("==", loaded, same), ir.IntType(64))

    return types.uint64(data, types.int64, types.int64), generate


def _first(_typing, bits):  # type: ignore[no-untyped-def]
    """The number of the lowest bit that is set, of uint64 that is not 0."""

    def generate(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


# Here, not in `compiled`: what is compiled is kept until the file changes in which it stands.
equal_64: Callable[..., Any] = intrinsic(_equal_64)
first_bit: Callable[..., Any] = intrinsic(_first)


@inlined
def _places(data, at, end, byte):  # type: ignore[no-untyped-def]
    """A bit (uint64) for each byte of data[at : at + 64] that equals `byte` and stands before `end`."""
    if at + 64 <= end:
        return equal_64(data, at, byte)
    bits = np.uint64(0)
    for place in range(at, end):
        if data[place] == byte:
            bits |= np.uint64(1) << np.uint64(place - at)
    return bits


@inlined
def _after_plain(state, data, begin, end, delimiter):  # type: ignore[no-untyped-def]
    """The state after data[begin:end], in which no byte but a delimiter has a meaning."""
    if state in (QUOTED, QUOTED_ESCAPED):
        return QUOTED
    escaped = state == ESCAPED and end == begin + 1
    return START if data[end - 1] == delimiter and not escaped else FIELD


def _compile_walk(*, comments: bool) -> Callable[..., Any]:
    """The walk over bytes for dialects with comments, or without: what the others need is no part of the code then."""

    @compiled(INT(TEXT, INT, INT, INTS, INTS, INTS, INTS))
    def _walk(data, end, after, marks, ends, lines, along):  # type: ignore[no-untyped-def]
        """Go on from `along` to `end`, or to the record that `ends` has no room for. Returns the records that ended.

        Without room at all, nothing is kept.
        """
        delimiter, quote, escape = marks[DELIMITER], marks[QUOTE], marks[ESCAPE]
        quotes, escapes = quote if quote >= 0 else LF, escape if escape >= 0 else LF
        at, state, count, found = along[AT], along[STATE], along[LINES], 0
        opened, literal = 0, 0
        quote_at, quote_lines = along[QUOTE_AT], along[QUOTE_LINES]
        told, full = at, False  # the byte before which `state` is
        while at < end and not full:
            hits = _places(data, at, end, LF) | _places(data, at, end, CR)
            hits |= _places(data, at, end, quotes) | _places(data, at, end, escapes)
            while hits:
                place = at + first_bit(hits)
                hits &= hits - np.uint64(1)
                if place > told:
                    if comments and (state == COMMENT or (state == LINE and data[told] == marks[REMARK])):
                        state = COMMENT
                    else:
                        state = _after_plain(state, data, told, place, delimiter)
                    told = place
                byte = data[place]
                ended = byte == LF
                if byte == CR:
                    following = np.int64(data[place + 1]) if place + 1 < len(data) else after
                    ended = following != LF
                if comments and state == COMMENT and not ended:
                    pass
                elif state == ESCAPED:
                    state = FIELD
                elif state == QUOTED_ESCAPED:
                    state = QUOTED
                elif byte == escape:
                    state = QUOTED_ESCAPED if state == QUOTED else ESCAPED
                elif state == QUOTED:
                    if byte == quote:
                        state = FIELD if escape >= 0 else CLOSED
                elif byte == quote and (state in (START, CLOSED) or (comments and state == LINE)):
                    if state != CLOSED:
                        quote_at, quote_lines = place, count
                    state = QUOTED
                    opened += 1
                elif ended:
                    if len(ends):
                        if found == len(ends):
                            full = True
                            break
                        ends[found], lines[found] = place + 1, count + 1
                        found += 1
                    state = LINE if comments else START
                else:
                    state = FIELD
                    literal += byte == quote
                count += ended
                told = place + 1
            at += 64
        if not full and told < end:
            if comments and (state == COMMENT or (state == LINE and data[told] == marks[REMARK])):
                state = COMMENT
            else:
                state = _after_plain(state, data, told, end, delimiter)
            told = end
        along[AT], along[STATE], along[LINES] = told, state, count
        along[OPENED], along[LITERAL] = opened, literal
        along[QUOTE_AT], along[QUOTE_LINES] = quote_at, quote_lines
        return found

    walk: Callable[..., Any] = _walk
    return walk


_walk, _walk_comments = _compile_walk(comments=False), _compile_walk(comments=True)
