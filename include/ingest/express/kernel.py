"""Compiled: plain records from their bytes to rows of PostgreSQL's binary COPY, in one pass.

A record is plain when each of its cells is written as exports usually write it. Whatever else there is, bad or only
unusual, makes the record odd: it is left out and marked, for the certain way in `rows` to read it. So nothing here
rejects a cell, and nothing here guesses.

A cell's reader takes the place of its first byte and of the output. It returns where it stopped reading, which must be
the cell's end, and where it stopped writing, or -1 there for an odd cell. A byte that can be read always follows a
record, so digits need no other end than a byte that is none.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from include.compiled import BYTES, DOUBLES, FLAGS, INT, INTS, TEXT, compiled, inlined

# What a row of the table of fields holds, by place.
KIND, NULLABLE, LEAST, MOST, SCALE, LONGEST, SHORTEST, TRIM, UTC, WORDS, FIELD_SIZE = range(11)
# The kinds of fields.
SKIP, WORD, INT2, INT4, INT8, NUMERIC, CHARACTERS, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, UUID, DOUBLE = range(13)

WORD_BYTES, CODE_BYTES, WORD_LIMIT, SLOTS = 32, 64, 512, 2048
DAY_US = 86_400_000_000
EPOCH_DAYS = 10_957  # from 1970-01-01 to 2000-01-01, where PostgreSQL counts from
NULL = -1
LF, CR, SPACE, PLUS, MINUS, POINT, ZERO, COLON, T, Z = 10, 13, 32, 43, 45, 46, 48, 58, 84, 90
MOST_DIGITS = 18  # that int64 holds whatever they are
EXACT_DIGITS, EXACT_POWER = 15, 22  # a double of so many digits over such a power of ten is rounded once

_POWERS = np.array([10**power for power in range(MOST_DIGITS + 1)], np.int64)
_DOUBLES = np.array([10.0**power for power in range(EXACT_POWER + 1)])
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] + [0] * 87, np.int64)
_TABLE, _WORDS, _SLOTS = types.int64[:, ::1], types.uint8[:, :, ::1], types.int32[:, ::1]


@inlined
def _put2(out, to, value):
    out[to], out[to + 1] = value >> 8, value
    return to + 2


@inlined
def _put4(out, to, value):
    out[to], out[to + 1], out[to + 2], out[to + 3] = value >> 24, value >> 16, value >> 8, value
    return to + 4


@inlined
def _put8(out, to, value):
    return _put4(out, _put4(out, to, value >> 32), value)


@inlined
def _two_digits(data, at):
    """The number of two digits, and less than 0 where they are none."""
    tens, ones = np.int64(data[at]) - ZERO, np.int64(data[at + 1]) - ZERO
    return tens * 10 + ones, tens | ones | (9 - tens) | (9 - ones)


@inlined
def _days(data, at):
    """Days since 1970 of YYYY-MM-DD in the years 100 to 9899, and less than 0 where it is odd."""
    century, bad = _two_digits(data, at)
    year, worse = _two_digits(data, at + 2)
    bad |= worse
    year += 100 * century
    month, worse = _two_digits(data, at + 5)
    bad |= worse
    day, worse = _two_digits(data, at + 8)
    bad |= worse
    if bad < 0 or data[at + 4] != MINUS or data[at + 7] != MINUS or century < 1 or century > 98:
        return 0, -1
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day < 1 or day > _MONTH_DAYS[month] + leap:
        return 0, -1
    shifted = year - (month < 3)
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468, 0


@inlined
def _clock(data, at):
    """Microseconds of HH:MM:SS with up to six digits after a point, and where that ends; less than 0: odd."""
    hour, bad = _two_digits(data, at)
    minute, worse = _two_digits(data, at + 3)
    bad |= worse
    second, worse = _two_digits(data, at + 6)
    bad |= worse | (23 - hour) | (59 - minute) | (59 - second)
    stop, fraction = at + 8, 0
    if data[stop] == POINT:
        stop += 1
        first = stop
        while data[stop] >= ZERO and data[stop] < ZERO + 10 and stop - first < 7:
            fraction = fraction * 10 + data[stop] - ZERO
            stop += 1
        if stop == first or stop - first > 6:
            bad = -1
        else:
            fraction *= _POWERS[6 - (stop - first)]
    if bad < 0 or data[at + 2] != COLON or data[at + 5] != COLON:
        stop = -1
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction, stop


@inlined
def _offset(data, at, end, utc):
    """Minutes east of UTC, and where that ends: Z, +HH:MM or, where the column's zone is UTC, nothing. Below 0: odd."""
    minutes, stop = 0, at if utc else -1
    if data[at] == Z:
        stop = at + 1
    elif (data[at] == PLUS or data[at] == MINUS) and at + 6 <= end:
        hour, bad = _two_digits(data, at + 1)
        minute, worse = _two_digits(data, at + 4)
        bad |= worse | (15 - hour) | (59 - minute)
        minutes = hour * 60 + minute
        if data[at] == MINUS:
            minutes = -minutes
        stop = at + 6 if bad >= 0 and data[at + 3] == COLON else -1
    return minutes, stop


