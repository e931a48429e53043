"""The column types that a dataset can name, and how one text is read as each of them.

`SqlType.parse` reads the type's own name. `read_value` reads one cell, exactly and with a reason when it does not
fit; it is the slow and certain way, used for the few cells that the fast casts of `cast.py` leave.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import pyarrow as pa

ALIASES = {
    "int2": "smallint", "int": "integer", "int4": "integer", "int8": "bigint", "decimal": "numeric",
    "float4": "real", "double precision": "double", "float8": "double", "float": "double",
    "character varying": "varchar", "bool": "boolean",
    "time without time zone": "time", "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}  # fmt: skip
ARROW = {
    "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(), "real": pa.float32(),
    "double": pa.float64(), "text": pa.string(), "varchar": pa.string(), "boolean": pa.bool_(),
    "date": pa.date32(), "time": pa.time64("us"), "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"), "uuid": pa.binary(16), "json": pa.string(),
    "jsonb": pa.string(), "bytea": pa.binary(),
}  # fmt: skip
NAMES = {
    "double": "double precision", "time": "time without time zone", "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
}  # fmt: skip
SUPPORTED = (
    "smallint, integer, bigint, numeric(p,s), real, double precision, text, varchar(n), boolean, date, time,"
    " timestamp, timestamptz, uuid, json, jsonb, bytea"
)
INTEGERS = {"smallint": 15, "integer": 31, "bigint": 63}  # bits without the sign
FLOATS = ("real", "double")
NUMBERS = (*INTEGERS, "numeric", *FLOATS)
TEXTS = ("text", "varchar")
JSONS = ("json", "jsonb")
MOMENTS = ("date", "time", "timestamp", "timestamptz")
MAX_PRECISION = 38  # of Arrow's decimal128
MAX_LENGTH = 10_485_760  # PostgreSQL's own limit for varchar
FIRST_MOMENT = datetime(1, 1, 1, tzinfo=UTC)
LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
JSON_EXPONENT = 999  # of a number in jsonb, which stores all of its digits: seven bytes of text could take 64 kB
JSON_DEPTH = 500  # what Python's parser surely takes, whatever called it; PostgreSQL takes some thousands
DIGITS_BEFORE, DIGITS_AFTER = 131_072, 16_383  # the point, in PostgreSQL's numeric
EXPONENT_END = (1 << 30) - 1  # from which on PostgreSQL does not read a numeric, not even zero

_TYPE = re.compile(r"([a-z][a-z0-9 ]*?)(?: ?\( ?(\d+)(?: ?, ?(\d+))? ?\))?")


@dataclass(frozen=True)
class SqlType:
    """A PostgreSQL type. `kind` is its short name, without length, precision and scale."""

    kind: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None

    @classmethod
    def parse(cls, text: str) -> SqlType:
        """Read a type as SQL writes it, such as `numeric(12,2)`. Raises ValueError with a way out."""
        found = _TYPE.fullmatch(" ".join(text.lower().split()))
        kind = ALIASES.get(found[1], found[1]) if found else ""
        if found is None or kind not in {*ARROW, "numeric"}:
            raise ValueError(f"{text!r} is not a supported type; choose one of {SUPPORTED}")
        sizes = [int(size) for size in found.groups()[1:] if size is not None]
        if kind == "numeric":
            return _numeric_type(text, sizes)
        if kind == "varchar":
            return _varchar_type(text, sizes)
        if sizes:
            raise ValueError(f"{text}: {kind} takes no length or precision here; write {kind}")
        return cls(kind)

    @property
    def name(self) -> str:
        """The name that PostgreSQL's format_type prints."""
        if self.kind == "numeric":
            return f"numeric({self.precision},{self.scale})"
        if self.kind == "varchar":
            return "character varying" + (f"({self.length})" if self.length else "")
        return NAMES.get(self.kind, self.kind)

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of its values."""
        return pa.decimal128(self.precision, self.scale) if self.kind == "numeric" else ARROW[self.kind]


def _numeric_type(text: str, sizes: list[int]) -> SqlType:
    if not sizes:
        raise ValueError(f"{text} needs a precision and a scale, such as numeric(12,2)")
    precision, scale = (*sizes, 0)[:2]
    if not 1 <= precision <= MAX_PRECISION or scale > precision:
        raise ValueError(f"{text}: the precision must be 1 to {MAX_PRECISION}, the scale 0 to the precision")
    return SqlType("numeric", precision=precision, scale=scale)


def _varchar_type(text: str, sizes: list[int]) -> SqlType:
    if len(sizes) > 1 or (sizes and not 1 <= sizes[0] <= MAX_LENGTH):
        raise ValueError(f"{text}: give one length, 1 to {MAX_LENGTH}")
    return SqlType("varchar", length=sizes[0] if sizes else None)


class ValueFault(ValueError):
    """A text that is not a value of the type. `rule` is a short stable word, `reason` a phrase for people."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason


