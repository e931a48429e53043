"""Compiled: what one cell looks like. Numbers with their marks, dates and times by their form, uuids, words.

Each function takes the cell as data[lo:hi], which holds one byte at least and no white space at its ends.
"""

from __future__ import annotations

import numpy as np
from numba import types

from include.compiled import BYTES, INT, INTS, compiled

# Classes of bytes, as bits of a mask.
DIGIT, SIGN, POINT, COMMA, SPACE, APOSTROPHE, COLON, SLASH, E, HEX, LETTER, BRACE, HIGH, OTHER = (
    1 << place for place in range(14)
)
# Readings of a number with marks: decimal mark, thousands mark.
READINGS = ((".", None), (",", None), (".", ","), (",", "."), (".", "'"), (",", " "), (".", " "))
# What `number` writes into its output.
WHOLE_POINT, FRACTION_POINT, WHOLE_COMMA, FRACTION_COMMA, DIGITS, NEGATIVE, TORN, NUMBER_SIZE = range(8)
# What `form` writes: the number of groups, value and length of each, whether each order is a day, and keys of these.
GROUPS, GROUP_VALUES, MOST_GROUPS = 0, 1, 8
GROUP_LENGTHS = GROUP_VALUES + MOST_GROUPS
ORDERS = GROUP_LENGTHS + MOST_GROUPS  # whether year-month-day, day-month-year, month-day-year are days of the calendar
KEYS = ORDERS + 3  # yyyymmdd in each of the orders
FORM_SIZE = KEYS + 3


def _classes() -> np.ndarray:
    table = np.full(256, OTHER, np.int64)
    table[128:] = HIGH
    for letters, kind in (
        ("0123456789", DIGIT),
        ("+-", SIGN),
        (".", POINT),
        (",", COMMA),
        (" \t", SPACE),
        ("'", APOSTROPHE),
        (":", COLON),
        ("/", SLASH),
        ("eE", E),
        ("abcdfABCDF", HEX),
        ("ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ", LETTER),
        ("{}[]", BRACE),
    ):
        table[[ord(letter) for letter in letters]] = kind
    return table


CLASSES = _classes()
_MONTH_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAMES = np.zeros((19, 10), np.uint8)  # months, then days, padded with zeros
for _number, _name in enumerate((*MONTHS, *DAYS)):
    _NAMES[_number, : len(_name)] = np.frombuffer(_name.encode(), np.uint8)
# Tokens of a form that are no single byte; a byte is _BYTE and itself.
_SHORT, _YEAR, _FRACTION, _LONG, _MONTH, _MONTH_NAME, _HALF, _ZULU, _DAY, _DAY_NAME, _OFFSET, _BYTE = (
    1, 2, 3, 16, 4, 5, 6, 7, 8, 9, 10, 256,
)  # fmt: skip


@compiled(INT(BYTES, INT, INT, INT, INT))
def _grouped(data, first, hi, decimal, thousands):
    """Whether the digits before the decimal mark stand in groups of three, or have no thousands mark at all."""
    run, groups, at = 0, 0, first
    while at < hi and data[at] != decimal:
        if data[at] == thousands:
            if run == 0 or run > 3 or (groups > 0 and run != 3):
                return 0
            groups, run = groups + 1, 0
        elif data[at] >= 48 and data[at] <= 57:
            run += 1
        else:
            return 0
        at += 1
    if groups > 0 and run != 3:
        return 0
    at += 1
    while at < hi:
        if data[at] < 48 or data[at] > 57:
            return 0
        at += 1
    return 1