@inlined
def _put_moment(data, at, end, kind, utc, least, most, out, to):
    value, stop = 0, -1
    if kind == DATE:
        if at + 10 <= end:
            value, bad = _days(data, at)
            stop = at + 10 if bad >= 0 else -1
    elif kind == TIME:
        if at + 8 <= end:
            value, stop = _clock(data, at)
    elif at + 19 <= end and (data[at + 10] == T or data[at + 10] == SPACE):
        days, bad = _days(data, at)
        value, stop = _clock(data, at + 11)
        value += days * DAY_US
        if bad < 0:
            stop = -1
        if kind == TIMESTAMPTZ and stop >= 0:
            minutes, stop = _offset(data, stop, end, utc)
            value -= minutes * 60_000_000
    if stop < 0 or value < least or value > most:
        return at, -1
    if kind == DATE:
        return stop, _put4(out, _put4(out, to, 4), value - EPOCH_DAYS)
    return stop, _put8(out, _put4(out, to, 8), value if kind == TIME else value - EPOCH_DAYS * DAY_US)


@inlined
def _decimal(data, at):
    """Digits with a point and a minus: unscaled value, its sign, digits after the point, all digits, where it ends."""
    negative = data[at] == MINUS
    if negative:
        at += 1
    value, first, after = np.int64(0), at, 0
    while data[at] >= ZERO and data[at] < ZERO + 10:
        value = value * 10 + data[at] - ZERO
        at += 1
    digits = at - first
    if data[at] == POINT and digits:
        at += 1
        first = at
        while data[at] >= ZERO and data[at] < ZERO + 10:
            value = value * 10 + data[at] - ZERO
            at += 1
        after = at - first
        digits = digits + after if after else 0
    if digits > MOST_DIGITS:
        digits = 0
    return value, negative, after, digits, at


@inlined
def _put_numeric(value, scale, out, to):
    """PostgreSQL's numeric: groups of four decimal digits to either side of the point."""
    groups = (scale + 3) // 4
    rest = abs(value) * _POWERS[4 * groups - scale]
    last = groups  # groups from the point to the last one that is kept
    while rest and rest % 10_000 == 0:
        rest //= 10_000
        last -= 1
    count, left = 0, rest
    while left:
        left //= 10_000
        count += 1
    to = _put4(out, to, 8 + 2 * count)
    to = _put2(out, to, count)
    to = _put2(out, to, count - last - 1 if count else 0)
    to = _put2(out, to, 0x4000 if value < 0 else 0)
    to = _put2(out, to, scale)
    for place in range(count - 1, -1, -1):
        _put2(out, to + 2 * place, rest % 10_000)
        rest //= 10_000
    return to + 2 * count