def read_value(text: str, sql_type: SqlType, zone: str = "UTC") -> Any:
    """The Python value of one text in ISO form; `zone` is for timestamptz without an offset. Raises ValueFault."""
    return _READERS[sql_type.kind](text, sql_type, zone)


def _fail(text: str) -> NoReturn:
    raise ValueFault("type", text)


def _integer(text: str, sql_type: SqlType, zone: str) -> int:
    found = re.fullmatch(r"([+-]?)0*([0-9]+)", text)
    if not found:
        _fail("not a whole number")
    bits = INTEGERS[sql_type.kind]
    value = int(found[1] + found[2]) if len(found[2]) < 20 else 1 << 64
    if not -(1 << bits) <= value < 1 << bits:
        raise ValueFault("range", f"outside {sql_type.kind}, which holds {-(1 << bits)} to {(1 << bits) - 1}")
    return value


_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def _numeric(text: str, sql_type: SqlType, zone: str) -> Decimal:
    precision, scale = sql_type.precision or 0, sql_type.scale or 0
    if not _DECIMAL.fullmatch(text):
        _fail("not a decimal number")
    if _exponent(text) >= EXPONENT_END:
        raise ValueFault("range", "the exponent is too large")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueFault("range", "the exponent is too large") from None
    if not value:
        return Decimal(0)
    if value.adjusted() >= precision - scale:
        raise ValueFault("range", f"outside {sql_type.name}: more than {precision - scale} digits before the point")
    sign, digits, exponent = value.as_tuple()
    spare = -scale - int(exponent)
    if spare > 0 and any(digits[-spare:]):
        raise ValueFault("range", f"outside {sql_type.name}: more than {scale} digits after the point")
    kept = digits[:-spare] if spare > 0 else digits
    return Decimal((sign, kept, max(int(exponent), -scale)))


def _exponent(text: str) -> int:
    """How large the exponent of a number is, whatever its sign."""
    digits = text.lower().partition("e")[2].lstrip("+-0")
    return int(digits or 0) if len(digits) < 11 else EXPONENT_END


def _float(text: str, sql_type: SqlType, zone: str) -> float:
    special = re.fullmatch(r"(?i)nan|[+-]?inf(?:inity)?", text)
    if not special and not _DECIMAL.fullmatch(text):
        _fail("not a number")
    value: float = pa.scalar(text).cast(sql_type.arrow).as_py()
    lost = value == 0 and re.search(r"[1-9]", re.split("[eE]", text)[0])
    if not special and (lost or abs(value) == float("inf")):
        raise ValueFault("range", f"{'too small' if lost else 'too large'} for {sql_type.name}")
    return value


def _boolean(text: str, sql_type: SqlType, zone: str) -> bool:
    if text.lower() not in ("true", "false"):
        _fail("not a boolean")
    return text.lower() == "true"


_DATE = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_TIME = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
_OFFSET = r" ?(?:([Zz]|UTC)|([+-])([0-9]{2})(?::?([0-9]{2}))?)"
_DATE_ONLY = re.compile(_DATE)
_TIME_ONLY = re.compile(_TIME)
_TIMESTAMP = re.compile(f"{_DATE}(?:[Tt ]{_TIME})?(?:{_OFFSET})?")


def _date(text: str, sql_type: SqlType, zone: str) -> date:
    found = _DATE_ONLY.fullmatch(text)
    if not found:
        _fail("not a date of the form YYYY-MM-DD")
    return _day(found.groups())


def _day(parts: tuple[str | Any, ...]) -> date:
    try:
        return date(*map(int, parts))
    except ValueError:
        raise ValueFault("type", "no such day in the calendar") from None


def _time(text: str, sql_type: SqlType, zone: str) -> time:
    found = _TIME_ONLY.fullmatch(text)
    if not found:
        _fail("not a time of the form HH:MM:SS")
    return _clock(found.groups())


def _clock(parts: tuple[str | Any, ...]) -> time:
    hour, minute, second, fraction = parts
    if fraction and fraction[6:].strip("0"):
        _fail("more than 6 digits after the second")
    try:
        return time(int(hour or 0), int(minute or 0), int(second or 0), int((fraction or "0")[:6].ljust(6, "0")))
    except ValueError:
        raise ValueFault("type", "no such time of day") from None


def _timestamp(text: str, sql_type: SqlType, zone: str) -> datetime:
    found = _TIMESTAMP.fullmatch(text)
    if not found:
        _fail("not a timestamp of the form YYYY-MM-DD HH:MM:SS")
    if found[8] or found[9]:
        _fail("a timestamp has no offset from UTC; timestamptz has")
    return datetime.combine(_day(found.groups()[:3]), _clock(found.groups()[3:7]))


def _timestamptz(text: str, sql_type: SqlType, zone: str) -> datetime:
    found = _TIMESTAMP.fullmatch(text)
    if not found or (found[4] is None and (found[8] or found[9])):
        _fail("not a timestamp of the form YYYY-MM-DD HH:MM:SS+HH:MM")
    local = datetime.combine(_day(found.groups()[:3]), _clock(found.groups()[3:7]))
    if found[8]:
        return local.replace(tzinfo=UTC)
    if not found[9]:
        return localise(local, zone)
    if int(found[10]) > 15 or int(found[11] or 0) > 59:
        _fail("no such offset from UTC")
    offset = timedelta(hours=int(found[10]), minutes=int(found[11] or 0))
    return in_utc(local.replace(tzinfo=timezone(-offset if found[9] == "-" else offset)))


