"""The grammar of CSV records, a piece of bytes at a time, in numpy.

It is that of `csv.reader(strict=False)` and of `pyarrow.csv` with `newlines_in_values=True`, which agree
on every record boundary. A quote opens only at the start of a field; elsewhere outside quotes it is literal. Text
after a closing quote goes on as an unquoted part of the field. An escape makes the next byte literal, inside quotes
and outside. Records end at LF, CRLF or a lone CR. A line with no bytes is not a record. The two differ in values
only: an escape as the last byte of a file escapes nothing for Arrow, a line end for Python; and Arrow drops a byte
order mark at the start of any block, even one that belongs to a field.

A piece whose opening quotes all stand at the start of a field, or right after the quote that closed, is decided by
counting quotes alone. Any other piece is decided by runs of adjacent quotes, from outside as from inside:

- an even run changes nothing: it is literal, empty, or doubled;
- an odd run at the start of a field toggles;
- any other odd run leaves the state outside, where it closes or is literal.

So the state after a run is the parity of the toggles since the last run of the third kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

LF, CR = 10, 13
PIECE_BYTES = 512 << 10  # with its masks, about fits the second-level cache
# The state between two bytes. What differs is only how the next byte is taken.
START, FIELD, CLOSED, QUOTED, ESCAPED, QUOTED_ESCAPED = range(6)


@dataclass(frozen=True)
class Dialect:
    """How fields are separated and quoted. All are single ASCII bytes."""

    delimiter: bytes = b","
    quote: bytes | None = b'"'  # None: quoting is off
    escape: bytes | None = None  # None: a quote inside quotes is doubled; else this byte makes the next one literal


class Grammar(NamedTuple):
    """A dialect as bytes and tables."""

    quote: int  # -1: none, which no byte equals
    escape: int  # -1: none
    neutral: int  # a byte without a meaning
    doubled: bool
    opens: np.ndarray  # bool by byte: a quote after it opens a field
    proves: np.ndarray  # bool by byte: where counting says that a quote opens, it does so after this byte


@lru_cache
def grammar_of(dialect: Dialect) -> Grammar:
    """A dialect's grammar."""
    special = {*dialect.delimiter, *(dialect.quote or b""), *(dialect.escape or b""), LF, CR}
    opens = np.zeros(256, dtype=bool)
    opens[[dialect.delimiter[0], LF, CR]] = True
    proves = opens.copy()
    if dialect.quote and dialect.escape is None:
        proves[dialect.quote[0]] = True
    quote = dialect.quote[0] if dialect.quote else -1
    escape = dialect.escape[0] if dialect.escape else -1
    return Grammar(quote, escape, min(set(range(256)) - special), escape < 0, opens, proves)


class Piece:
    """The quotes of some bytes, and what they mean for any state before the bytes."""

    def __init__(self, clean: np.ndarray, escapes: bool, quotes: np.ndarray, grammar: Grammar) -> None:
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


def piece_of(raw: np.ndarray, grammar: Grammar, state: int, masks: np.ndarray | None = None) -> Piece:
    """The quotes of some bytes that begin in the given state."""
    clean, escapes = _without_escaped(raw, grammar, state in (ESCAPED, QUOTED_ESCAPED))
    out = None if masks is None else masks[0][: len(raw)]
    return Piece(clean, escapes, np.flatnonzero(np.equal(clean, grammar.quote, out=out)), grammar)


def _without_escaped(raw: np.ndarray, grammar: Grammar, escaped: bool) -> tuple[np.ndarray, bool]:
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


def masks_for(length: int) -> np.ndarray:
    """Room for two masks of a piece, to be used again: new pages for each piece would cost more than the work."""
    return np.empty((2, min(length, PIECE_BYTES)), dtype=bool)


def line_ends(raw: np.ndarray, after: int, returns: bool, out: np.ndarray) -> np.ndarray:
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


def record_ends(raw: np.ndarray, after: int, grammar: Grammar, state: int, returns: bool, masks: np.ndarray) -> _Ends:
    """Where records end in a piece that begins in the given state."""
    clean, escapes = _without_escaped(raw, grammar, state in (ESCAPED, QUOTED_ESCAPED))
    mask = line_ends(raw, after, returns, masks[0])
    mask |= np.equal(clean, grammar.quote, out=masks[1][: len(raw)])
    marks = np.flatnonzero(mask)
    quotes = clean[marks] == grammar.quote
    piece = Piece(clean, escapes, marks[quotes], grammar)
    passed = np.cumsum(quotes)
    ends = np.logical_or(quotes, piece.inside(state, passed))
    np.logical_not(ends, out=ends)
    if clean is not raw:
        ends &= clean[marks] == raw[marks]
    found = np.flatnonzero(ends)
    lines = found + 1 - passed[found]
    return _Ends(marks[found] + 1, lines, len(marks) - len(piece.quotes), piece.exit(state))


def is_blank(array: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Which of the lines that start there hold no bytes."""
    first = array[starts]
    blank: np.ndarray = (first == LF) | (first == CR)
    return blank
