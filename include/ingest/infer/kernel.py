"""Compiled: one pass over the records of a block, which fills a tally and gives a hash of each cell that is asked for.

The grammar is that of `include.ingest.csv.grammar`: a record that is cut here is cut there alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from include.compiled import BYTES, FLAGS, INT, INTS, compiled, inlined
from include.ingest.csv.grammar import first_bit
from include.ingest.infer import cells, tally
from include.ingest.infer.cells import (
    APOSTROPHE,
    BRACE,
    CLASSES,
    COLON,
    COMMA,
    DIGIT,
    FRACTION_COMMA,
    FRACTION_POINT,
    GROUP_LENGTHS,
    GROUP_VALUES,
    GROUPS,
    HEX,
    HIGH,
    KEYS,
    LETTER,
    NEGATIVE,
    ORDERS,
    POINT,
    SIGN,
    SLASH,
    SPACE,
    WHOLE_COMMA,
    WHOLE_POINT,
    E,
    form,
    is_day,
    is_json,
    is_scientific,
    is_uuid,
    number,
)
from include.ingest.infer.tally import (
    EMPTY,
    EXACT,
    FORM_COUNT,
    FORM_FIRST_DAYS,
    FORM_GROUPS,
    FORM_LAST_DAYS,
    FORM_LEAST,
    FORM_LINE,
    FORM_LONGEST,
    FORM_MOST,
    FORM_NO_DAY_LINES,
    FORM_NO_DAYS,
    FORM_SHORTEST,
    FORMS,
    HIGH_BYTES,
    INTEGER,
    JSON,
    LEADING_ZERO,
    LEAST_COMMA,
    LEAST_INTEGER,
    LEAST_LENGTH,
    LEAST_POINT,
    LONG,
    LONG_TEXT,
    MISSES,
    MOMENT,
    MORE_FORMS,
    MOST_COMMA,
    MOST_DIGITS,
    MOST_FRACTION_COMMA,
    MOST_FRACTION_POINT,
    MOST_INTEGER,
    MOST_LENGTH,
    MOST_POINT,
    MOST_WHOLE_COMMA,
    MOST_WHOLE_POINT,
    NO_DAY,
    NUL,
    NULL_WORD,
    NUMBER,
    PLACES,
    PLUS,
    REGISTERS,
    SCIENTIFIC,
    SPACED,
    TEXT,
    TORN,
    UUID,
    WIDTH_COMMENT,
    WIDTH_GOOD,
    WIDTH_LONG,
    WIDTH_SHORT,
    WORD_BYTES,
    WORDS,
)

LF, CR = 10, 13
PAD = 16  # bytes that may be read after the last record
READINGS = len(cells.READINGS)
MARKS, DELIMITER, QUOTE, ESCAPE, COMMENT, FILL = 5, 0, 1, 2, 3, 4  # places in `marks`
_COUNTS = types.int64[:, ::1]
_DOUBLES = types.float64[:, ::1]
_HASHES, _HASHES_2 = types.uint64[::1], types.uint64[:, ::1]
_CUBE, _TEXTS, _TEXTS_4 = types.int64[:, :, ::1], types.uint8[:, :, ::1], types.uint8[:, :, :, ::1]
_POWERS = np.array([10.0**power for power in range(40)])
_NUMERIC = DIGIT | SIGN | POINT | COMMA | SPACE | APOSTROPHE
_MOMENT = _NUMERIC & ~APOSTROPHE | COLON | SLASH | LETTER | HEX | E
STOP = 1 << 20  # in a table of classes: a byte that has a meaning
_MOST_FORM = 40  # bytes of a date or time


def _load_8(_typing, data, at):
    """The eight bytes (uint64) from data[at] on."""

    def generate(context, builder, signature, arguments):
        array, at = arguments
        first = builder.gep(context.make_array(signature.args[0])(context, builder, array).data, [at])
        return builder.load(builder.bitcast(first, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.int64), generate


load_8: Callable[..., Any] = intrinsic(_load_8)


def _load_1(_typing, data, at):
    """The byte data[at]. Not asked whether `at` counts from the end, which took 8 % of the fastest passes of `walk`."""

    def generate(context, builder, signature, arguments):
        array, at = arguments
        return builder.load(builder.gep(context.make_array(signature.args[0])(context, builder, array).data, [at]))

    return types.uint8(data, types.int64), generate


load_1: Callable[..., Any] = intrinsic(_load_1)


def _hash_of_form(example: str) -> np.uint64:
    data = np.frombuffer(example.encode(), np.uint8).copy()
    return np.uint64(form(data, 0, len(data), np.zeros(64, np.int64)))


_ISO_DATE, _ISO_T, _ISO_SPACE, _ISO_Z = map(
    _hash_of_form, ("2026-01-31", "2026-01-31T10:20:30", "2026-01-31 10:20:30", "2026-01-31T10:20:30Z")
)


def stops_of(delimiter: int, quote: int, escape: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes of bytes with those marked that have a meaning outside quotes, and within. -1: there is no such mark."""
    outside, within = CLASSES.copy(), CLASSES.copy()
    for table, marks in ((outside, (delimiter, escape, LF, CR)), (within, (quote, escape, LF, CR))):
        table[[mark for mark in marks if mark >= 0]] |= STOP
    return outside, within


