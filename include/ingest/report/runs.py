"""Runs: what each came to. The newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import dict_row

Status = Literal["waiting", "planned", "done", "skipped", "failed"]

# A run's row begins when its plan ends, so that the plan's time comes to it; a failed run has rejected rows of the
# chunks that it loaded. Rows that lost to a newer version of the table are part of `superseded`.
RUN = """
r.run_id, r.dataset, r.target, r.airflow_run, r.status, r.reason, r.confirms, r.file, r.version, r.forced, r.bytes,
r.chunks, r.replay_of, r.asked_by, r.read, r.inserted, r.updated, r.unchanged, r.superseded, r.stale, r.deleted,
CASE WHEN r.status IN ('failed', 'planned') AND r.rejected IS NULL
    THEN (SELECT sum(c.rejected)::bigint FROM millrace.ingest_chunk c WHERE c.run_id = r.run_id)
    ELSE r.rejected END AS rejected,
r.started_at, r.finished_at, r.plan_seconds, r.merge_seconds,
extract(epoch FROM coalesce(r.finished_at, now()) - r.started_at)::float8 + coalesce(r.plan_seconds, 0) AS seconds"""
ONE = f"""
SELECT {RUN}, r.unknown_columns, r.unknown_policy, r.missing_columns, r.renamed_columns, r.columns_come, r.columns_gone,
    r.earlier
FROM millrace.ingest_run r WHERE r.run_id = %(run_id)s"""
OF_AIRFLOW = """
SELECT run_id, dataset FROM millrace.ingest_run WHERE airflow_run = %s ORDER BY started_at DESC LIMIT 1"""
# The order makes it one look-up in the key of rejected rows for each run: the planner would rather read a million rows
# of another run until it finds one of this.
LIST = f"""
SELECT {RUN} FROM millrace.ingest_run r
WHERE r.dataset = ANY(%(names)s) AND (%(status)s::text IS NULL OR r.status = %(status)s)
    AND (NOT %(rejected)s OR (
        SELECT true FROM millrace.rejected_row j WHERE j.run_id = r.run_id ORDER BY j.file, j.byte_offset LIMIT 1))
    AND (%(replay_of)s::uuid IS NULL OR r.replay_of = %(replay_of)s)
    AND (%(at)s::timestamptz IS NULL OR (r.started_at, r.run_id) < (%(at)s, %(run_id)s))
ORDER BY r.started_at DESC, r.run_id DESC LIMIT %(limit)s"""


@dataclass(frozen=True)
class After:
    """The last run of the page before."""

    at: datetime
    run_id: UUID

    @classmethod
    def read(cls, text: str) -> After:
        """What `next` says. Raises ValueError where it can't be that."""
        moment, _, run_id = text.partition("~")
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            raise ValueError(f"{moment} has no time zone")
        return cls(at, UUID(run_id))


async def runs(
    connection: AsyncConnection[Any], names: list[str], limit: int, status: Status | None = None,
    after: After | None = None, rejected: bool = False, replay_of: UUID | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A page of the runs of these datasets, and where the next page begins (None: nowhere).

    With `rejected`, only of those that have rejected rows; with `replay_of`, of replays of that run.
    """
    place = {"at": after and after.at, "run_id": after and after.run_id}
    cursor = connection.cursor(row_factory=dict_row)
    found = await (
        await cursor.execute(
            LIST,
            {
                "names": names,
                "status": status,
                "limit": limit + 1,
                "rejected": rejected,
                "replay_of": replay_of,
                **place,
            },
        )
    ).fetchall()
    page = found[:limit]
    more = f"{page[-1]['started_at'].isoformat()}~{page[-1]['run_id']}" if len(found) > limit else None
    return {"runs": page, "next": more}


async def run(connection: AsyncConnection[Any], run_id: UUID) -> dict[str, Any] | None:
    """One run; None when it is not in the ledger."""
    cursor = connection.cursor(row_factory=dict_row)
    return await (await cursor.execute(ONE, {"run_id": run_id})).fetchone()


async def of_airflow(connection: AsyncConnection[Any], airflow_run: str) -> dict[str, Any] | None:
    """Id and dataset of the run that a DAG run of Airflow is, by dag/run; None when it is not in the ledger."""
    cursor = connection.cursor(row_factory=dict_row)
    return await (await cursor.execute(OF_AIRFLOW, [airflow_run])).fetchone()
