"""Dates and times: the strptime format of a form, and what decides between day first and month first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from include.ingest.infer import tally
from include.ingest.infer.cells import DAYS, MONTHS
from include.ingest.infer.tally import Tally, text_of

ORDERS = ("Ymd", "dmY", "mdY")
WORDS = {"Ymd": "year first", "dmY": "day first", "mdY": "month first"}
_TOKEN = re.compile(r"[0-9]+|[A-Za-z]+|.", re.DOTALL)
_ISO = re.compile(r"%Y-%m-%d(?:[T ]%H:%M(?::%S(?:\.%f)?)?(?: ?%z)?)?|%H:%M(?::%S(?:\.%f)?)?")


@dataclass(frozen=True)
class Form:
    """One form of a column's dates and times, and what its groups came to."""

    example: str
    count: int
    line: int
    least: tuple[int, ...]
    most: tuple[int, ...]
    shortest: tuple[int, ...]
    longest: tuple[int, ...]
    no_days: tuple[int, ...]  # of the three orders
    no_day_lines: tuple[int, ...]
    first_days: tuple[int, ...]
    last_days: tuple[int, ...]

    @property
    def is_date(self) -> bool:
        """Whether it begins with a date, not with a time."""
        return len(self.least) >= 3 and not re.match("[0-9]+:", self.example)

    def orders(self) -> list[str]:
        """The orders in which nearly all of the cells are days of the calendar."""
        if not self.is_date:
            return []
        few = self.count // 100
        return [order for place, order in enumerate(ORDERS) if self.no_days[place] <= few and self._fits(order)]

    def _fits(self, order: str) -> bool:
        """Whether the year has four digits, or always two, and a month's name stands for the month."""
        for group, role in enumerate(order):
            short, long = self.shortest[group], self.longest[group]
            if (short < 0) != (role == "m" and short < 0):
                return False
            if role == "Y" and (short, long) not in ((4, 4), (2, 2)):
                return False
            if role != "Y" and long > 2:
                return False
        return True

    @property
    def marks(self) -> str:
        """What stands between the parts of the date."""
        return "".join(_TOKEN.findall(self.example)[1:4:2])


def forms_of(seen: Tally, column: int) -> list[Form]:
    """The forms of a column, the most frequent first."""
    found = []
    for slot in np.flatnonzero(seen.form_hashes[column]).tolist():
        row = seen.forms[column, slot].tolist()
        groups = row[tally.FORM_GROUPS]
        parts = (tally.FORM_LEAST, tally.FORM_MOST, tally.FORM_SHORTEST, tally.FORM_LONGEST)
        orders = (tally.FORM_NO_DAYS, tally.FORM_NO_DAY_LINES, tally.FORM_FIRST_DAYS, tally.FORM_LAST_DAYS)
        found.append(
            Form(
                text_of(seen.form_texts[column, slot]).decode("latin-1"),
                row[tally.FORM_COUNT],
                row[tally.FORM_LINE],
                *(tuple(row[first : first + groups]) for first in parts),
                *(tuple(row[first : first + 3]) for first in orders),
            )
        )
    return sorted(found, key=lambda form: (-form.count, form.line))


@dataclass(frozen=True)
class Reading:
    """How a column's dates and times are read."""

    kind: str  # date, time, timestamp or timestamptz
    formats: list[str]  # none: ISO 8601
    order: str  # one of ORDERS; "": times only
    others: list[str]  # orders that would do as well
    fits: int  # cells that are read
    least: str = ""
    most: str = ""
    bare: int = 0  # cells without an offset, where others have one
    marks: str = ""


def read(forms: Sequence[Form], preferred: Mapping[str, str], likely: str) -> Reading | None:
    """How the forms are read, all of them if that can be. `preferred` is the order that other columns with the same
    marks were proved to have; `likely` breaks ties that nothing else does. None: they are no moments.
    """
    dates = [form for form in forms if form.is_date and form.orders()]
    times = [form for form in forms if not form.is_date]
    chosen = dates if sum(form.count for form in dates) >= sum(form.count for form in times) else times
    if not chosen:
        return None
    order, others = _order(chosen, preferred, likely) if chosen is dates else ("", [])
    formats, used = [], []
    for form in chosen:
        own = order if order in form.orders() or chosen is times else (form.orders() or [""])[0]
        text = format_of(form, own)
        if text:
            used.append((form, text, own))
            formats.append(text)
    if not used:
        return None
    kind = _kind(formats)
    iso = all(_ISO.fullmatch(text) and set(form.shortest[:6]) <= {2, 4} for form, text, _ in used)
    wrong = sum(form.no_days[ORDERS.index(own)] for form, _, own in used if own)
    first, last = _range([(form, own) for form, _, own in used if own])
    bare = sum(form.count for form, text, _ in used if not text.endswith("%z"))
    return Reading(
        kind, [] if iso else list(dict.fromkeys(formats)), order, others, sum(form.count for form, *_ in used) - wrong,
        first, last, bare if kind == "timestamptz" else 0, used[0][0].marks,
    )  # fmt: skip


