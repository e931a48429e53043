"""What a preview found: plain values, for a page of text or for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from include.ingest.cast.rows import Reject
from include.ingest.source import Source

FIRST_ROWS = 5
FIRST_REJECTS = 3  # of each rule
RAW_SHOWN = 200  # characters of a rejected record, and of its value


@dataclass(frozen=True)
class RejectedRecord:
    """One rejected record."""

    file: str
    line: int
    column: str | None
    value: str | None
    reason: str
    raw: str


@dataclass
class RuleRejects:
    """How many records a rule rejects, and the first of them."""

    rule: str
    rows: int = 0
    first: list[RejectedRecord] = field(default_factory=list)


@dataclass(frozen=True)
class Counts:
    """The account that the run would have; None where no database was asked, or it can't be told from a sample.

    `read = inserted + updated + unchanged + superseded + rejected`, as in a run's account.
    """

    read: int = 0
    inserted: int | None = 0
    updated: int | None = 0
    unchanged: int | None = 0
    superseded: int | None = 0
    stale: int | None = 0  # those of superseded that are older than the table's
    rejected: int = 0
    deleted: int | None = 0


@dataclass(frozen=True)
class Preview:
    """The whole of it."""

    dataset: str
    target: str
    file: str
    files: int
    bytes: int
    version: str  # start of the data interval, ISO 8601
    database: str | None  # which was asked
    sample: int | None  # records looked at, where these were not all
    outcome: Literal["done", "skipped", "failed"]
    over_limit: bool  # the outcome is failed by a limit of the dataset
    reasons: list[str]  # why a run would fail, or be skipped
    notes: list[str]  # what else is to be known
    ignored: list[str]  # columns of the file that go nowhere, as the dataset does not name them
    missing: list[str]  # columns of the dataset that the file lacks: null, or their default
    renamed: dict[str, str]  # columns under another than their first name, with that name
    rescued: list[str]  # columns of the file that go into the rescue column
    columns: list[str]
    first_rows: list[list[str | None]]  # as PostgreSQL prints them
    rejects: list[RuleRejects]
    counts: Counts

    def as_dict(self) -> dict[str, Any]:
        """As plain values; each of the first rows by column."""
        named = [dict(zip(self.columns, row, strict=True)) for row in self.first_rows]
        return {**asdict(self), "first_rows": named}


def tally(rejects: Iterable[Reject], source: Source, by_rule: dict[str, RuleRejects]) -> None:
    """Count rejected records by their rule, and keep the first of each."""
    for reject in rejects:
        mine = by_rule.setdefault(reject.rule, RuleRejects(reject.rule))
        mine.rows += 1
        if len(mine.first) < FIRST_REJECTS:
            file, _ = source.where(reject.byte_offset)
            value = None if reject.value is None else reject.value[:RAW_SHOWN]
            mine.first.append(
                RejectedRecord(
                    file, reject.line_number, reject.column_name, value, reject.reason, reject.raw[:RAW_SHOWN]
                )
            )
