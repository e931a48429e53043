"""Functions in which a mutant says nothing of the tests: what they do changes how fast a run is, not what it does.

Short on purpose. A line belongs here only when every change in the function leaves rows, counts and errors the same.
"""

from __future__ import annotations

READ_ALONE = "says which cells are cast alone; cast in pieces with the others, they get the same values"
CACHE = "a hint to the system's cache"

# (file, function, reason)
EXCLUDED: tuple[tuple[str, str, str], ...] = (
    ("include/ingest/cast/moments.py", "odd_moment", READ_ALONE),
    ("include/ingest/cast/numbers.py", "odd_number", READ_ALONE),
    ("include/ingest/source/local.py", "OpenFile.forget", CACHE),
    ("include/ingest/source/joined_files.py", "_Reader.forget", CACHE),
    ("include/ingest/merge.py", "_tune", "how much memory PostgreSQL may take for a sort"),
)