@compiled(types.uint64(BYTES, INT, INT))
def hash_of(data, lo, hi):
    """A hash of data[lo:hi], never 0. `PAD` bytes that can be read must follow."""
    hashed = np.uint64(0x9E3779B97F4A7C15) ^ (np.uint64(hi - lo) * np.uint64(0xD6E8FEB86659FD93))
    at = lo
    while at + 8 <= hi:
        hashed = (hashed ^ load_8(data, at)) * np.uint64(0xA0761D6478BD642F)
        hashed ^= hashed >> np.uint64(29)
        at += 8
    if at < hi:
        kept = np.uint64(8 * (hi - at))
        word = load_8(data, at) & ((np.uint64(1) << kept) - np.uint64(1))
        hashed = (hashed ^ word) * np.uint64(0xA0761D6478BD642F)
        hashed ^= hashed >> np.uint64(29)
    hashed *= np.uint64(0xE7037ED1A0B428DB)
    hashed ^= hashed >> np.uint64(32)
    return hashed | np.uint64(hashed == 0)


# What a cell needs is inlined into `walk`: to hand over ten arrays takes longer than to count (16 % of the time).
@inlined
def _word(data, lo, hi, column, hashed, line, hashes, counts, texts, known):
    """Count a word."""
    if known[column] > WORDS:
        return 0
    slot = np.int64(hashed % np.uint64(2 * WORDS))
    while hashes[column, slot] != 0 and hashes[column, slot] != hashed:
        slot = (slot + 1) % (2 * WORDS)
    if hashes[column, slot] == 0:
        if known[column] == WORDS:
            known[column] += 1
            return 0
        known[column] += 1
        hashes[column, slot] = hashed
        counts[column, slot, 1] = line
        size = min(hi - lo, WORD_BYTES)
        texts[column, slot, 0] = size
        for place in range(size):
            texts[column, slot, 1 + place] = data[lo + place]
    counts[column, slot, 0] += 1
    return 0