@compiled(INT(BYTES, INT, INT, INTS))
def number(data, lo, hi, out):
    """The readings (bits, in the order of READINGS) that make a number of digits, marks and spaces; 0: it is none.

    `out` gets the digits before and after the last point, the same for the last comma, all digits, whether it is
    negative, and whether its only mark may be either a decimal mark or a thousands mark.
    """
    at = lo
    negative = 0
    if data[at] == 43 or data[at] == 45:
        negative = data[at] == 45
        at += 1
    first = at
    points, commas, spaces, apostrophes, digits = 0, 0, 0, 0, 0
    last_point, last_comma, after_point, after_comma = -1, -1, 0, 0
    while at < hi:
        byte = data[at]
        if byte >= 48 and byte <= 57:
            digits += 1
            after_point += last_point >= 0
            after_comma += last_comma >= 0
        elif byte == 46:
            points, last_point, after_point = points + 1, at, 0
        elif byte == 44:
            commas, last_comma, after_comma = commas + 1, at, 0
        elif byte == 32:
            spaces += 1
        elif byte == 39:
            apostrophes += 1
        else:
            return 0
        at += 1
    if digits == 0:
        return 0
    out[WHOLE_POINT], out[FRACTION_POINT] = digits - after_point, after_point
    out[WHOLE_COMMA], out[FRACTION_COMMA] = digits - after_comma, after_comma
    out[DIGITS], out[NEGATIVE] = digits, negative
    marks = points + commas
    mark = last_point if points else last_comma
    torn = marks == 1 and spaces + apostrophes == 0 and hi - mark == 4 and mark - first <= 3 and mark > first
    out[TORN] = torn and data[first] != 48
    fits = 0
    if spaces + apostrophes == 0:
        fits |= (commas == 0 and points <= 1) | (points == 0 and commas <= 1) << 1
    grouped = points > 1 or commas > 1 or (points > 0 and commas > 0) or spaces > 0 or apostrophes > 0 or torn
    if grouped:
        fits |= (points <= 1 and spaces + apostrophes == 0 and _grouped(data, first, hi, 46, 44)) << 2
        fits |= (commas <= 1 and spaces + apostrophes == 0 and _grouped(data, first, hi, 44, 46)) << 3
        fits |= (points <= 1 and commas + spaces == 0 and _grouped(data, first, hi, 46, 39)) << 4
        fits |= (commas <= 1 and points + apostrophes == 0 and _grouped(data, first, hi, 44, 32)) << 5
        fits |= (points <= 1 and commas + apostrophes == 0 and _grouped(data, first, hi, 46, 32)) << 6
    else:
        # A plain number is one in readings with a thousands mark as well, if it has their decimal mark or none.
        point, comma = fits & 1, fits >> 1 & 1
        fits |= (point << 2) | (comma << 3) | (point << 4) | (comma << 5) | (point << 6)
    return fits


@compiled(INT(BYTES, INT, INT))
def is_scientific(data, lo, hi):
    """Whether the cell is a number with an exponent, such as 1.5e-3."""
    at = lo + (data[lo] == 43 or data[lo] == 45)
    digits, points = 0, 0
    while at < hi and (data[at] == 46 or (data[at] >= 48 and data[at] <= 57)):
        points += data[at] == 46
        digits += data[at] != 46
        at += 1
    if digits == 0 or points > 1 or at >= hi or (data[at] | 32) != 101:
        return 0
    at += 1
    if at < hi and (data[at] == 43 or data[at] == 45):
        at += 1
    first = at
    while at < hi and data[at] >= 48 and data[at] <= 57:
        at += 1
    return at == hi and at > first and at - first < 4


@compiled(INT(BYTES, INT, INT))
def is_uuid(data, lo, hi):
    """Whether the cell is 8-4-4-4-12 hexadecimal digits."""
    if hi - lo != 36:
        return 0
    for place in range(36):
        byte = data[lo + place]
        if place == 8 or place == 13 or place == 18 or place == 23:
            if byte != 45:
                return 0
        elif not ((byte >= 48 and byte <= 57) or ((byte | 32) >= 97 and (byte | 32) <= 102)):
            return 0
    return 1


@compiled(INT(BYTES, INT, INT))
def _json_string(data, at, hi):
    """Where the string ends that opens at `at`; -1: it is none, or one that PostgreSQL's jsonb may refuse."""
    at += 1
    while at < hi:
        byte = data[at]
        if byte == 34:
            return at + 1
        if byte < 32:
            return -1
        if byte == 92:
            at += 1
            if at >= hi:
                return -1
            escaped = data[at]
            if escaped == 117:
                if at + 4 >= hi:
                    return -1
                value = 0
                for place in range(1, 5):
                    letter = data[at + place]
                    if letter >= 48 and letter <= 57:
                        value = value * 16 + letter - 48
                    elif (letter | 32) >= 97 and (letter | 32) <= 102:
                        value = value * 16 + (letter | 32) - 87
                    else:
                        return -1
                if value == 0 or (value >= 0xD800 and value < 0xE000):
                    return -1
                at += 4
            elif not (
                escaped == 34 or escaped == 92 or escaped == 47 or escaped == 98 or escaped == 102 or escaped == 110
                or escaped == 114 or escaped == 116
            ):  # fmt: skip
                return -1
        at += 1
    return -1