@inlined
def _put_number(data, at, kind, scale, least, most, out, to):
    """An integer or a numeric; its value as well."""
    value, negative, after, digits, stop = _decimal(data, at)
    if negative:
        value = -value
    if digits == 0 or after > scale or digits + scale - after > MOST_DIGITS:
        return at, -1, value
    value *= _POWERS[scale - after]
    if value < least or value > most:
        return at, -1, value
    if kind == INT8:
        to = _put8(out, _put4(out, to, 8), value)
    elif kind == INT4:
        to = _put4(out, _put4(out, to, 4), value)
    elif kind == INT2:
        to = _put2(out, _put4(out, to, 2), value)
    else:
        to = _put_numeric(value, scale, out, to)
    return stop, to, value


@inlined
def _put_double(data, at, out, to, one):
    value, negative, after, digits, stop = _decimal(data, at)
    if digits == 0 or digits > EXACT_DIGITS or after > EXACT_POWER:
        return at, -1
    one[0] = value / _DOUBLES[after]
    if negative:
        one[0] = -one[0]
    return stop, _put8(out, _put4(out, to, 8), one.view(np.int64)[0])


@inlined
def _hex(letter):
    if letter >= ZERO and letter < ZERO + 10:
        return letter - ZERO
    letter |= 0x20
    return letter - 87 if letter >= 97 and letter <= 102 else -1


@inlined
def _put_uuid(data, at, end, out, to):
    if at + 36 > end:
        return at, -1
    bad, place = 0, at
    to = _put4(out, to, 16)
    for number in range(16):
        if number == 4 or number == 6 or number == 8 or number == 10:
            if data[place] != MINUS:
                bad = -1
            place += 1
        high, low = _hex(np.int64(data[place])), _hex(np.int64(data[place + 1]))
        bad |= high | low
        out[to + number] = high * 16 + low
        place += 2
    return place, to + 16 if bad >= 0 else -1


@njit
def _is_utf8(data, at, end):
    while at < end:
        lead = data[at]
        if lead < 0x80:
            at += 1
            continue
        size = 2 if 0xC2 <= lead <= 0xDF else 3 if 0xE0 <= lead <= 0xEF else 4 if 0xF0 <= lead <= 0xF4 else 0
        if size == 0 or at + size > end:
            return False
        least = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
        most = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
        if data[at + 1] < least or data[at + 1] > most:
            return False
        for place in range(2, size):
            if data[at + place] & 0xC0 != 0x80:
                return False
        at += size
    return True


@inlined
def _put_text(data, at, end, closer, quoted, trim, most, shortest, out, to):
    """Text without its doubled quotes."""
    first, high, nul, begin = to + 4, 0, False, at
    to = first
    while at < end:
        letter = data[at]
        if letter == closer:
            if not quoted or data[at + 1] != closer:
                break
            at += 1
        out[to] = letter
        high |= letter
        nul |= letter == 0
        at += 1
        to += 1
    size = to - first
    odd = nul or size > most or size < shortest
    if trim and at > begin:
        odd |= out[first] <= SPACE or out[first] >= 0x80 or out[to - 1] <= SPACE or out[to - 1] >= 0x80
    if high >= 0x80:
        odd |= shortest > 0 or not _is_utf8(out, first, to)
    _put4(out, first - 4, size)
    return at, -1 if odd else to


@inlined
def _skip(data, at, end, closer, quoted):
    while at < end:
        if data[at] == closer:
            if not quoted or data[at + 1] != closer:
                break
            at += 1
        at += 1
    return at


@inlined
def _mix(mixed, letter):
    return mixed * 31 + letter


@inlined
def _slot(mixed):
    """Where a word is looked for first."""
    return (mixed ^ (mixed >> 11)) & (SLOTS - 1)


@inlined
def _find(data, begin, size, slot, field, slots, words):
    """The number of a field's word, or -1 - slot where it may be entered. Words are rows: length, then bytes."""
    while True:
        number = np.int64(slots[field, slot])
        if number < 0:
            return -1 - slot
        if words[field, number, 0] == size:
            same = 0
            while same < size and words[field, number, 1 + same] == data[begin + same]:
                same += 1
            if same == size:
                return number
        slot = (slot + 1) & (SLOTS - 1)


@compiled(INT(TEXT, INT, _SLOTS, _WORDS))
def find_word(word, field, slots, words):
    """The number of a field's word, or -1 - slot where it may be entered."""
    mixed = np.int64(0)
    for letter in word:
        mixed = _mix(mixed, letter)
    return _find(word, 0, len(word), _slot(mixed), field, slots, words)


