"""What goes in, and what must come out: daily files of one table, whose result is known without reading them."""

from __future__ import annotations

import gzip
import hashlib
import random
from dataclasses import dataclass, field
from pathlib import Path

IDS = 120_000  # so few that most rows of a file change one that is there
ROWS = 60_000
REPEATED = 0.02
BAD = 0.001
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
class Day:
    """One file: its bytes, the rows that win, and how many were read, superseded and rejected."""

    data: bytes
    good: dict[int, tuple[str | None, int]]
    read: int
    rejected: int
    superseded: int

    def deliver(self, path: Path) -> None:
        """Put it there, whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(self.data)
        fresh.replace(path)


def make_day(chance: random.Random, rows: int = ROWS) -> Day:
    """A file of random rows: repeated ids, of which the last wins, and bad rows."""
    good: dict[int, tuple[str | None, int]] = {}
    lines = ["id,label,price\n"]
    seen: list[int] = []
    rejected = accepted = 0
    for _ in range(rows):
        number = chance.choice(seen) if seen and chance.random() < REPEATED else chance.randrange(IDS)
        label, cents = chance.choice(WORDS), chance.randrange(10_000_000)
        shown = '"' + label.replace('"', '""') + '"' if label else ""
        if chance.random() < BAD:
            lines.append(f"{number},{shown},-{1 + cents / 100:.2f}\n")
            rejected += 1
            continue
        lines.append(f"{number},{shown},{cents / 100:.2f}\n")
        good[number] = (label or None, cents)
        seen.append(number)
        accepted += 1
    data = "".join(lines).encode()
    if chance.random() < PACKED:
        data = gzip.compress(data, 1)
    return Day(data, good, rows, rejected, accepted - len(good))
