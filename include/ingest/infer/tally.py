"""What is counted of a file: arrays that compiled loops fill, one set a thread, which add up to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from include.ingest.infer.cells import MOST_GROUPS, READINGS

# Kinds of cells.
EMPTY, INTEGER, NUMBER, SCIENTIFIC, MOMENT, UUID, JSON, TEXT, NULL_WORD, KINDS = range(10)
KIND_NAMES = ("empty", "integer", "number", "scientific", "moment", "uuid", "json", "text", "null_word")
# What else is counted of a column.
SPACED, LEADING_ZERO, PLUS, HIGH_BYTES, NO_DAY, LONG, TORN, MORE_FORMS, LONG_TEXT, NUL = range(KINDS, KINDS + 10)
MISSES = KINDS + 10  # of each reading of a number
COUNTS = MISSES + len(READINGS)
# Extremes of a column: the odd places hold the greatest, the even the least.
(
    LEAST_INTEGER, MOST_INTEGER, LEAST_LENGTH, MOST_LENGTH, _, MOST_WHOLE_POINT, _, MOST_FRACTION_POINT, _,
    MOST_WHOLE_COMMA, _, MOST_FRACTION_COMMA, _, MOST_DIGITS, EXTREMES,
) = range(15)  # fmt: skip
# Extremes as doubles: as read with a decimal point, and with a decimal comma.
LEAST_POINT, MOST_POINT, LEAST_COMMA, MOST_COMMA, DOUBLES = range(5)

WORDS, WORD_BYTES = 64, 48
FORMS = 8
FORM_COUNT, FORM_LINE, FORM_GROUPS = range(3)
FORM_LEAST = 3  # of the groups, then the greatest, the shortest, the longest
FORM_MOST = FORM_LEAST + MOST_GROUPS
FORM_SHORTEST = FORM_MOST + MOST_GROUPS
FORM_LONGEST = FORM_SHORTEST + MOST_GROUPS
FORM_NO_DAYS = FORM_LONGEST + MOST_GROUPS  # of the three orders, then the line of the first such
FORM_NO_DAY_LINES = FORM_NO_DAYS + 3
FORM_FIRST_DAYS = FORM_NO_DAY_LINES + 3  # yyyymmdd of valid days, least, then greatest
FORM_LAST_DAYS = FORM_FIRST_DAYS + 3
FORM_SIZE = FORM_LAST_DAYS + 3
PLACES = 8  # of each kind that are remembered
EXACT = 4096  # slots for the distinct values of a column that are counted exactly, half of which are used
REGISTERS = 2048
FAR = np.int64(1 << 62)
WIDTH_GOOD, WIDTH_SHORT, WIDTH_LONG, WIDTH_COMMENT, WIDTHS = range(5)


@dataclass
class Tally:
    """Counts of `columns` columns."""

    columns: int
    counts: np.ndarray = field(init=False)  # int64
    extremes: np.ndarray = field(init=False)  # int64
    doubles: np.ndarray = field(init=False)
    word_hashes: np.ndarray = field(init=False)  # uint64; 0: free
    word_counts: np.ndarray = field(init=False)  # int64: how often, and the first line
    word_texts: np.ndarray = field(init=False)  # uint8: length, then bytes
    words: np.ndarray = field(init=False)  # int64: how many; more than WORDS: not all are there
    form_hashes: np.ndarray = field(init=False)
    forms: np.ndarray = field(init=False)  # int64
    form_texts: np.ndarray = field(init=False)
    place_lines: np.ndarray = field(init=False)  # int64
    place_texts: np.ndarray = field(init=False)
    distinct: np.ndarray = field(init=False)  # uint64
    distinct_counts: np.ndarray = field(init=False)  # int64; over EXACT // 2: not exact
    registers: np.ndarray = field(init=False)  # uint8
    widths: np.ndarray = field(init=False)  # int64
    width_places: np.ndarray = field(init=False)  # int64: line and width of short records, then of long ones

    def __post_init__(self) -> None:
        """Nothing was seen yet."""
        count = self.columns
        self.counts = np.zeros((count, COUNTS), np.int64)
        self.extremes = np.tile(np.array([FAR, -FAR], np.int64), (count, EXTREMES // 2))
        self.doubles = np.tile(np.array([np.inf, -np.inf]), (count, DOUBLES // 2))
        self.word_hashes = np.zeros((count, 2 * WORDS), np.uint64)
        self.word_counts = np.zeros((count, 2 * WORDS, 2), np.int64)
        self.word_texts = np.zeros((count, 2 * WORDS, 1 + WORD_BYTES), np.uint8)
        self.words = np.zeros(count, np.int64)
        self.form_hashes = np.zeros((count, FORMS), np.uint64)
        self.forms = np.zeros((count, FORMS, FORM_SIZE), np.int64)
        self.forms[:, :, FORM_LEAST:FORM_MOST] = FAR
        self.forms[:, :, FORM_MOST:FORM_SHORTEST] = -FAR
        self.forms[:, :, FORM_SHORTEST:FORM_LONGEST] = FAR
        self.forms[:, :, FORM_LONGEST:FORM_NO_DAYS] = -FAR
        self.forms[:, :, FORM_FIRST_DAYS:FORM_LAST_DAYS] = FAR
        self.form_texts = np.zeros((count, FORMS, 1 + WORD_BYTES), np.uint8)
        self.place_lines = np.zeros((count, KINDS, PLACES), np.int64)
        self.place_texts = np.zeros((count, KINDS, PLACES, 1 + WORD_BYTES), np.uint8)
        self.distinct = np.zeros((count, EXACT), np.uint64)
        self.distinct_counts = np.zeros(count, np.int64)
        self.registers = np.zeros((count, REGISTERS), np.uint8)
        self.widths = np.zeros(WIDTHS, np.int64)
        self.width_places = np.zeros((2, PLACES, 2), np.int64)

    def distinct_of(self, column: int) -> tuple[int, bool]:
        """How many different values a column has, and whether that is exact."""
        exact = int(self.distinct_counts[column])
        if exact <= EXACT // 2:
            return exact, True
        # HyperLogLog: 2,048 registers, off by some 2 % in most cases.
        registers = self.registers[column].astype(np.float64)
        estimate = 0.7213 / (1 + 1.079 / REGISTERS) * REGISTERS**2 / np.exp2(-registers).sum()
        return int(estimate), False

    def words_of(self, column: int) -> list[tuple[bytes, int, int]]:
        """The words of a column with their count and first line, the most frequent first; also where not all are."""
        used = np.flatnonzero(self.word_counts[column, :, 0])
        found = [(text_of(self.word_texts[column, slot]), *self.word_counts[column, slot].tolist()) for slot in used]
        return sorted(found, key=lambda word: (-word[1], word[2]))

    def places_of(self, column: int, kind: int) -> list[tuple[int, bytes]]:
        """The first lines with a cell of that kind, and the cells."""
        lines = self.place_lines[column, kind].tolist()
        return [(line, text_of(self.place_texts[column, kind, n])) for n, line in enumerate(lines) if line]

    def ragged(self, which: int) -> list[tuple[int, int]]:
        """Line and number of fields of the first records that are too short (0) or too long (1)."""
        return [(line, width) for line, width in self.width_places[which].tolist() if line]


def text_of(cell: np.ndarray) -> bytes:
    """The bytes that a length stands before."""
    return bytes(cell[1 : 1 + int(cell[0])])


def total(tallies: Sequence[Tally]) -> Tally:
    """All of them in one."""
    first, *others = tallies
    for other in others:
        _add(first, other)
    return first


def _add(into: Tally, other: Tally) -> None:
    into.counts += other.counts
    into.widths += other.widths
    for mine, its in ((into.extremes, other.extremes), (into.doubles, other.doubles)):
        mine[:, 0::2] = np.minimum(mine[:, 0::2], its[:, 0::2])
        mine[:, 1::2] = np.maximum(mine[:, 1::2], its[:, 1::2])
    np.maximum(into.registers, other.registers, out=into.registers)
    for column in range(into.columns):
        _add_words(into, other, column)
        _add_forms(into, other, column)
        _add_distinct(into, other, column)
        for kind in range(KINDS):
            lines = np.concatenate([into.place_lines[column, kind], other.place_lines[column, kind]])
            texts = np.concatenate([into.place_texts[column, kind], other.place_texts[column, kind]])
            first = np.argsort(np.where(lines > 0, lines, FAR), kind="stable")[:PLACES]
            into.place_lines[column, kind], into.place_texts[column, kind] = lines[first], texts[first]
    for which in range(2):
        places = np.concatenate([into.width_places[which], other.width_places[which]])
        first = np.argsort(np.where(places[:, 0] > 0, places[:, 0], FAR), kind="stable")[:PLACES]
        into.width_places[which] = places[first]


def _add_words(into: Tally, other: Tally, column: int) -> None:
    for slot in np.flatnonzero(other.word_hashes[column]).tolist():
        found = np.flatnonzero(into.word_hashes[column] == other.word_hashes[column, slot])
        free = np.flatnonzero(into.word_hashes[column] == 0)
        if not len(found) and (not len(free) or into.words[column] >= WORDS):
            into.words[column] = WORDS + 1
            continue
        place = found[0] if len(found) else free[0]
        count, line = other.word_counts[column, slot].tolist()
        if not len(found):
            into.words[column] += 1
            into.word_hashes[column, place] = other.word_hashes[column, slot]
            into.word_counts[column, place, 1] = line
            into.word_texts[column, place] = other.word_texts[column, slot]
        into.word_counts[column, place, 0] += count
        into.word_counts[column, place, 1] = min(line, into.word_counts[column, place, 1])
    if other.words[column] > WORDS:
        into.words[column] = WORDS + 1


def _add_forms(into: Tally, other: Tally, column: int) -> None:
    for slot in np.flatnonzero(other.form_hashes[column]).tolist():
        theirs = other.forms[column, slot]
        found = np.flatnonzero(into.form_hashes[column] == other.form_hashes[column, slot])
        if len(found):
            mine = into.forms[column, found[0]]
            _add_form(mine, theirs)
            continue
        free = np.flatnonzero(into.form_hashes[column] == 0)
        if not len(free):
            into.counts[column, MORE_FORMS] += theirs[FORM_COUNT]
            continue
        into.form_hashes[column, free[0]] = other.form_hashes[column, slot]
        into.forms[column, free[0]] = theirs
        into.form_texts[column, free[0]] = other.form_texts[column, slot]


def _add_form(mine: np.ndarray, theirs: np.ndarray) -> None:
    for least, most in ((FORM_LEAST, FORM_MOST), (FORM_SHORTEST, FORM_LONGEST), (FORM_FIRST_DAYS, FORM_LAST_DAYS)):
        size = most - least
        mine[least:most] = np.minimum(mine[least:most], theirs[least:most])
        mine[most : most + size] = np.maximum(mine[most : most + size], theirs[most : most + size])
    mine[FORM_COUNT] += theirs[FORM_COUNT]
    mine[FORM_LINE] = min(mine[FORM_LINE], theirs[FORM_LINE])
    mine[FORM_NO_DAYS : FORM_NO_DAYS + 3] += theirs[FORM_NO_DAYS : FORM_NO_DAYS + 3]
    for order in range(FORM_NO_DAY_LINES, FORM_NO_DAY_LINES + 3):
        lines = [line for line in (mine[order], theirs[order]) if line]
        mine[order] = min(lines, default=0)


def _add_distinct(into: Tally, other: Tally, column: int) -> None:
    counts = into.distinct_counts
    if max(counts[column], other.distinct_counts[column]) > EXACT // 2:
        counts[column] = EXACT
        return
    both = np.union1d(into.distinct[column], other.distinct[column])
    both = both[both != 0]
    counts[column] = len(both) if len(both) <= EXACT // 2 else EXACT
    into.distinct[column] = 0
    into.distinct[column, : min(len(both), EXACT)] = both[:EXACT]  # only to be added to again, not to be looked up in