def localise(local: datetime, zone: str) -> datetime:
    """The instant of a local time. Raises ValueFault when the clock was put forward over it, or back to it."""
    early, late = (local.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    before, after = early.utcoffset(), late.utcoffset()
    if before is None or after is None:
        raise TypeError(f"{zone} has no offsets")
    if before != after:
        when = "occurs twice" if before > after else "does not exist"
        _fail(f"this local time {when} in {zone}; give an offset from UTC")
    return in_utc(early)


def in_utc(moment: datetime) -> datetime:
    """The same instant in UTC. Raises ValueFault outside the years 1 to 9999."""
    offset = moment.utcoffset() or timedelta()
    plain = moment.replace(tzinfo=UTC)
    if plain - FIRST_MOMENT < offset or LAST_MOMENT - plain < -offset:
        raise ValueFault("range", "outside the years 1 to 9999 in UTC")
    return plain - offset


def _uuid(text: str, sql_type: SqlType, zone: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}(?:\1[0-9a-fA-F]{4}){2}\1[0-9a-fA-F]{12}", text):
        _fail("not a uuid of 32 hexadecimal digits, in groups of 8-4-4-4-12 or in one")
    return bytes.fromhex(text.replace("-", ""))


def _bytea(text: str, sql_type: SqlType, zone: str) -> bytes:
    if not re.fullmatch(r"\\x(?:[0-9a-fA-F]{2})*", text):
        _fail(r"not bytes of the form \x0a1b")
    return bytes.fromhex(text[2:])


def _text(text: str, sql_type: SqlType, zone: str) -> str:
    if "\0" in text:
        raise ValueFault("nul", "holds a NUL character, which PostgreSQL cannot store")
    return text


def _json(text: str, sql_type: SqlType, zone: str) -> str:
    _text(text, sql_type, zone)
    _check_depth(text)
    stored = _stored_number if sql_type.kind == "jsonb" else str  # json is kept as it is written
    try:
        json.loads(text, parse_constant=_no_constant, parse_int=stored, parse_float=stored)
    except json.JSONDecodeError as error:
        raise ValueFault("type", f"not JSON: {error.msg} at character {error.colno}") from None
    if sql_type.kind == "jsonb" and "\\u" in text:
        _check_escapes(text)
    return text


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= JSON_DEPTH:
        return
    depth = 0
    for bracket in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text, re.DOTALL):
        depth += (bracket in "[{") - (bracket in "]}")
        if depth > JSON_DEPTH:
            raise ValueFault("type", f"JSON that is nested more than {JSON_DEPTH} deep")


def _no_constant(word: str) -> NoReturn:
    _fail(f"not JSON: {word} is no value")


def _stored_number(text: str) -> str:
    """A number of a jsonb, if PostgreSQL's numeric holds it."""
    exponent = _exponent(text)
    if exponent > JSON_EXPONENT:
        raise ValueFault("range", f"a number's exponent is over {JSON_EXPONENT}")
    if len(text) < DIGITS_AFTER - JSON_EXPONENT:
        return text
    mantissa, _, power = text.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    shift = -exponent if power.startswith("-") else exponent
    if len(fraction) - shift > DIGITS_AFTER:
        raise ValueFault("range", f"a number has more than {DIGITS_AFTER:,} digits after the point")
    digits = (whole + fraction).lstrip("0")
    if digits and len(digits) - len(fraction) + shift > DIGITS_BEFORE:
        raise ValueFault("range", f"a number has more than {DIGITS_BEFORE:,} digits before the point")
    return text


def _check_escapes(text: str) -> None:
    codes = [int(code, 16) for code in re.findall(r"\\(?:[^u]|u(....))", text) if code]
    if 0 in codes:
        raise ValueFault("nul", r"holds \u0000, which PostgreSQL cannot store")
    if any(0xD800 <= code < 0xE000 for code in codes):
        plain = re.sub(r"\\[^u]", " ", text)  # which parts the halves around it
        pairs = re.sub(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..", "", plain)
        if re.search(r"\\u[dD][89a-fA-F]", pairs):
            _fail("not JSON that can be stored: half of a surrogate pair")


_READERS: dict[str, Callable[[str, SqlType, str], Any]] = {
    **dict.fromkeys(INTEGERS, _integer), "numeric": _numeric, **dict.fromkeys(FLOATS, _float), "boolean": _boolean,
    "date": _date, "time": _time, "timestamp": _timestamp, "timestamptz": _timestamptz, "uuid": _uuid,
    "bytea": _bytea, **dict.fromkeys(TEXTS, _text), **dict.fromkeys(JSONS, _json),
}  # fmt: skip
