"""Removes what nobody needs any more: files that dead processes left under way, and those of deleted pictures."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from include.images.inbox import hold
from include.images.store import LEFTOVER_SECONDS, Store


def tidy(connection: Connection[Any], store: Store, *, age_seconds: float = LEFTOVER_SECONDS) -> dict[str, int]:
    """Remove leftovers of that age, and what is stored of pictures that were deleted so long ago.

    Deleting a picture removes its files at once. This is for those that it could not reach, and for renditions of a
    task that was at work meanwhile. Returns how many leftovers and how many pictures.
    """
    leftovers = store.tidy(age_seconds)
    gone = connection.execute(
        "SELECT digest FROM millrace.image_deleted WHERE deleted_at < clock_timestamp() - %s * interval '1 second'",
        [age_seconds],
    ).fetchall()
    for (digest,) in gone:
        with connection.transaction():
            hold(connection, digest)
            if not connection.execute("SELECT FROM millrace.image_source WHERE digest = %s", [digest]).rowcount:
                store.drop(digest)
            connection.execute("DELETE FROM millrace.image_deleted WHERE digest = %s", [digest])
    return {"leftovers": leftovers, "deleted": len(gone)}