@compiled(INT(BYTES, INT, INT))
def _json_scalar(data, at, hi):
    """Where the number, true, false or null ends that begins at `at`; -1: it is none of them."""
    if hi - at >= 4 and data[at] == 116 and data[at + 1] == 114 and data[at + 2] == 117 and data[at + 3] == 101:
        return at + 4
    if hi - at >= 4 and data[at] == 110 and data[at + 1] == 117 and data[at + 2] == 108 and data[at + 3] == 108:
        return at + 4
    if hi - at >= 5 and data[at] == 102 and data[at + 1] == 97 and data[at + 2] == 108 and data[at + 3] == 115:
        return at + 5 if data[at + 4] == 101 else -1
    at += data[at] == 45
    first = at
    while at < hi and data[at] >= 48 and data[at] <= 57:
        at += 1
    if at == first or (data[first] == 48 and at - first > 1):
        return -1
    if at < hi and data[at] == 46:
        at += 1
        first = at
        while at < hi and data[at] >= 48 and data[at] <= 57:
            at += 1
        if at == first:
            return -1
    if at < hi and (data[at] | 32) == 101:
        at += 1
        at += at < hi and (data[at] == 43 or data[at] == 45)
        first = at
        while at < hi and data[at] >= 48 and data[at] <= 57:
            at += 1
        if at == first or at - first > 2:  # jsonb would write out all the zeros
            return -1
    return at


@compiled(INT(BYTES, INT, INT))
def is_json(data, lo, hi):
    """Whether the cell is a JSON object or array, nested at most 60 deep, that jsonb surely takes."""
    at, depth, objects = lo, 0, np.uint64(0)  # a bit for each level: whether it is an object
    value, key, after = 1, 0, 0  # what may come next
    while at < hi:
        byte = data[at]
        if byte == 32 or byte == 9 or byte == 10 or byte == 13:
            at += 1
            continue
        inside = np.int64(objects >> np.uint64(max(depth - 1, 0)) & np.uint64(1))
        if after:
            if depth == 0:
                return 0
            if byte == 44:
                key, value, after = inside, 1 - inside, 0
            elif byte == (125 if inside else 93):
                depth -= 1
            else:
                return 0
            at += 1
        elif byte == 123 or byte == 91:
            if not value or depth == 60:
                return 0
            bit = np.uint64(1) << np.uint64(depth)
            objects = objects | bit if byte == 123 else objects & ~bit
            depth += 1
            at += 1
            while at < hi and (data[at] == 32 or data[at] == 9 or data[at] == 10 or data[at] == 13):
                at += 1
            if at < hi and data[at] == (125 if byte == 123 else 93):
                depth, after = depth - 1, 1
                at += 1
            else:
                key, value, after = byte == 123, byte == 91, 0
        elif key:
            at = _json_string(data, at, hi) if byte == 34 else -1
            while at > 0 and at < hi and (data[at] == 32 or data[at] == 9 or data[at] == 10 or data[at] == 13):
                at += 1
            if at < 0 or at >= hi or data[at] != 58:
                return 0
            at += 1
            key, value = 0, 1
        else:
            at = _json_string(data, at, hi) if byte == 34 else _json_scalar(data, at, hi)
            if at < 0:
                return 0
            value, after = 0, 1
    return depth == 0 and after


@compiled(INT(INT, INT, INT))
def is_day(year, month, day):
    """Whether the calendar has that day; a year of two digits is one of this century or the last."""
    if month < 1 or month > 12 or day < 1 or day > _MONTH_DAYS[month] or year < 0 or year > 9999:
        return 0
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0 or year == 0)
    return month != 2 or day < 29 or leap


