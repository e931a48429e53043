"""Cells of every type: valid ones in all their forms, those at the edges, and what becomes of them by a slip."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A type that a dataset can name, and the zone of its local times."""

    name: str
    timezone: str = "UTC"

    @property
    def base(self) -> str:
        """The type without its length, precision and scale."""
        return self.name.partition("(")[0]

    @property
    def sizes(self) -> list[int]:
        """Length, or precision and scale."""
        return [int(size) for size in self.name.partition("(")[2].rstrip(")").split(",") if size]


KINDS = [
    *map(Kind, ("smallint", "integer", "bigint", "numeric(5,0)", "numeric(12,2)", "numeric(38,10)", "numeric(4,4)")),
    *map(Kind, ("numeric(38,38)", "real", "double precision", "text", "varchar", "varchar(1)", "varchar(5)")),
    *map(Kind, ("boolean", "date", "time", "timestamp", "timestamptz", "uuid", "json", "jsonb", "bytea")),
    *(Kind("timestamptz", zone) for zone in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")),
]
SLIPS: list[str] = [*"0123456789+-.,:eExXoOb_ TtZz/\\\"'{}[]nafiu\t\n\r\0\u00a0\u0663é😀\ufeff"]


def make_cells(kind: Kind, count: int, chance: Random) -> list[bytes]:
    """Cells for one column; the share of those that were slipped with is drawn once for all of them."""
    make, share = _MAKERS[kind.base], chance.choice([0.0, 0.02, 0.2, 0.5, 0.7])
    cells = []
    for _ in range(count):
        text = make(chance, kind)
        while chance.random() < share:
            text = _slip(text, chance)
        raw = text.encode(errors="surrogatepass")
        if chance.random() < share / 20:
            at = chance.randint(0, len(raw))
            raw = raw[:at] + bytes([chance.randrange(256)]) + raw[at:]
        cells.append(raw)
    return cells


def _slip(text: str, chance: Random) -> str:
    at = chance.randint(0, len(text))
    way = chance.randrange(6)
    if way == 0:
        return text[:at] + chance.choice(SLIPS) + text[at:]
    if way == 1:
        return text[:at] + chance.choice(SLIPS) + text[at + 1 :]
    if way == 2:
        return text[:at] + text[at + 1 :]
    if way == 3:
        return chance.choice(["", " ", "\n", "0", "-", "+"]) + text + chance.choice(["", " ", "\t", "0", "."])
    if way == 4:
        return text[:at] + text[at : at + 3] * 2 + text[at + 3 :]
    return chance.choice([text.upper(), text.lower(), text.title(), text[::-1]])


def _digits(chance: Random, most: int) -> str:
    size = chance.randint(1, most)
    return "".join(chance.choice(chance.choice(["0123456789", "09", "0"])) for _ in range(size))


def _sign(chance: Random) -> str:
    return chance.choice(["", "", "", "-", "-", "+"])


def _integer(chance: Random, kind: Kind) -> str:
    bits = {"smallint": 15, "integer": 31, "bigint": 63}[kind.base]
    way = chance.randrange(5)
    if way == 0:
        return str((1 << bits) * chance.choice([-1, 1]) + chance.randint(-2, 2))
    if way == 1:
        return _sign(chance) + _digits(chance, 25)
    if way == 2:
        odd = ["0x1F", "0b101", "0o17", "1_000", "1e3", "1.0", "", "--1", "-", "+", "1.", "0", "-0", "\u0661\u0662"]
        return chance.choice(odd)
    return str(chance.randint(-(1 << bits), (1 << bits) - 1) >> chance.randrange(bits))


def _exponent(chance: Random, most: int) -> str:
    mark = chance.choice(["e", "E"])
    return f"{mark}{_sign(chance)}{chance.randint(0, most)}" if chance.random() < 0.35 else ""


def _numeric(chance: Random, kind: Kind) -> str:
    precision, scale = kind.sizes
    way = chance.randrange(6)
    if way == 0:
        return chance.choice(["NaN", "Infinity", "-inf", "", ".", "-", "1e", "0x1", "1_0", "1,5", "0e999999999", "-.0"])
    if way == 1:
        edge = 10**precision + chance.choice([-1, 0, 1])
        text = str(edge).rjust(scale + 1, "0")
        return _sign(chance) + (text[: len(text) - scale] + "." + text[len(text) - scale :]).rstrip(".")
    if way == 2:
        return _sign(chance) + _digits(chance, 45) + chance.choice(["", ".", "." + _digits(chance, 45)])
    before = chance.choice(["", _digits(chance, max(1, precision - scale))])
    after = chance.choice(["", ".", "." + _digits(chance, max(1, scale)), "." + _digits(chance, scale + 2) + "00"])
    return _sign(chance) + before + after + _exponent(chance, chance.choice([3, 12, 50]))


_FLOATS = [
    *("NaN", "nan", "-NaN", "+nan", "nan(1)", "Infinity", "-infinity", "inf", "+INF", "iNf", "infinit", "infinityx"),
    *("1e400", "-1e400", "1e-400", "1e39", "3.4028235e38", "3.4028236e38", "1.17549435e-38", "1e-45", "7e-46"),
    *("4.9e-324", "2e-324", "1.7976931348623157e308", "1.7976931348623159e308", "9007199254740993", "1e23", "0x1p3"),
    *("8.5899973e9", "16777217", "0.1", "-0", "-0.0", "0e5", "1d5", "1f", "1e", "1e+", ".e1", ".", "5.", ".5", "0x10"),
    *("1e5.0", "1__0", "1#INF", ""),
]
_DAYS = [
    *("0001-01-01", "9999-12-31", "0000-01-01", "10000-01-01", "1900-02-29", "2000-02-29", "2024-02-29", "2023-02-29"),
    *("2026-02-30", "2026-04-31", "2026-13-01", "2026-00-01", "2026-01-00", "2026-1-1", "20260101", "1582-10-10"),
    *("0099-12-31", "0100-01-01", "01/02/2026", "2026/01/02", "infinity", "today", "epoch", "J2451187", "1-1-1"),
    *("2026-01-01 BC", "26-01-01", "2026-Jan-01", "2026.01.02", "-2026-01-01", "9899-12-31", "9900-01-01"),
]
_CLOCKS = [
    *("24:00:00", "24:00", "24:00:01", "23:59:60", "23:59:61", "00:00", "0:00", "10", "1020", "102030", "10:20 PM"),
    *("10:20:30.", "10:20:30.1234567", "10:20:30.1234560", "10:20:30,5", "10:60:00", "25:00:00", "allballs", "now"),
    *("23:59:59.999999", "23:59:59.9999999", "10:20:30.0000005", "10.20.30", "10:20:30Z", "10:20:30+02", "10:20:3"),
]
_NUMBERS = [
    *("0", "-0", "1.50", "-1e5", "1E+2", "1e-999", "1e999", "1e1000", "1e-1000", "01", "1.", ".5", "+1", "1e", "-"),
    *("NaN", "0x1", "1e99999", "0e99999", "1e-16384", "Infinity", "1" * 40),
]
_ESCAPES = [
    *(r"\u0000", r"\u0041", r"\ud83d\ude00", r"\ud83d", r"\ude00", r"\ud83d\ud83d", r"\ud83dx\ude00", r"\\ud83d"),
    *(r"\\\ud83d", r"\n", r"\x", r"\/", r"\u12", r"\u123g", "\x7f", "\x1f", "\t", "é", "\u2028", r"\\", r"\\\\u0000"),
    r"\"",
]


def _float(chance: Random, kind: Kind) -> str:
    way = chance.randrange(5)
    if way == 0:
        return chance.choice(_FLOATS)
    if way == 1:
        return repr(chance.uniform(-1, 1) * 10 ** chance.randint(-5, 20))
    if way == 2:
        after = chance.choice(["", "." + _digits(chance, 40)])
        return _sign(chance) + _digits(chance, 40) + after + _exponent(chance, 330)
    if way == 3:
        return f"{chance.randint(-(10**9), 10**9) / 10 ** chance.randint(0, 9):.{chance.randint(0, 17)}g}"
    return _sign(chance) + _digits(chance, 9) + _exponent(chance, 50)


def _text(chance: Random, kind: Kind) -> str:
    letters = ["a", "Z", " ", "é", "日", "😀", "\\", '"', "'", ",", "\n", "\r", "\t", "\u0301", "\u2028", "\ufeff"]
    return "".join(chance.choice(letters) for _ in range(chance.choice([0, 1, 2, 4, 5, 6, 30])))


def _boolean(chance: Random, kind: Kind) -> str:
    word = chance.choice(["true", "t", "yes", "y", "on", "1", "false", "f", "no", "n", "off", "0"])
    other = ["tr", "tru", "fa", "fals", "ye", "o", "of", "2", "01", "", "null", "T rue", "\u017f", "o\ufb00", "\uff2fN"]
    return chance.choice([word, word.upper(), word.title(), chance.choice(other)])


def _day(chance: Random) -> str:
    if chance.random() < 0.2:
        return chance.choice(_DAYS)
    if chance.random() < 0.2:
        return f"{chance.randint(0, 10_000):04d}-{chance.randint(0, 13):02d}-{chance.randint(0, 32):02d}"
    day = datetime(1, 1, 1) + timedelta(days=chance.randrange(3_652_059))
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}"


