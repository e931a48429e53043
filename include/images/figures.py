"""What Prometheus is told of the images: what waits and since when, what was done in the last minute, what failed."""

from __future__ import annotations

from include.warehouse.figures import Figures

BACKLOG = Figures(
    """
    SELECT count(*) FILTER (WHERE state = 'accepted') AS images_waiting,
        count(*) FILTER (WHERE state = 'resizing') AS images_resizing,
        coalesce(extract(epoch FROM now() - min(accepted_at) FILTER (WHERE state = 'accepted')), 0)
            AS images_oldest_waiting_seconds
    FROM millrace.image_source WHERE state IN ('accepted', 'resizing')
    """,
    {
        "images_waiting": "Pictures waiting to be processed",
        "images_resizing": "Pictures that a task has claimed",
        "images_oldest_waiting_seconds": "Age of the oldest picture that waits; 0 where none does",
    },
)
MINUTE = Figures(
    """
    SELECT ended.state, count(s.digest) / 60.0 AS images_per_second
    FROM (VALUES ('done'), ('failed')) AS ended (state)
    LEFT JOIN millrace.image_source s
        ON s.state = ended.state AND s.finished_at > now() - interval '1 minute'
    GROUP BY ended.state
    """,
    {"images_per_second": "Pictures that were finished in the last minute, done or failed"},
)
DAY = Figures(
    """
    SELECT coalesce(code, 'unknown') AS code, count(*) AS images_failed_24h
    FROM millrace.image_source WHERE state = 'failed' AND finished_at > now() - interval '1 day' GROUP BY 1
    """,
    {"images_failed_24h": "Pictures that failed in the last 24 hours, by the code of the reason"},
)
CALLBACKS = Figures(
    "SELECT count(*) AS image_callbacks_due FROM millrace.image WHERE callback_due IS NOT NULL AND deleted_at IS NULL",
    {"image_callbacks_due": "Callbacks that are still to be delivered, or are waiting for their picture"},
)
FIGURES = (BACKLOG, MINUTE, DAY, CALLBACKS)