@compiled(INT(BYTES, INT, INT, INT, types.uint64, INT, INTS, _HASHES_2, _CUBE, _TEXTS))
def _form(data, lo, hi, column, hashed, line, found, hashes, forms, texts):
    """Count a form; 0: there is no room for one more."""
    slot = 0
    while slot < FORMS and hashes[column, slot] != 0 and hashes[column, slot] != hashed:
        slot += 1
    if slot == FORMS:
        return 0
    if hashes[column, slot] == 0:
        hashes[column, slot] = hashed
        size = min(hi - lo, WORD_BYTES)
        texts[column, slot, 0] = size
        for place in range(size):
            texts[column, slot, 1 + place] = data[lo + place]
        forms[column, slot, FORM_LINE] = line
        forms[column, slot, FORM_GROUPS] = found[GROUPS]
    forms[column, slot, FORM_COUNT] += 1
    for group in range(found[GROUPS]):
        value, length = found[GROUP_VALUES + group], found[GROUP_LENGTHS + group]
        forms[column, slot, FORM_LEAST + group] = min(forms[column, slot, FORM_LEAST + group], value)
        forms[column, slot, FORM_MOST + group] = max(forms[column, slot, FORM_MOST + group], value)
        forms[column, slot, FORM_SHORTEST + group] = min(forms[column, slot, FORM_SHORTEST + group], length)
        forms[column, slot, FORM_LONGEST + group] = max(forms[column, slot, FORM_LONGEST + group], length)
    for order in range(3):
        key = found[KEYS + order]
        if found[ORDERS + order]:
            forms[column, slot, FORM_FIRST_DAYS + order] = min(forms[column, slot, FORM_FIRST_DAYS + order], key)
            forms[column, slot, FORM_LAST_DAYS + order] = max(forms[column, slot, FORM_LAST_DAYS + order], key)
        else:
            forms[column, slot, FORM_NO_DAYS + order] += 1
            if forms[column, slot, FORM_NO_DAY_LINES + order] == 0:
                forms[column, slot, FORM_NO_DAY_LINES + order] = line
    return 1


