"""Which rejected rows of a run a replay is of, and who asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class Choice:
    """Which rows of the run; only open ones are replayed. None: any."""

    ids: Sequence[int] | None = None
    rule: str | None = None
    column: str | None = None  # empty: those where the whole record is at fault
    corrected: bool = False  # only those that somebody has corrected
    last_id: int | None = None  # none that was rejected later


ALL = Choice()


@dataclass(frozen=True)
class Origin:
    """What the ledger is to keep of who asked for a replay, and where."""

    who: str
    request: UUID | None = None  # on the page
    airflow_run: str | None = None


CHOSEN = (
    "(%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s)) AND (%(rule)s::text IS NULL OR rule = %(rule)s)"
    " AND (%(column)s::text IS NULL OR coalesce(column_name, '') = %(column)s)"
    " AND (NOT %(corrected)s OR corrected IS NOT NULL) AND (%(last_id)s::bigint IS NULL OR id <= %(last_id)s)"
)


def chosen(run_id: UUID | None, choice: Choice) -> dict[str, Any]:
    """The values of CHOSEN, and the run."""
    return {**asdict(choice), "run_id": run_id, "ids": list(choice.ids) if choice.ids is not None else None}
