"""What a person has settled of what a file may leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ORDERS = {"day": "dmY", "month": "mdY", "year": "Ymd"}  # by what stands first, see `moments.ORDERS`
MARKS = (".", ",")


@dataclass(frozen=True)
class Said:
    """It counts wherever a file can be read so."""

    key: Sequence[str] = ()  # columns, by their name in the header or in the table
    order: str = ""  # of dates
    decimal_mark: str = ""


NOTHING = Said()


def columns_in(text: str) -> tuple[str, ...]:
    """The columns that a text names, with commas between them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
