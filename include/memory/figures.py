"""What Prometheus is told of the memory audit: the last look at each long-lived process, and the verdict on it."""

from __future__ import annotations

from include.memory.report.used import ANONYMOUS, GONE
from include.memory.watcher.sample import ENDED_MINUTES
from include.warehouse.figures import Figures

# One for each process id of a host, as a container that was started again may give the same number to its process.
LAST = f"""
    WITH last AS (
        SELECT DISTINCT ON (s.host, s.pid) s.host, s.pid, s.start_ticks, s.role, s.resident_bytes, s.limit_bytes,
            {ANONYMOUS} AS anonymous_bytes
        FROM millrace.memory_sample s
        WHERE s.taken_at > now() - {ENDED_MINUTES} * interval '1 minute' AND NOT {GONE}
        ORDER BY s.host, s.pid, s.taken_at DESC
    )
"""
PROCESSES = Figures(
    LAST
    + """
    SELECT l.host, l.role, l.pid, l.resident_bytes AS process_resident_bytes,
        l.anonymous_bytes AS process_anonymous_bytes, l.limit_bytes AS process_limit_bytes,
        f.rate * 1e6 AS process_growth_bytes_per_hour
    FROM last l LEFT JOIN millrace.memory_finding f USING (host, pid, start_ticks)
    """,
    {
        "process_resident_bytes": "Resident memory at the last look",
        "process_anonymous_bytes": "Anonymous and swapped memory at the last look",
        "process_limit_bytes": "What the process could take at the last look",
        "process_growth_bytes_per_hour": "How fast its memory grows, where it does",
    },
)
VERDICTS = Figures(
    LAST
    + """
    SELECT l.host, l.role, l.pid, coalesce(f.verdict, 'not judged') AS verdict, 1 AS process_verdict
    FROM last l LEFT JOIN millrace.memory_finding f USING (host, pid, start_ticks)
    """,
    {"process_verdict": "1, with the last verdict of the memory audit as a label"},
)
FIGURES = (PROCESSES, VERDICTS)
