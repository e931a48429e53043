"""What the judges have in common: a seed makes a batch of cases, and a batch says where it differs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Difference:
    """A case in which Millrace and its judge disagree, shrunk as far as it goes.

    `case` is for a person: the input, what the judge says, and what Millrace did.
    """

    seed: int
    case: str


@dataclass
class Checked:
    """What came of a batch. `explained` counts the differences that `docs/fuzz.md` lists, by their short name.

    `held` counts what the cases were about, for the report; it may stay empty.
    """

    cases: int = 0
    differences: list[Difference] = field(default_factory=list)
    explained: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)


class Judge(Protocol):
    """A module `fuzz.<name>` has a function `open_judge(dsn, scratch)` that returns one.

    `dsn` is that of a PostgreSQL superuser on a server of the judge's own; it makes its databases there. `scratch` is
    an empty folder.
    """

    def check(self, seed: int) -> Checked:
        """Make the batch of this seed, always the same one, and judge it."""

    def close(self) -> None:
        """Let go of connections and files."""