@inlined
def _iso(data, lo, hi, column, line, hashes, forms):
    """Count a valid date, or date and time, in ISO form, of which the form was seen before; 0: it is none such."""
    length = hi - lo
    if length == 10:
        hashed = _ISO_DATE
    elif length == 19 or length == 20:
        hashed = _ISO_SPACE if data[lo + 10] == 32 else _ISO_T
        if length == 20:
            hashed = _ISO_Z
    else:
        return 0
    slot = 0
    while slot < FORMS and hashes[column, slot] != 0 and hashes[column, slot] != hashed:
        slot += 1
    if slot == FORMS or hashes[column, slot] == 0:
        return 0
    if data[lo + 4] != 45 or data[lo + 7] != 45:
        return 0
    wrong, key = np.int64(0), np.int64(0)
    for place in range(10):
        if place != 4 and place != 7:
            digit = np.int64(data[lo + place]) - 48
            wrong |= digit | (9 - digit)
            key = key * 10 + digit
    if length > 10:
        if data[lo + 13] != 58 or data[lo + 16] != 58 or (data[lo + 10] != 32 and data[lo + 10] != 84):
            return 0
        if length == 20 and (data[lo + 10] != 84 or data[lo + 19] != 90):
            return 0
        for place in range(3):
            tens, ones = np.int64(data[lo + 11 + 3 * place]) - 48, np.int64(data[lo + 12 + 3 * place]) - 48
            wrong |= tens | (9 - tens) | ones | (9 - ones) | ((23 if place == 0 else 59) - tens * 10 - ones)
    if wrong < 0 or not is_day(key // 10_000, key // 100 % 100, key % 100):
        return 0
    forms[column, slot, FORM_COUNT] += 1
    forms[column, slot, FORM_FIRST_DAYS] = min(forms[column, slot, FORM_FIRST_DAYS], key)
    forms[column, slot, FORM_LAST_DAYS] = max(forms[column, slot, FORM_LAST_DAYS], key)
    return 1


@inlined
def _distinct(column, hashed, distinct, counts, registers):
    """Count a value among the different ones."""
    if counts[column] <= EXACT // 2:
        slot = np.int64(hashed % np.uint64(EXACT))
        while distinct[column, slot] != 0 and distinct[column, slot] != hashed:
            slot = (slot + 1) % EXACT
        if distinct[column, slot] == hashed:
            return 0
        distinct[column, slot] = hashed
        counts[column] += 1
    register = np.int64(hashed & np.uint64(REGISTERS - 1))
    rank = first_bit(hashed >> np.uint64(11) | np.uint64(1 << 52)) + 1
    if rank > registers[column, register]:
        registers[column, register] = rank
    return 0


@inlined
def _number(data, lo, hi, column, counts, extremes, doubles, found):
    """Count a number with marks; 0: it is none."""
    fits = number(data, lo, hi, found)
    if fits == 0:
        return 0
    for reading in range(READINGS):
        counts[column, MISSES + reading] += 1 - (fits >> reading & 1)
    counts[column, TORN] += found[cells.TORN]
    value = 0.0
    for at in range(lo, hi):
        if data[at] >= 48 and data[at] <= 57:
            value = value * 10.0 + np.float64(data[at] - 48)
    if found[NEGATIVE]:
        value = -value
    point = value / _POWERS[min(found[FRACTION_POINT], 39)]
    comma = value / _POWERS[min(found[FRACTION_COMMA], 39)]
    doubles[column, LEAST_POINT] = min(doubles[column, LEAST_POINT], point)
    doubles[column, MOST_POINT] = max(doubles[column, MOST_POINT], point)
    doubles[column, LEAST_COMMA] = min(doubles[column, LEAST_COMMA], comma)
    doubles[column, MOST_COMMA] = max(doubles[column, MOST_COMMA], comma)
    extremes[column, MOST_WHOLE_POINT] = max(extremes[column, MOST_WHOLE_POINT], found[WHOLE_POINT])
    extremes[column, MOST_FRACTION_POINT] = max(extremes[column, MOST_FRACTION_POINT], found[FRACTION_POINT])
    extremes[column, MOST_WHOLE_COMMA] = max(extremes[column, MOST_WHOLE_COMMA], found[WHOLE_COMMA])
    extremes[column, MOST_FRACTION_COMMA] = max(extremes[column, MOST_FRACTION_COMMA], found[FRACTION_COMMA])
    return 1


@inlined
def _integer(data, lo, hi, column, counts, extremes):
    """Count digits, with a sign or without; 0: they are no integer."""
    first, negative = lo, data[lo] == 45
    if data[lo] == 43 or data[lo] == 45:
        first += 1
    length = hi - first
    if length == 0:
        return 0
    value = np.int64(0)
    for at in range(first, min(hi, first + 18)):
        if data[at] < 48 or data[at] > 57:
            return 0
        value = value * 10 + (data[at] - 48)
    for at in range(first + 18, hi):
        if data[at] < 48 or data[at] > 57:
            return 0
    counts[column, LEADING_ZERO] += length > 1 and data[first] == 48
    counts[column, PLUS] += data[lo] == 43
    extremes[column, MOST_DIGITS] = max(extremes[column, MOST_DIGITS], length)
    if length == 19 and value < 922_337_203_685_477_580:  # so that one more digit fits, whatever it is
        value, length = value * 10 + (data[hi - 1] - 48), 18
    if length > 18:
        counts[column, LONG] += 1
    else:
        value = -value if negative else value
        extremes[column, LEAST_INTEGER] = min(extremes[column, LEAST_INTEGER], value)
        extremes[column, MOST_INTEGER] = max(extremes[column, MOST_INTEGER], value)
    year = value // 10_000
    day = length == 8 and first == lo and year >= 1900 and year < 2100
    counts[column, NO_DAY] += not (day and is_day(year, value // 100 % 100, value % 100))
    return 1


@compiled(
    INT(
        BYTES, INT, INT, INTS, _HASHES, FLAGS, INTS, _COUNTS, _COUNTS, _DOUBLES, _HASHES_2, _CUBE, _TEXTS, INTS,
        _HASHES_2, _CUBE, _TEXTS, _CUBE, _TEXTS_4, _HASHES_2, INTS, types.uint8[:, ::1], INTS, _CUBE, _HASHES_2,
        INTS, INTS, INTS, INTS, INTS, INTS,
    )
)  # fmt: skip
def walk(
    data, end, line, marks, null_words, wanted, wanted_places, counts, extremes, doubles, word_hashes, word_counts,
    word_texts, words, form_hashes, forms, form_texts, place_lines, place_texts, distinct, distinct_counts, registers,
    widths, width_places, hashes, lows, highs, masks, found, outside, within,
):  # fmt: skip
    """Tally the records of data[:end], of which the first begins on that line. Returns how many have hashes.

    `data` is changed: cells with doubled quotes or escapes are unescaped where they stand. `hashes` has a row for each
    wanted column, and room for all records. `lows` to `found` are room for the fields of one record; `outside` and
    `within` are `stops_of` the dialect. The byte at `end` must stop both, as LF does.
    """
    delimiter, quote, escape = marks[DELIMITER], marks[QUOTE], marks[ESCAPE]
    comment, fill = marks[COMMENT], marks[FILL]
    columns = len(wanted)
    at, row = 0, 0
    while at < end:
        byte = data[at]
        if byte == LF or byte == CR:  # noqa: SIM109
            line += byte == LF or data[at + 1] != LF
            at += 1
            continue
        begun = line
        if byte == comment:
            while at < end and data[at] != LF and data[at] != CR:
                at += 1
            widths[WIDTH_COMMENT] += 1
            continue
        fields, more = 0, True
        while more:
            low, mask = at, np.int64(0)
            to = at
            if at < end and data[at] == quote:
                # Plain bytes stay where they are; what is doubled or escaped moves all that follows it.
                at += 1
                low = to = at
                inside = True
                while at < end:
                    if inside and to == at:
                        kind = within[load_1(data, at)]
                        while not kind & STOP:
                            mask |= kind
                            at += 1
                            kind = within[load_1(data, at)]
                        to = at
                        if at >= end:
                            break
                    byte = data[at]
                    if byte == escape:
                        at += 1
                        if at >= end:
                            break
                        byte = data[at]
                    elif inside and byte == quote:
                        if escape < 0 and at + 1 < end and data[at + 1] == quote:
                            at += 1
                        else:
                            inside = False
                            at += 1
                            continue
                    elif not inside and (byte == delimiter or byte == LF or byte == CR):  # noqa: SIM109
                        break
                    line += byte == LF or (byte == CR and data[at + 1] != LF)
                    mask |= CLASSES[byte]
                    if to != at:
                        data[to] = byte
                    to += 1
                    at += 1
            else:
                kind = outside[load_1(data, at)]
                while not kind & STOP:
                    mask |= kind
                    at += 1
                    kind = outside[load_1(data, at)]
                at = to = min(at, end)
                while at < end and data[at] == escape:
                    at += 1
                    if at >= end:
                        break
                    byte = data[at]
                    line += byte == LF or (byte == CR and data[at + 1] != LF)
                    mask |= CLASSES[byte]
                    data[to] = byte
                    to, at = to + 1, at + 1
                    while at < end and not outside[data[at]] & STOP:
                        mask |= outside[load_1(data, at)]
                        data[to] = data[at]
                        to, at = to + 1, at + 1
            if fields < columns:
                lows[fields], highs[fields], masks[fields] = low, to, mask
            fields += 1
            more = at < end and data[at] == delimiter
            at += more
        if at < end:
            if data[at] == CR:
                at += 1
                if at < end and data[at] == LF:
                    at += 1
            else:
                at += 1
            line += 1
        if fields != columns:
            short = fields < columns
            which = 0 if short else 1
            widths[WIDTH_SHORT if short else WIDTH_LONG] += 1
            place = 0
            while place < PLACES and width_places[which, place, 0] > 0:
                place += 1
            if place < PLACES:
                width_places[which, place, 0], width_places[which, place, 1] = begun, fields
            if not (short and fill):
                continue
            for missing in range(fields, columns):
                lows[missing], highs[missing], masks[missing] = 0, 0, 0
        else:
            widths[WIDTH_GOOD] += 1
        for column in range(columns):
            lo, hi, mask = lows[column], highs[column], masks[column]
            length = hi - lo
            if hi > lo and (data[lo] == 32 or data[lo] == 9 or data[hi - 1] == 32 or data[hi - 1] == 9):
                counts[column, SPACED] += 1
                while hi > lo and (data[lo] == 32 or data[lo] == 9):
                    lo += 1
                while hi > lo and (data[hi - 1] == 32 or data[hi - 1] == 9):
                    hi -= 1
                mask = np.int64(0)
                for place in range(lo, hi):
                    mask |= CLASSES[data[place]]
            if length > 0:
                extremes[column, LEAST_LENGTH] = min(extremes[column, LEAST_LENGTH], length)
                extremes[column, MOST_LENGTH] = max(extremes[column, MOST_LENGTH], length)
            hashed = np.uint64(0)
            kind = EMPTY
            if hi > lo:
                hashed = hash_of(data, lo, hi)
                kind = TEXT
                digits = mask & DIGIT
                if mask == DIGIT or (mask & ~(DIGIT | SIGN)) == 0:
                    if _integer(data, lo, hi, column, counts, extremes):
                        kind = INTEGER
                elif digits and (mask & ~_NUMERIC) == 0:
                    if _number(data, lo, hi, column, counts, extremes, doubles, found):
                        kind = NUMBER
                elif digits and (mask & ~(DIGIT | SIGN | POINT | E)) == 0 and is_scientific(data, lo, hi):
                    kind = SCIENTIFIC
                if kind == TEXT:
                    if is_uuid(data, lo, hi):
                        kind = UUID
                    elif (mask & BRACE) and (data[lo] == 123 or data[lo] == 91) and is_json(data, lo, hi):
                        kind = JSON
                    elif digits and (mask & ~_MOMENT) == 0 and hi - lo <= _MOST_FORM:
                        if _iso(data, lo, hi, column, begun, form_hashes, forms):
                            kind, shape = MOMENT, np.uint64(0)
                        else:
                            shape = form(data, lo, hi, found)
                        if shape != 0:
                            kind = MOMENT
                            if not _form(data, lo, hi, column, shape, begun, found, form_hashes, forms, form_texts):
                                counts[column, MORE_FORMS] += 1
                    if kind == TEXT:
                        slot = np.int64(hashed & np.uint64(len(null_words) - 1))
                        while null_words[slot] != 0 and null_words[slot] != hashed:
                            slot = (slot + 1) & (len(null_words) - 1)
                        if null_words[slot] == hashed:
                            kind = NULL_WORD
                        counts[column, LONG_TEXT] += hi - lo > WORD_BYTES
                        if mask & HIGH:
                            counts[column, HIGH_BYTES] += 1
                        elif mask & cells.OTHER:
                            for place in range(lo, hi):
                                if data[place] == 0:
                                    counts[column, NUL] += 1
                                    break
                if kind == TEXT or kind == NULL_WORD:  # noqa: SIM109
                    _word(data, lo, hi, column, hashed, begun, word_hashes, word_counts, word_texts, words)
                _distinct(column, hashed, distinct, distinct_counts, registers)
            counts[column, kind] += 1
            if place_lines[column, kind, PLACES - 1] == 0:
                place = 0
                while place_lines[column, kind, place] > 0:
                    place += 1
                place_lines[column, kind, place] = begun
                size = min(hi - lo, WORD_BYTES)
                place_texts[column, kind, place, 0] = size
                for letter in range(size):
                    place_texts[column, kind, place, 1 + letter] = data[lo + letter]
            if wanted[column]:
                hashes[wanted_places[column], row] = hashed
        row += 1
    return row


def arrays_of(into: tally.Tally) -> tuple[np.ndarray, ...]:
    """A tally as `walk` takes it, between `wanted_places` and `hashes`."""
    return (
        into.counts, into.extremes, into.doubles, into.word_hashes, into.word_counts, into.word_texts, into.words,
        into.form_hashes, into.forms, into.form_texts, into.place_lines, into.place_texts, into.distinct,
        into.distinct_counts, into.registers, into.widths, into.width_places,
    )  # fmt: skip


assert REGISTERS == 1 << 11, "as many as the leading bits of a hash that `_distinct` takes"
