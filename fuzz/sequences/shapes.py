"""Tables for the sequences: key types, columns, and how a value may be spelled in a file.

A value is the text that PostgreSQL prints for it; a cell is one of the texts that mean it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from fuzz.sequences.model import Key, Values

KEYS = {
    "bigint": (("id", "bigint"),),
    "integer": (("id", "integer"),),
    "text": (("id", "text"),),
    "uuid": (("id", "uuid"),),
    "compound": (("id", "integer"), ("part", "text")),
    "date": (("id", "date"),),
    "numeric": (("id", "numeric(12,2)"),),
}
WORDS = ("a", "b", "a,b", 'say "x"', "line\nbreak", "Zoë", " padded ", "€", "x" * 30, "NULL", "\\N", "'")
NOTES = ('{"a":1}', '{"a": 1}', "[1,2]", "7", None)


@dataclass(frozen=True)
class Shape:
    """A table: the kind of its key, what decides which row is newer, and its mode."""

    key: str
    mode: str
    by_column: bool = False
    with_json: bool = False

    @property
    def key_columns(self) -> tuple[tuple[str, str], ...]:
        """Names and types of what identifies a row for a person; mode append has no key that PostgreSQL knows."""
        return KEYS[self.key]

    @property
    def value_columns(self) -> tuple[tuple[str, str], ...]:
        """Names and types of the other columns."""
        columns = [("label", "text"), ("amount", "numeric(8,2)")]
        columns += [("changed", "bigint")] if self.by_column else []
        return (*columns, *([("note", "json")] if self.with_json else []))

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return [name for name, _ in (*self.key_columns, *self.value_columns)]

    def make_key(self, number: int) -> Key:
        """The key of that number."""
        return tuple(_key(kind, number) for _, kind in self.key_columns)

    def make_values(self, chance: random.Random) -> Values:
        """Some values for the columns that are no key."""
        return tuple(_value(chance, name) for name, _ in self.value_columns)

    def spell(self, chance: random.Random, key: Key, values: Values) -> tuple[str, ...]:
        """The cells of a record."""
        spelled = [_spell(chance, kind, text) for (_, kind), text in zip(self.key_columns, key, strict=True)]
        return (*spelled, *(text or "" for text in values))


def _key(kind: str, number: int) -> str:
    if kind == "text":
        return ("k", "ö", "a b", 'q"', "x,")[number % 5] + str(number)
    if kind == "uuid":
        return str(UUID(int=0x61616161_0000_4000_8000_000000000000 + number * 0x0A_00000A))
    if kind == "date":
        return (date(2024, 2, 20) + timedelta(days=number)).isoformat()
    if kind.startswith("numeric"):
        return f"{number * 0.25 - 3:.2f}"
    return str(number * 7 - 20)


def _value(chance: random.Random, name: str) -> str | None:
    if name == "changed":
        return str(chance.randrange(6))
    if name == "note":
        return chance.choice(NOTES)
    if chance.random() < 0.1:
        return None
    return f"{chance.randrange(400) / 4:.2f}" if name == "amount" else chance.choice(WORDS)


def _spell(chance: random.Random, kind: str, text: str) -> str:
    if chance.random() < 0.8:
        return text
    if kind in ("bigint", "integer"):
        return text if text.startswith("-") else chance.choice(["+", "00"]) + text
    if kind == "uuid":
        return text.upper()
    if kind.startswith("numeric"):
        return text.rstrip("0").rstrip(".")
    return text