def _clock(chance: Random) -> str:
    if chance.random() < 0.2:
        return chance.choice(_CLOCKS)
    text = f"{chance.randint(0, 24):02d}:{chance.randint(0, 60):02d}"
    if chance.random() < 0.8:
        text += f":{chance.randint(0, 60):02d}"
        text += chance.choice(["", "", "." + _digits(chance, 6), "." + _digits(chance, 9)])
    return text


def _date(chance: Random, kind: Kind) -> str:
    return _day(chance)


def _time(chance: Random, kind: Kind) -> str:
    return _clock(chance)


def _timestamp(chance: Random, kind: Kind) -> str:
    if chance.random() < 0.1:
        return _day(chance)
    zone = _offset(chance) if chance.random() < 0.1 else ""
    between = chance.choice(["T", " ", " ", "t", "  ", "_"][: chance.choice([3, 6])])
    return _day(chance) + between + _clock(chance) + zone


def _offset(chance: Random) -> str:
    sign, minute = chance.choice("+-"), f"{chance.choice([0, 30, 45, 59, 60]):02d}"
    hour = f"{sign}{chance.choice([0, 1, 2, 5, 11, 14, 15, 16]):02d}"
    usual = [f"{hour}:{minute}", f"{hour}{minute}", hour, "Z", "z", "UTC", "utc", " UTC", " Z", " +02"]
    odd = [f"{hour}:{minute}:30", f" {hour}", "+2", "+200", "GMT", "EST", " Europe/Berlin", "+-2", "+", "Zulu"]
    return chance.choice(usual if chance.random() < 0.8 else odd)


