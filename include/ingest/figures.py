"""What Prometheus is told of the ingest: what was loaded in the last minute, and what the day's runs came to."""

from __future__ import annotations

from include.warehouse.figures import Figures

# Chunks are looked up by their runs, of which few are under way; datasets without any stand at 0.
MINUTE = Figures(
    """
    WITH chunk AS (
        SELECT r.dataset, c.read, c.bytes, c.rejected, c.seconds
        FROM millrace.ingest_run r JOIN millrace.ingest_chunk c USING (run_id)
        WHERE (r.finished_at IS NULL OR r.finished_at > now() - interval '1 minute')
            AND c.loaded_at > now() - interval '1 minute'
    )
    SELECT dataset, coalesce(sum(read), 0) / 60 AS ingest_rows_per_second,
        coalesce(sum(bytes), 0) / 60 AS ingest_bytes_per_second,
        coalesce(sum(rejected), 0) / 60 AS ingest_rejected_rows_per_second,
        avg(seconds) AS ingest_chunk_seconds, max(seconds) AS ingest_chunk_seconds_longest
    FROM (SELECT DISTINCT dataset FROM millrace.ingest_run) d LEFT JOIN chunk USING (dataset)
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
DATASETS = Figures(
    """
    WITH good AS (
        SELECT dataset, max(finished_at) AS at, max(version) AS version
        FROM millrace.ingest_run WHERE status IN ('done', 'skipped') AND replay_of IS NULL GROUP BY dataset
    )
    SELECT r.dataset, extract(epoch FROM now() - g.at) AS dataset_age_seconds,
        extract(epoch FROM now() - g.version) AS dataset_version_age_seconds,
        count(*) FILTER (
            WHERE r.status = 'failed' AND r.replay_of IS NULL AND (g.at IS NULL OR r.finished_at > g.at)
        ) AS dataset_failed_runs
    FROM millrace.ingest_run r LEFT JOIN good g USING (dataset) GROUP BY r.dataset, g.at, g.version
    """,
    {
        "dataset_age_seconds": "Time since the last run of the dataset that went well",
        "dataset_version_age_seconds": "Time since the start of the newest data interval that is in the table",
        "dataset_failed_runs": "Runs that have failed since the last one that went well",
    },
)
FIGURES = (MINUTE, DAY, DATASETS)
