"""What Prometheus is told of the ingest: what was loaded in the last minute, and what the day's runs came to."""

from __future__ import annotations

from typing import LiteralString

from include.ingest.report.datasets import NAMES
from include.warehouse.figures import Figures

# A dataset that was removed has figures for so long after its last run; one whose files come less often than that, only
# for so long after each. A file a month is within it, also where it is a week late.
RECENT_DAYS = 40

# All of these are asked for at each scrape, so that each is found by an index and none reads the whole ledger.
_RECENT: LiteralString = f"""
    SELECT n.dataset FROM ({NAMES}) n WHERE EXISTS (
        SELECT FROM millrace.ingest_run r
        WHERE r.dataset = n.dataset AND r.started_at > now() - interval '{RECENT_DAYS} days'
    )
"""
# Chunks are looked up by their runs, of which few are under way; datasets without any stand at 0.
MINUTE = Figures(
    f"""
    WITH run AS (
        SELECT run_id, dataset FROM millrace.ingest_run WHERE status IN ('waiting', 'planned')
        UNION ALL
        SELECT run_id, dataset FROM millrace.ingest_run WHERE finished_at > now() - interval '1 minute'
    ), chunk AS (
        SELECT r.dataset, c.read, c.bytes, c.rejected, c.seconds
        FROM run r JOIN millrace.ingest_chunk c USING (run_id)
        WHERE c.loaded_at > now() - interval '1 minute'
    )
    SELECT dataset, coalesce(sum(read), 0) / 60 AS ingest_rows_per_second,
        coalesce(sum(bytes), 0) / 60 AS ingest_bytes_per_second,
        coalesce(sum(rejected), 0) / 60 AS ingest_rejected_rows_per_second,
        avg(seconds) AS ingest_chunk_seconds, max(seconds) AS ingest_chunk_seconds_longest
    FROM ({_RECENT}) d LEFT JOIN chunk USING (dataset)
    GROUP BY dataset
    """,
    {
        "ingest_rows_per_second": "Rows read by chunks that were loaded in the last minute",
        "ingest_bytes_per_second": "Bytes of chunks that were loaded in the last minute",
        "ingest_rejected_rows_per_second": "Rows rejected by chunks that were loaded in the last minute",
        "ingest_chunk_seconds": "Mean time of a chunk that was loaded in the last minute",
        "ingest_chunk_seconds_longest": "Longest time of a chunk that was loaded in the last minute",
    },
)
DAY = Figures(
    """
    SELECT dataset, status, count(*) AS ingest_runs_24h, coalesce(sum(rejected), 0) AS ingest_rejected_rows_24h
    FROM millrace.ingest_run WHERE started_at > now() - interval '1 day' GROUP BY dataset, status
    """,
    {
        "ingest_runs_24h": "Runs that began in the last 24 hours, by what became of them",
        "ingest_rejected_rows_24h": "Rows that the runs of the last 24 hours rejected",
    },
)
# Of runs that load files: a replay makes no table younger.
_GOOD: LiteralString = "r.dataset = d.dataset AND r.status IN ('done', 'skipped') AND r.replay_of IS NULL"
DATASETS = Figures(
    f"""
    SELECT d.dataset, extract(epoch FROM now() - good.at) AS dataset_age_seconds,
        extract(epoch FROM now() - good.version) AS dataset_version_age_seconds, failed.runs AS dataset_failed_runs
    FROM ({_RECENT}) d
    CROSS JOIN LATERAL (
        SELECT (SELECT max(r.finished_at) FROM millrace.ingest_run r WHERE {_GOOD}) AS at,
            (SELECT max(r.version) FROM millrace.ingest_run r WHERE {_GOOD}) AS version
    ) good
    CROSS JOIN LATERAL (
        SELECT count(*) AS runs FROM millrace.ingest_run r
        WHERE r.dataset = d.dataset AND r.status = 'failed' AND r.replay_of IS NULL AND NOT r.mistyped
            AND r.finished_at > coalesce(good.at, '-infinity')
    ) failed
    """,
    {
        "dataset_age_seconds": "Time since the last run of the dataset that went well",
        "dataset_version_age_seconds": "Time since the start of the newest data interval that is in the table",
        "dataset_failed_runs": "Runs that have failed since the last one that went well, mistyped paths aside",
    },
)
FIGURES = (MINUTE, DAY, DATASETS)