def _timestamptz(chance: Random, kind: Kind) -> str:
    if chance.random() < 0.2:  # when clocks are put forward and back
        day = chance.choice(["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04"])
        return f"{day} {chance.randint(0, 3):02d}:{chance.choice([0, 15, 30, 59]):02d}:{chance.choice([0, 59]):02d}"
    if chance.random() < 0.3:
        moment = datetime(1800, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(300 * 365 * 86400))
        return f"{moment:%Y-%m-%d %H:%M:%S}" + chance.choice(["", "Z", "+00", "+02:00"])
    if chance.random() < 0.1:
        return _day(chance)
    return _day(chance) + chance.choice("T  ") + _clock(chance) + (_offset(chance) if chance.random() < 0.7 else "")


def _uuid(chance: Random, kind: Kind) -> str:
    text = "".join(chance.choice("0123456789abcdefABCDEF") for _ in range(32))
    hyphened = "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])
    fours = "-".join(text[at : at + 4] for at in range(0, 32, 4))
    odd = [f"{{{hyphened}}}", fours, text[:8] + "-" + text[8:], f"urn:uuid:{hyphened}", text[1:]]
    return chance.choice([*[hyphened] * 6, text, text, *odd])


def _bytea(chance: Random, kind: Kind) -> str:
    text = "".join(f"{chance.randrange(256):02x}" for _ in range(chance.choice([0, 1, 2, 8])))
    odd = [rf"\x{text}f", text, r"\000abc", r"\\", rf"\X{text}", rf"\x {text}", ""]
    return chance.choice([*[rf"\x{text}"] * 6, rf"\x{text.upper()}", *odd])


def _plain_json(chance: Random, depth: int) -> Any:
    if depth <= 0 or chance.random() < 0.4:
        number = chance.choice([chance.randint(-(10**20), 10**20), chance.uniform(-1, 1)])
        return chance.choice([None, True, False, number, 'a"\\é\n', ""])
    if chance.random() < 0.5:
        return [_plain_json(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {chance.choice(["a", "b", "", "ü"]): _plain_json(chance, depth - 1) for _ in range(chance.randrange(4))}


def _json(chance: Random, kind: Kind) -> str:
    way = chance.randrange(6)
    if way == 0:
        odd = ["", " ", "nul", "[", "[1,]", '{"a"}', '{"a":1,}', "{a:1}", "'a'", "[1 2]", "//", "\ufeff1", "[]]"]
        return chance.choice(odd)
    if way == 1:
        return chance.choice(["%s", '{"a": %s}', "[%s]", " %s "]) % chance.choice(_NUMBERS)
    if way == 2:
        text = "".join(chance.choice(_ESCAPES) for _ in range(chance.randint(1, 4)))
        return chance.choice(['"%s"', '{"%s": 1}', '["%s"]']) % text
    if way == 3 and chance.random() < 0.1:
        depth = chance.choice([100, 499, 500, 501, 3000])
        return chance.choice(["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth])
    if way == 3 and chance.random() < 0.1:
        size = chance.choice([16_383, 16_384, 131_072, 131_073])
        return chance.choice(["0." + "1" * size, "1" * size, "0." + "0" * size, "-1." + "0" * size + "e-5"])
    space = chance.choice([None, 2])
    return json.dumps(_plain_json(chance, 3), ensure_ascii=chance.random() < 0.5, indent=space)


_MAKERS: dict[str, Callable[[Random, Kind], str]] = {
    **dict.fromkeys(("smallint", "integer", "bigint"), _integer), "numeric": _numeric,
    **dict.fromkeys(("real", "double precision"), _float), **dict.fromkeys(("text", "varchar"), _text),
    "boolean": _boolean, "date": _date, "time": _time, "timestamp": _timestamp, "timestamptz": _timestamptz,
    "uuid": _uuid, "bytea": _bytea, **dict.fromkeys(("json", "jsonb"), _json),
}  # fmt: skip
