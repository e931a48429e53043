"""What Millrace refuses although PostgreSQL's cast accepts it: the list in `docs/fuzz.md`, as predicates on the text.

Each is as narrow as its sentence there. They are written from the sentences, and use nothing of the ingest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from fuzz.values.cells import Kind

WHOLE = ("smallint", "integer", "bigint")
NUMBERS = (*WHOLE, "numeric", "real", "double precision")
DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
ZONE = r" ?(?:[Zz]|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)"
FORMS = {
    "date": DAY, "time": CLOCK, "timestamp": f"{DAY}(?:[Tt ]{CLOCK})?",
    "timestamptz": f"{DAY}(?:[Tt ]{CLOCK}(?:{ZONE})?)?",
    "uuid": "[0-9a-fA-F]{8}(-?)(?:[0-9a-fA-F]{4}\\1){3}[0-9a-fA-F]{12}", "bytea": r"\\x(?:[0-9a-fA-F]{2})*",
}  # fmt: skip
WORDS = ("true", "t", "yes", "y", "on", "1", "false", "f", "no", "n", "off", "0")


def reason(text: str, kind: Kind) -> str | None:
    """The short name of the first of the sentences that refuses a text which PostgreSQL takes; None: none does."""
    for name, (kinds, refuses) in SENTENCES.items():
        if kind.base in kinds and refuses(text, kind):
            return name
    return None


def _surrounded(text: str, kind: Kind) -> bool:
    return text != text.strip(" \t\n\r\v\f")


def _programmers_number(text: str, kind: Kind) -> bool:
    return bool(re.search("0[xXoObB]|_", text))


def _no_number(text: str, kind: Kind) -> bool:
    return bool(re.fullmatch("(?i)[+-]?(nan|inf|infinity)", text))


def _odd_nan(text: str, kind: Kind) -> bool:
    return bool(re.fullmatch(r"(?i)[+-]nan.*|nan\(.*", text, re.DOTALL))


def _rounded(text: str, kind: Kind) -> bool:
    try:
        _, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:
        return False
    spare = -int(exponent) - kind.sizes[1]
    return spare > 0 and any(digits[-spare:])


def _part_of_word(text: str, kind: Kind) -> bool:
    return text.lower() not in WORDS


def _other_form(text: str, kind: Kind) -> bool:
    return not re.fullmatch(FORMS[kind.base], text)


def _end_of_day(text: str, kind: Kind) -> bool:
    return bool(re.search("(^|[Tt ])24:", text))


def _leap_second(text: str, kind: Kind) -> bool:
    return bool(re.search("[0-9]{2}:[0-9]{2}:60", text))


def _seventh_digit(text: str, kind: Kind) -> bool:
    return bool(re.search(r"\.[0-9]{6}[0-9]*[1-9]", text))


def _outside_years(text: str, kind: Kind) -> bool:
    """Only an offset, or that of the zone, brings four digits of a year outside of 1 to 9999 in UTC."""
    found = re.fullmatch(rf"({DAY})(?:[Tt ]({CLOCK})(?: ?(?:(Z|UTC)|([+-])([0-9]{{2}}):?([0-9]{{2}})?))?)?", text, re.I)
    if not found:
        return False
    local = datetime.fromisoformat(f"{found[1]}T{(found[2] or '00:00')[:8]}")
    shift = timedelta(hours=int(found[5] or 0), minutes=int(found[6] or 0)) * (-1 if found[4] == "-" else 1)
    if not found[3] and not found[4]:
        shift = ZoneInfo(kind.timezone).utcoffset(local) or timedelta()
    try:
        (local - shift).replace(tzinfo=UTC)
    except OverflowError:
        return True
    return False


def _clock_change(text: str, kind: Kind) -> bool:
    if re.search("(?i)(z|utc|[+-][0-9:]{2,6})$", text[10:]):
        return False
    try:
        local = datetime.fromisoformat(text[:26]).replace(tzinfo=ZoneInfo(kind.timezone))
    except ValueError:
        return False
    return local.utcoffset() != local.replace(fold=1).utcoffset()


def _trailing_blanks(text: str, kind: Kind) -> bool:
    return bool(kind.sizes) and len(text) > kind.sizes[0]


def _long_exponent(text: str, kind: Kind) -> bool:
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)
    return any(len(digits) > 3 for digits in re.findall(r"[eE][+-]?0*([0-9]+)", bare))


def _deep(text: str, kind: Kind) -> bool:
    depth = most = 0
    for letter in re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL):
        depth += (letter in "[{") - (letter in "]}")
        most = max(most, depth)
    return most > 500


SENTENCES: dict[str, tuple[tuple[str, ...], Callable[[str, Kind], bool]]] = {
    "space-around": ((*NUMBERS, "boolean", *FORMS), _surrounded),
    "hex-octal-underscore": (NUMBERS, _programmers_number),
    "numeric-nan": (("numeric",), _no_number),
    "odd-nan": (("real", "double precision"), _odd_nan),
    "rounded": (("numeric",), _rounded),
    "part-of-word": (("boolean",), _part_of_word),
    "other-form": (tuple(FORMS), _other_form),
    "24-hours": (("time", "timestamp", "timestamptz"), _end_of_day),
    "leap-second": (("time", "timestamp", "timestamptz"), _leap_second),
    "seventh-digit": (("time", "timestamp", "timestamptz"), _seventh_digit),
    "outside-years": (("timestamptz",), _outside_years),
    "clock-change": (("timestamptz",), _clock_change),
    "trailing-blanks": (("varchar",), _trailing_blanks),
    "long-exponent": (("jsonb",), _long_exponent),
    "deep-json": (("json", "jsonb"), _deep),
}
