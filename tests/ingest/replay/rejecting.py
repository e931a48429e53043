"""What the tests of replays share: a run with rejected rows, and what the ledger and the table hold of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

from include.ingest.dataset.definition import Dataset
from include.ingest.ledger import Account
from include.ingest.replay.corrections import correct
from include.ingest.replay.listing import RejectedRow, rejected
from include.ingest.replay.replay_run import replay

WHO = "eve"


def rejects(connection: psycopg.Connection[Any], account: Account, state: str | None = None) -> list[RejectedRow]:
    """A run's rejected rows in the order of the file."""
    return rejected(connection, run_id=UUID(account.run_id), state=state)


def replayed(
    connection: psycopg.Connection[Any],
    dataset: Dataset,
    account: Account,
    edits: dict[int, dict[str, str]] | None = None,
    **chosen: Any,
) -> Account:
    """Correct rows, by their line, and replay the run."""
    lines = {row.line_number: row.id for row in rejects(connection, account)}
    for line, fields in (edits or {}).items():
        correct(connection, dataset, lines[line], who=WHO, fields=fields)
    return replay(connection, dataset, UUID(account.run_id), who=WHO, **chosen)


def states(connection: psycopg.Connection[Any], account: Account) -> dict[int, str]:
    """State of each rejected row of a run, by line."""
    return {row.line_number: row.state for row in rejects(connection, account)}
