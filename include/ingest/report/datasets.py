"""Every dataset: its last run, what it waits for, its rows a day, and what needs a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from include.ingest.report.attention import RANK, notices
from include.ingest.report.catalogue import Entry
from include.ingest.report.expected import expected
from include.ingest.report.runs import RUN

DAYS = 30  # of the sparkline

# Names are looked up one after the other in the index: what it costs grows with the datasets, not with the runs.
NAMES = """
WITH RECURSIVE known AS (
    (SELECT dataset FROM millrace.ingest_run ORDER BY dataset LIMIT 1)
    UNION ALL
    SELECT (SELECT r.dataset FROM millrace.ingest_run r WHERE r.dataset > known.dataset ORDER BY r.dataset LIMIT 1)
    FROM known WHERE known.dataset IS NOT NULL
)
SELECT dataset FROM known WHERE dataset IS NOT NULL"""
# `failed` counts runs of a week that failed and whose interval no later run has done.
LAST = f"""
SELECT last.*, loaded.loaded_at, loaded.loaded_version, waiting.waiting_file, waiting.waiting_since,
    planned.planned_since, newest.newest, failed.failed
FROM unnest(%(names)s::text []) AS d (name)
CROSS JOIN LATERAL (
    SELECT {RUN} FROM millrace.ingest_run r WHERE r.dataset = d.name ORDER BY r.started_at DESC LIMIT 1
) last
LEFT JOIN LATERAL (
    SELECT r.finished_at AS loaded_at, r.version AS loaded_version FROM millrace.ingest_run r
    WHERE r.dataset = d.name AND r.status IN ('done', 'skipped') ORDER BY r.started_at DESC LIMIT 1
) loaded ON true
LEFT JOIN LATERAL (
    SELECT r.file AS waiting_file, r.started_at AS waiting_since FROM millrace.ingest_run r
    WHERE r.dataset = d.name AND r.status = 'waiting' ORDER BY r.started_at LIMIT 1
) waiting ON true
LEFT JOIN LATERAL (
    SELECT r.started_at AS planned_since FROM millrace.ingest_run r
    WHERE r.dataset = d.name AND r.status = 'planned' ORDER BY r.started_at LIMIT 1
) planned ON true
CROSS JOIN LATERAL (
    SELECT max(r.version) AS newest FROM millrace.ingest_run r
    WHERE r.dataset = d.name AND r.started_at > now() - interval '40 days'
) newest
CROSS JOIN LATERAL (
    SELECT count(*) AS failed FROM millrace.ingest_run r
    WHERE r.dataset = d.name AND r.status = 'failed' AND r.started_at > now() - interval '7 days'
        AND NOT EXISTS (
            SELECT FROM millrace.ingest_run later
            WHERE later.dataset = r.dataset AND later.version = r.version AND later.started_at > r.started_at
                AND later.status <> 'failed'
        )
) failed"""
# Of several runs of one interval the last one counts.
ROWS_A_DAY = f"""
SELECT dataset, (version AT TIME ZONE 'UTC')::date AS day, sum(read)::bigint AS rows, sum(rejected)::bigint AS rejected
FROM (
    SELECT DISTINCT ON (r.dataset, r.version) r.dataset, r.version, r.read, r.rejected
    FROM millrace.ingest_run r
    WHERE r.dataset = ANY(%(names)s) AND r.status = 'done' AND r.started_at > now() - interval '{DAYS + 1} days'
        AND r.version > now() - interval '{DAYS + 1} days'
    ORDER BY r.dataset, r.version, r.started_at DESC
) run
GROUP BY dataset, day ORDER BY dataset, day"""


async def names(connection: AsyncConnection[Any]) -> list[str]:
    """The datasets of which the ledger knows a run."""
    return [str(name) for (name,) in await (await connection.execute(NAMES)).fetchall()]


async def overview(
    connection: AsyncConnection[Any], entries: Mapping[str, Entry | None], now: datetime
) -> list[dict[str, Any]]:
    """What is known of these datasets; those first that need a person."""
    wanted = {"names": list(entries)}
    cursor = connection.cursor(row_factory=dict_row)
    last = {row["dataset"]: row for row in await (await cursor.execute(LAST, wanted)).fetchall()}
    days: dict[str, list[dict[str, Any]]] = {}
    for row in await (await cursor.execute(ROWS_A_DAY, wanted)).fetchall():
        days.setdefault(row.pop("dataset"), []).append(row)
    found = [_told(name, entry, last.get(name), days.get(name, []), now) for name, entry in entries.items()]
    return sorted(found, key=lambda one: (_rank(one["notices"]), one["name"]))


def _told(
    name: str, entry: Entry | None, row: dict[str, Any] | None, days: Sequence[dict[str, Any]], now: datetime
) -> dict[str, Any]:
    dataset = entry.dataset if entry else None
    coming = expected(dataset, now) if dataset else None
    row = row or {}
    waiting = {"file": row["waiting_file"], "since": row["waiting_since"]} if row.get("waiting_since") else None
    if waiting and dataset:
        waiting["seconds"] = dataset.wait_timeout_seconds
    return {
        "name": name,
        "target": f"{dataset.schema_name}.{dataset.table_name}" if dataset else row.get("target"),
        "schedule": dataset.schedule if dataset else None,
        "notices": [asdict(notice) for notice in notices(entry, row or None, now)],
        "last": {key: row[key] for key in row if key not in _BESIDE} or None,
        "loaded_at": row.get("loaded_at"),
        "loaded_version": row.get("loaded_version"),
        "waiting": waiting,
        "expected": asdict(coming) if coming else None,
        "days": list(days),
    }


_BESIDE = (
    "loaded_at", "loaded_version", "waiting_file", "waiting_since", "planned_since", "newest", "failed",
)  # fmt: skip


def _rank(found: list[dict[str, Any]]) -> int:
    return min((RANK[notice["level"]] for notice in found), default=len(RANK))