@inlined
def _put_word(data, at, end, closer, field, slots, words, codes, out, to):
    begin, mixed = at, np.int64(0)
    while at < end and data[at] != closer:
        mixed = _mix(mixed, data[at])
        at += 1
    if at - begin > WORD_BYTES:
        return at, -1
    number = _find(data, begin, at - begin, _slot(mixed), field, slots, words)
    if number < 0:
        return at, -1
    size = np.int64(codes[field, number, 0])
    for place in range(size):
        out[to + place] = codes[field, number, 1 + place]
    return at, to + size


@inlined
def _null(data, at, end, closer, marks, mark_ends):
    """The length of the null marker that the cell is, -1: it is none."""
    start = 0
    for number in range(len(mark_ends)):
        size = mark_ends[number] - start
        same = 0
        while same < size and at + same < end and data[at + same] == marks[start + same]:
            same += 1
        if same == size and (at + size == end or data[at + size] == closer):
            return size
        start = mark_ends[number]
    return -1


@compiled(
    INT(
        TEXT, INTS, FLAGS, INT, INT, _TABLE, INT, TEXT, INTS, _SLOTS, _WORDS, _WORDS, BYTES, INTS, FLAGS, DOUBLES,
    )
)  # fmt: skip
def encode_records(
    data, starts, wanted, delimiter, quote, fields, key, marks, mark_ends, slots, words, codes, out, keys, odd, one
):
    """Write the wanted records to `out` as rows of binary COPY, and mark those that are odd. Returns the bytes.

    Record i is data[starts[i]:starts[i + 1]]. `fields` has a row for each field of a record, `keys` takes the integer
    in field `key` (-1: none) of each row, and `one` is room for one double. A last record without a line end is odd.
    """
    row, to, columns, value = 0, 0, 0, np.int64(0)
    for number in range(len(fields)):
        columns += fields[number, KIND] != SKIP
    for record in range(len(starts) - 1):
        if not wanted[record]:
            continue
        at, end = starts[record], starts[record + 1]
        if end > at and data[end - 1] == LF:
            end -= 1
        if end > at and data[end - 1] == CR:
            end -= 1
        put = _put2(out, to, columns) if end < len(data) else -1
        for number in range(len(fields)):
            if put < 0:
                break
            quoted = at < end and data[at] == quote
            closer = delimiter
            if quoted:
                at += 1
                closer = quote
            kind, scale = fields[number, KIND], fields[number, SCALE]
            least, most = fields[number, LEAST], fields[number, MOST]
            size = -1
            if kind > WORD and len(mark_ends):
                size = _null(data, at, end, closer, marks, mark_ends)
            if size >= 0:
                at += size
                put = _put4(out, put, NULL) if fields[number, NULLABLE] else -1
            elif kind == CHARACTERS:
                at, put = _put_text(
                    data, at, end, closer, quoted, fields[number, TRIM], fields[number, LONGEST],
                    fields[number, SHORTEST], out, put,
                )  # fmt: skip
            elif kind == WORD:
                at, put = _put_word(data, at, end, closer, fields[number, WORDS], slots, words, codes, out, put)
            elif kind == SKIP:
                at = _skip(data, at, end, closer, quoted)
            elif kind <= NUMERIC:
                at, put, value = _put_number(data, at, kind, scale, least, most, out, put)
                if number == key:
                    keys[row] = value
            elif kind == UUID:
                at, put = _put_uuid(data, at, end, out, put)
            elif kind == DOUBLE:
                at, put = _put_double(data, at, out, put, one)
            else:
                at, put = _put_moment(data, at, end, kind, fields[number, UTC], least, most, out, put)
            if quoted:
                put = put if at < end and data[at] == quote else -1
                at += 1
            if number + 1 < len(fields):
                put = put if at < end and data[at] == delimiter else -1
                at += 1
            elif at != end:
                put = -1
        if put < 0:
            odd[record] = True
        else:
            to, row = put, row + 1
    return to
