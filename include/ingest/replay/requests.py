"""Replays that somebody asks for on the page: written down first, and done by a task of Airflow, which may be killed.

A request names rows of one run or of all runs of a dataset. Each of these runs is replayed in a transaction of its own
(decision 20), so a task that is tried again finds what is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from include.ingest.dataset.definition import Dataset
from include.ingest.errors import IngestError, ReplayRefused
from include.ingest.ledger import Account
from include.ingest.replay.choice import ALL, CHOSEN, Choice, Origin, chosen
from include.ingest.source.storage import LOCAL, Storage

RUNS = f"""
SELECT r.run_id FROM millrace.ingest_run r
WHERE r.dataset = %(dataset)s AND r.status = 'done' AND (%(run_id)s::uuid IS NULL OR r.run_id = %(run_id)s)
    AND EXISTS (SELECT FROM millrace.rejected_row j WHERE j.run_id = r.run_id AND j.state = 'open' AND {CHOSEN})
ORDER BY r.started_at, r.run_id"""


@dataclass(frozen=True)
class Request:
    """What somebody asks for."""

    id: UUID
    dataset: str
    who: str
    run_id: UUID | None = None  # None: all runs of the dataset that are done
    choice: Choice = ALL


def ask(connection: Connection[Any], request: Request) -> None:
    """Write the request down. To ask twice with one id is to ask once. Raises ReplayRefused where no row is meant."""
    with connection.transaction():
        if connection.execute("SELECT true FROM millrace.replay_request WHERE id = %s", [request.id]).fetchone():
            return
        if not _runs(connection, request):
            raise ReplayRefused(_why_none(connection, request))
        connection.execute(
            "INSERT INTO millrace.replay_request (id, dataset, who, run_id, ids, rule, column_name, corrected, last_id)"
            " SELECT %(id)s, %(dataset)s, %(who)s, %(run_id)s, %(ids)s, %(rule)s, %(column)s, %(corrected)s, max(id)"
            " FROM millrace.rejected_row ON CONFLICT (id) DO NOTHING",
            {**chosen(request.run_id, request.choice), "id": request.id, "dataset": request.dataset,
             "who": request.who},
        )  # fmt: skip


def request_of(connection: Connection[Any], request_id: UUID) -> Request:
    """A request that was written down. Raises ReplayRefused where there is none."""
    row = connection.cursor(row_factory=dict_row).execute(
        "SELECT * FROM millrace.replay_request WHERE id = %s", [request_id]
    ).fetchone()  # fmt: skip
    if row is None:
        raise ReplayRefused(f"nobody has asked for replay {request_id}: ask for it on the page Ingest")
    choice = Choice(row["ids"], row["rule"], row["column_name"], row["corrected"], row["last_id"])
    return Request(row["id"], row["dataset"], row["who"], row["run_id"], choice)


def work(
    connection: Connection[Any], request: Request, dataset: Dataset, airflow_run: str | None = None,
    storage: Storage = LOCAL,
) -> list[Account]:  # fmt: skip
    """Replay the rows of a request, and return the account of each run. Safe to repeat.

    What is refused of one run leaves the others alone; the reason is in its account and in the request.
    """
    from include.ingest.replay.replay_run import replay_chosen  # compiled: who only asks does not need it

    connection.execute(
        "UPDATE millrace.replay_request SET began_at = coalesce(began_at, clock_timestamp()), finished_at = NULL,"
        " reason = NULL WHERE id = %s",
        [request.id],
    )
    accounts: list[Account] = []
    faults: list[str] = []
    for run_id in _runs(connection, request):
        origin = Origin(request.who, request.id, airflow_run)
        try:
            accounts.append(replay_chosen(connection, dataset, run_id, request.choice, origin, storage))
        except IngestError as error:
            if error.retryable:
                raise
            faults.append(str(error))
    finish(connection, request.id, "\n".join(faults) or None)
    return accounts


def finish(connection: Connection[Any], request_id: UUID, reason: str | None) -> None:
    """Write down that nothing more is done for a request, and why that is no success, unless that was said."""
    connection.execute(
        "UPDATE millrace.replay_request SET finished_at = clock_timestamp(), reason = %s"
        " WHERE id = %s AND finished_at IS NULL",
        [reason, request_id],
    )


def close(connection: Connection[Any], request_id: UUID) -> dict[str, int]:
    """What a request came to, as sums over its runs. Raises ReplayRefused, with the reason, where one failed."""
    finish(connection, request_id, "it ended before it was done: see the log of task `replay`")
    row = connection.execute(
        "SELECT reason FROM millrace.replay_request WHERE id = %s", [request_id]
    ).fetchone()  # fmt: skip
    if row is not None and row[0]:
        raise ReplayRefused(row[0])
    return sums(connection, request_id)


def sums(connection: Connection[Any], request_id: UUID) -> dict[str, int]:
    """The accounts of a request's runs, added up."""
    names = ("read", "inserted", "updated", "unchanged", "superseded", "stale", "rejected")
    added = ", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in names)
    row = connection.cursor(row_factory=dict_row).execute(
        f"SELECT count(*) AS runs, {added} FROM millrace.ingest_run WHERE replay_request = %s AND status = 'done'",
        [request_id],
    ).fetchone()  # fmt: skip
    return row or {}


def _runs(connection: Connection[Any], request: Request) -> list[UUID]:
    """The runs that have such rows, the oldest first."""
    values = {**chosen(request.run_id, request.choice), "dataset": request.dataset}
    return [run_id for (run_id,) in connection.execute(RUNS, values).fetchall()]


def _why_none(connection: Connection[Any], request: Request) -> str:
    """Why there is nothing to replay."""
    found: Mapping[str, Any] | None = connection.cursor(row_factory=dict_row).execute(
        "SELECT status FROM millrace.ingest_run WHERE run_id = %s", [request.run_id]
    ).fetchone()  # fmt: skip
    if found and found["status"] != "done":
        return (
            f"run {request.run_id} is {found['status']}: none of its rows are in the table. Correct the file or the"
            " dataset and ingest it again; rejected rows of a run that is done can be replayed"
        )
    return "there is nothing to replay: no such row is open any more"
