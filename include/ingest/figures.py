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
FIGURES = (MINUTE, DAY)
