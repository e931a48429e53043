"""The fields of one record's text: where each stands, and a record made of fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from include.ingest.csv.text_form import TextForm
from include.ingest.errors import CorrectionRefused


class Field(NamedTuple):
    """A field of a record: its text from `start` to `end`, quotes included, and the value that it has."""

    start: int
    end: int
    value: str


class Split(NamedTuple):
    """The fields of a text. `ended` says whether it is one record: no line end within it, no quote left open."""

    fields: list[Field]
    ended: bool


def split(text: str, form: TextForm) -> Split:
    """Cut a record by the grammar of `csv.grammar`. A line end outside quotes ends the last field."""
    quote, escape, delimiter = form.quote or "", form.escape or "", form.delimiter
    found: list[Field] = []
    value: list[str] = []
    start, quoted, at = 0, False, 0
    while at < len(text):
        letter = text[at]
        if letter == escape:
            at += 1
            if at == len(text):
                return Split([*found, Field(start, at, "".join(value))], False)
            value.append(text[at])
        elif letter == quote and quoted:
            if not escape and text[at + 1 : at + 2] == quote:
                at += 1
                value.append(quote)
            else:
                quoted = False
        elif letter == quote and at == start:
            quoted = True
        elif letter == delimiter and not quoted:
            found.append(Field(start, at, "".join(value)))
            start, value = at + 1, []
        elif letter in "\r\n" and not quoted:
            return Split([*found, Field(start, at, "".join(value))], False)
        else:
            value.append(letter)
        at += 1
    return Split([*found, Field(start, at, "".join(value))], not quoted)


def joined(values: Sequence[str], form: TextForm) -> str:
    """A record of these values, quoted where they need it. Raises CorrectionRefused where the dialect can't say one."""
    if len(values) == 1 and not values[0]:
        if not form.quote:
            raise CorrectionRefused("a record of one empty field can't be written without quotes: dismiss the row")
        return form.quote * 2  # a line with no bytes would be no record
    return form.delimiter.join(_written(value, form) for value in values)


def _written(value: str, form: TextForm) -> str:
    special = {form.delimiter, form.quote, form.escape, "\r", "\n"} - {None}
    if not any(mark in value for mark in special if mark):
        return value
    if form.quote and form.escape:
        inside = value.replace(form.escape, form.escape * 2).replace(form.quote, form.escape + form.quote)
        return f"{form.quote}{inside}{form.quote}"
    if form.quote:
        return form.quote + value.replace(form.quote, form.quote * 2) + form.quote
    if form.escape:
        return "".join(form.escape + letter if letter in special else letter for letter in value)
    raise CorrectionRefused(
        f"{value!r} holds a delimiter or a line end, which can't stand in a field where `csv.quote` is null and there"
        " is no `csv.escape`"
    )
