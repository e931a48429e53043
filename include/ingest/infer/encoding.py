"""Which encoding bytes are in: UTF-8 proves itself, others are told by the letters that they would make."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

BOM = b"\xef\xbb\xbf"
# Ingest takes only those in which bytes below 0x80 are ASCII; the first of equals is taken.
CANDIDATES = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "iso8859-15", "iso8859-2", "cp437", "cp850", "mac_roman",
    "koi8-r",
    "cp866", "euc_jp", "euc_kr", "gb2312",
)  # fmt: skip
_COMMON = set("äöüßéèàçñáíóúâêîôûëïøæåãõìòùÄÖÜÉÅØÆłąęśżźćńóčřšžýůěďťőűşğı")
_SIGNS = set("€£¥§°«»–—‘’“”„…·µ²³½¼¾®©™¿¡ªº\xa0")  # noqa: RUF001
_MOST = 1 << 16  # bytes of a sample that are looked at


@dataclass(frozen=True)
class Encoding:
    """An encoding, and the words that show it."""

    name: str
    sure: bool = True
    word: str = ""  # one with a letter beyond ASCII
    others: tuple[str, ...] = ()  # that read the sample as well


def is_utf8(data: bytes) -> bool:
    """Whether bytes are UTF-8; a letter that their end cuts may be one."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and len(data) - error.start < 4
    return True


def is_whole_utf8(data: bytes) -> bool:
    """Whether bytes are UTF-8 to their end."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def encoding_of(sample: bytes) -> Encoding:
    """The encoding of bytes, some of which are beyond ASCII."""
    if is_utf8(sample) or _is_damaged_utf8(sample):
        return Encoding("utf-8")
    high = [line for line in sample.splitlines() if not line.isascii()]
    data = b"\n".join(high)[:_MOST]
    scores = {name: _score(data, name) for name in CANDIDATES}
    best = max(scores, key=lambda name: scores[name])
    text = data.decode(best, errors="replace")
    word = next((word for word in text.split() if not word.isascii()), "")
    close = [name for name in CANDIDATES if name != best and scores[name] >= scores[best] - 0.02]
    if not _controls(text):  # nobody writes these: one € decides for windows-1252, however many ä read alike
        close = [name for name in close if not _controls(data.decode(name, errors="ignore"))]
    same = [name for name in close if data.decode(name, errors="replace") == text]
    others = tuple(name for name in close if name not in same)
    return Encoding(best, not others and scores[best] > 0.5, word, others)


def _controls(text: str) -> bool:
    return any("\x80" <= letter < "\xa0" for letter in text)


def _is_damaged_utf8(sample: bytes) -> bool:
    """Whether far more letters are UTF-8 than not."""
    text = sample.decode(errors="replace")
    wrong = text.count("\N{REPLACEMENT CHARACTER}")
    right = sum(not letter.isascii() for letter in text) - wrong
    return right > 20 * wrong


def _score(data: bytes, name: str) -> float:
    """How likely the letters are that the encoding makes, 1 at most."""
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        if error.start < len(data) - 2:  # no letter that the end of the sample cuts
            return -1.0
        text = data.decode(name, errors="ignore")
    points, count = 0.0, 0
    for before, letter, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if not letter.isascii():
            count += 1
            points += _likely(before, letter, after)
    return points / count if count else 0.0


def _likely(before: str, letter: str, after: str) -> float:
    category = unicodedata.category(letter)
    if category == "Cc":
        return -1.5
    if letter in _SIGNS:
        return 0.5
    if not category.startswith("L"):
        return -0.7
    script = unicodedata.name(letter, "?").split()[0]
    latin = any(near.isascii() and near.isalpha() for near in (before, after))
    if script in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL"):
        return -0.8 if latin else 0.9
    if script in ("CYRILLIC", "GREEK"):
        kin = any(unicodedata.name(near, "?").split()[0] == script for near in (before, after))
        torn = letter.isupper() and before.islower()
        return -0.8 if latin else (0.95 if kin else -0.5) - 1.5 * torn
    near = (before.isascii() and before.isalpha()) or (after.isascii() and after.isalpha()) or before in _COMMON
    torn = letter.isupper() and before.islower()
    return (0.9 if letter in _COMMON and near else 0.3 if near else 0.0) - 0.8 * torn
