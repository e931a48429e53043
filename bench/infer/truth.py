"""What is true of a file, what was told of it, and where these differ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Truth:
    """Of a file, as it was made or as somebody who looked at it wrote it down. Lines count from 0 here."""

    delimiter: str  # empty: it has one column
    quote: str | None  # None: no quote occurs, so that any will do
    encoding: str
    header: bool
    rows: int
    columns: int
    skipped: int = 0  # lines before the table
    types: tuple[str, ...] = ()  # none: not written down
    key: tuple[str, ...] = ()
    escape: str | None = None


@dataclass(frozen=True)
class Told:
    """By a contender. `error` says why it told nothing."""

    delimiter: str = ""
    quote: str | None = None
    header: bool = False
    rows: int = -1
    columns: int = -1
    types: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    error: str = ""


ASPECTS = ("dialect", "header", "rows", "columns")
_FAMILIES = {
    "smallint": "int",
    "integer": "int",
    "bigint": "int",
    "tinyint": "int",
    "hugeint": "int",
    "double precision": "double",
    "real": "double",
    "varchar": "text",
    "timestamp with time zone": "timestamptz",
    "json": "jsonb",
}


def right(truth: Truth, told: Told) -> dict[str, bool]:
    """Which aspects were told right."""
    if told.error:
        return dict.fromkeys(ASPECTS, False)
    same = truth.columns == 1 or told.delimiter == truth.delimiter
    return {
        "dialect": same and (truth.quote is None or told.quote == truth.quote),
        "header": told.header == truth.header,
        "rows": told.rows == truth.rows,
        "columns": told.columns == truth.columns,
    }


def family(kind: str) -> str:
    """A type without its size: what is right or wrong of it."""
    name = kind.lower().partition("(")[0].strip()
    return _FAMILIES.get(name, name)


def types_right(truth: Truth, told: Told) -> tuple[int, int]:
    """How many types were told right, of how many."""
    if not truth.types:
        return 0, 0
    pairs = zip(truth.types, told.types, strict=False)
    good = sum(family(theirs) == kind or (kind, family(theirs)) == ("numeric", "double") for kind, theirs in pairs)
    return good, len(truth.types)