@compiled(INT(BYTES, INT, INT))
def _named(data, lo, hi):
    """The number of the month (1 to 12) or the weekday (13 to 19) with that name, or its first three letters."""
    length = hi - lo
    if length < 3 or length > 9:
        return 0
    for name in range(19):
        place = 0
        while place < length and _NAMES[name, place] == (data[lo + place] | 32):
            place += 1
        if place == length and (length == 3 or _NAMES[name, length] == 0):
            return name + 1
    return 0


@compiled(INT(BYTES, INT))
def _is_utc(data, at):
    return data[at] == 85 and data[at + 1] == 84 and data[at + 2] == 67


@compiled(types.uint64(BYTES, INT, INT, INTS))
def form(data, lo, hi, out):
    """A hash of the form of what may be a date or time: two forms differ when their formats do. 0: it is neither.

    `out` gets the groups of digits, month names among them, and which orders of the first three make a date.
    """
    at, groups, colons, separators, hashed, zero = lo, 0, 0, 0, np.uint64(1469598103934665603), 1
    while at < hi:
        byte, first, token = np.int64(data[at]), at, np.int64(0)
        if byte >= 48 and byte <= 57:
            value = 0
            while at < hi and data[at] >= 48 and data[at] <= 57 and at - first < 10:
                value = value * 10 + data[at] - 48
                at += 1
            length = at - first
            if colons >= 2 and first > lo and (data[first - 1] == 46 or data[first - 1] == 44):
                token = _FRACTION if length <= 6 else _LONG + length
            else:
                if groups == MOST_GROUPS:
                    return 0
                out[GROUP_VALUES + groups], out[GROUP_LENGTHS + groups] = value, length
                groups += 1
                zero &= value == 0
                token = _SHORT if length <= 2 else _YEAR if length == 4 else _LONG + length
        elif (byte | 32) >= 97 and (byte | 32) <= 122:
            while at < hi and (data[at] | 32) >= 97 and (data[at] | 32) <= 122:
                at += 1
            length = at - first
            named = _named(data, first, at)
            if named > 12:
                token = _DAY if length == 3 else _DAY_NAME
            elif named > 0:
                if groups == MOST_GROUPS:
                    return 0
                out[GROUP_VALUES + groups], out[GROUP_LENGTHS + groups] = named, -length
                groups += 1
                zero = 0
                token = _MONTH if length == 3 else _MONTH_NAME
            elif length == 2 and (data[first + 1] | 32) == 109 and ((byte | 32) == 97 or (byte | 32) == 112):
                token = _HALF
            elif length == 1 and (byte | 32) == 116 and groups == 3:
                token, separators = _BYTE + 84, separators + 1
            elif (
                colons and at == hi and ((length == 1 and (byte | 32) == 122) or (length == 3 and _is_utc(data, first)))
            ):
                token = _ZULU
            else:
                return 0
        elif colons and (byte == 43 or byte == 45):
            at += 1
            digits, inner = 0, 0
            while at < hi and ((data[at] >= 48 and data[at] <= 57) or data[at] == 58):
                digits += data[at] != 58
                inner += data[at] == 58
                at += 1
            if at != hi or not (digits == 2 or digits == 4) or inner > 1 or (inner == 1 and data[hi - 3] != 58):
                return 0
            token = _OFFSET
        else:
            colons += byte == 58
            separators += 1
            token = _BYTE + byte
            at += 1
        hashed = (hashed ^ np.uint64(token)) * np.uint64(1099511628211)
    if groups < 2 or separators == 0 or (zero and colons == 0):
        return 0
    out[GROUPS] = groups
    for order in range(3):
        out[ORDERS + order] = 0
    if groups >= 3:
        one, two, three = out[GROUP_VALUES], out[GROUP_VALUES + 1], out[GROUP_VALUES + 2]
        out[ORDERS], out[KEYS] = is_day(one, two, three), (one * 100 + two) * 100 + three
        out[ORDERS + 1], out[KEYS + 1] = is_day(three, two, one), (three * 100 + two) * 100 + one
        out[ORDERS + 2], out[KEYS + 2] = is_day(three, one, two), (three * 100 + one) * 100 + two
    return hashed | np.uint64(1)