def _order(forms: Sequence[Form], preferred: Mapping[str, str], likely: str) -> tuple[str, list[str]]:
    """The order of the most frequent form, as all forms of the same kind agree on it, and what would do as well."""
    first = forms[0]
    possible = first.orders()
    for form in forms[1:]:
        both = [order for order in possible if order in form.orders()]
        possible = both or possible
    if len(possible) == 1:
        return possible[0], []
    known = preferred.get(first.marks)
    if known in possible:
        return str(known), []
    best = likely if likely in possible else possible[0]
    if first.marks[:1] == "." and "dmY" in possible:
        best = "dmY"
    if "Ymd" in possible and first.longest[0] == 4:
        best = "Ymd"
    return best, [order for order in possible if order != best]


def _range(used: Sequence[tuple[Form, str]]) -> tuple[str, str]:
    """The first and the last day, in ISO form; empty for times."""
    if not used:
        return "", ""
    firsts = [form.first_days[ORDERS.index(order)] for form, order in used]
    lasts = [form.last_days[ORDERS.index(order)] for form, order in used]
    days = []
    for key in (min(firsts), max(lasts)):
        year, rest = divmod(key, 10_000)
        year += (2000 if year < 69 else 1900) if year < 100 else 0
        days.append(f"{year:04}-{rest // 100:02}-{rest % 100:02}")
    return days[0], days[1]


def _kind(formats: Sequence[str]) -> str:
    if any(text.endswith("%z") for text in formats):
        return "timestamptz"
    if any(re.search("%[YymdbB]", text) for text in formats):
        return "timestamp" if any(re.search("%[HI]", text) for text in formats) else "date"
    return "time"


def format_of(form: Form, order: str) -> str | None:
    """The strptime format of a form; None where its times are none, or its form has none."""
    tokens = _TOKEN.findall(form.example)
    half = any(token.lower() in ("am", "pm") for token in tokens)
    clock = ["I" if half else "H", "M", "S"]
    roles, text, group, place = [*order, *clock], "", 0, 0
    while place < len(tokens):
        token = tokens[place]
        if re.search(r"%[HI]:%M.*", text) and (token in "+-" or token in ("Z", "z", "UTC")):
            if text.endswith("%p") or token in ("z", "UTC"):
                return None
            return text + "%z"
        lower = token.lower()
        if token.isdigit():
            if text.endswith(("%S.", "%S,")):
                text += "%f"
                if len(token) > 6:
                    return None
            elif group == len(roles) or not _fits(roles[group], form, group):
                return None
            else:
                text += "%" + ("y" if roles[group] == "Y" and form.longest[group] == 2 else roles[group])
                group += 1
        elif lower in DAYS or lower in [day[:3] for day in DAYS]:
            text += "%A" if lower in DAYS else "%a"
        elif lower in MONTHS or lower in [month[:3] for month in MONTHS]:
            if group >= len(roles) or roles[group] != "m":
                return None
            text += "%B" if lower in MONTHS and len(lower) > 3 else "%b"
            group += 1
        elif lower in ("am", "pm"):
            text += "%p"
        elif token == "%":
            return None
        else:
            text += token
        place += 1
    if (order and group < 3) or (not order and group < 2) or group == 4:  # an hour alone is no time
        return None
    return text


def _fits(role: str, form: Form, group: int) -> bool:
    """Whether the values of a group are hours, minutes or seconds; those of a date were looked at."""
    bounds = {"H": (0, 23), "I": (1, 12), "M": (0, 59), "S": (0, 59)}
    if role not in bounds:
        return True
    low, high = bounds[role]
    return form.least[group] >= low and form.most[group] <= high and form.longest[group] <= 2
