"""What goes in, and what must come out: daily files of one table, whose result is known without reading them."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

IDS = 120_000  # so few that most rows of a file change one that is there
ROWS = 60_000
REPEATED = 0.02
BAD = 0.001
HEADER = "id,label,price\n"
PACKED = 0.3  # share of files that are gzip, whatever their name
WORDS = ("plain", "a longer label", 'with "quotes"', "on two\nlines", "comma, inside", "ümläut", "")


@dataclass
class Table:
    """What the target must hold: id to (label, price in cents)."""

    rows: dict[int, tuple[str | None, int]] = field(default_factory=dict)

    def checksum(self) -> str:
        """The same as CHECKSUM in PostgreSQL."""
        digest = hashlib.md5(usedforsecurity=False)
        for number in sorted(self.rows):
            label, cents = self.rows[number]
            shown = "" if label is None else label
            digest.update(f"{number}|{shown}|{cents / 100:.2f}\n".encode())
        return digest.hexdigest()

    def after(self, day: Day) -> Table:
        """What it holds after that file."""
        return Table({**self.rows, **day.good})


CHECKSUM = """
SELECT coalesce(md5(string_agg(id || '|' || coalesce(label, '') || '|' || price || E'\\n', '' ORDER BY id)), md5(''))
FROM public.campaign
"""


@dataclass(frozen=True)
class Record:
    """A line of a file. `cents` is None where the row is to be rejected."""

    line: str
    id: int
    label: str | None
    cents: int | None


@dataclass(frozen=True)
class Day:
    """One file: its bytes, the rows that win, and how many are read, superseded and rejected."""

    data: bytes
    records: tuple[Record, ...] = field(repr=False)

    @classmethod
    def of(cls, records: Sequence[Record], *, packed: bool = False) -> Day:
        """The file of these records."""
        data = "".join([HEADER, *(record.line for record in records)]).encode()
        return cls(gzip.compress(data, 1) if packed else data, tuple(records))

    @property
    def good(self) -> dict[int, tuple[str | None, int]]:
        """The rows that win: the last one of each id."""
        return {one.id: (one.label, one.cents) for one in self.records if one.cents is not None}

    @property
    def read(self) -> int:
        """Rows of the file."""
        return len(self.records)

    @property
    def rejected(self) -> int:
        """Bad ones."""
        return sum(one.cents is None for one in self.records)

    @property
    def superseded(self) -> int:
        """Good ones that a later one of the same id beats."""
        return self.read - self.rejected - len(self.good)

    def deliver(self, path: Path) -> None:
        """Put it there, whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(self.data)
        fresh.replace(path)


def make_day(chance: random.Random, rows: int = ROWS) -> Day:
    """A file of random rows: repeated ids, of which the last wins, and bad rows."""
    records: list[Record] = []
    for _ in range(rows):
        number = chance.choice(records).id if records and chance.random() < REPEATED else chance.randrange(IDS)
        label, cents = chance.choice(WORDS), chance.randrange(10_000_000)
        shown = '"' + label.replace('"', '""') + '"' if label else ""
        if chance.random() < BAD:
            records.append(Record(f"{number},{shown},-{1 + cents / 100:.2f}\n", number, None, None))
        else:
            records.append(Record(f"{number},{shown},{cents / 100:.2f}\n", number, label or None, cents))
    return Day.of(records, packed=chance.random() < PACKED)
