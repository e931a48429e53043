"""`millrace.ingest_profile`: a row for each chunk that is loaded, and one for the file once the run is done."""

from __future__ import annotations

from uuid import UUID

from psycopg import Cursor
from psycopg.types.json import Jsonb

from include.ingest.dataset.definition import Dataset
from include.ingest.profile.columns import Profile, merged

WHOLE = -1  # in place of a chunk's number


def save(cursor: Cursor, run_id: UUID, chunk: int, profile: Profile) -> None:
    """Keep the profile of a chunk, or of the WHOLE."""
    cursor.execute(
        "INSERT INTO millrace.ingest_profile (run_id, chunk, records, sampled, good, columns)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [run_id, chunk, profile.records, profile.sampled, profile.good, Jsonb(profile.columns)],
    )


def settle(cursor: Cursor, run_id: UUID, dataset: Dataset) -> None:
    """Make one profile of those of the run's chunks. The dataset has all columns of the run."""
    found = cursor.execute(
        "DELETE FROM millrace.ingest_profile WHERE run_id = %s RETURNING records, sampled, good, columns", [run_id]
    ).fetchall()
    parts = [Profile(*row) for row in found if row[1]]
    if parts:
        save(cursor, run_id, WHOLE, merged(parts, dataset.columns.items()))
