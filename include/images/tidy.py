"""Removes what nobody needs any more: files that dead processes left under way, and those of deleted pictures."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from include.images.inbox import hold
from include.images.store import LEFTOVER_SECONDS, Store
from include.warehouse.batches import delete


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


def forget_swept(connection: Connection[Any]) -> int:
    """Delete what is remembered of swept files whose pictures were deleted: such a file is read again either way."""
    # A sweep enters the picture and the file in one transaction, so no file stands here before its picture does.
    return delete(
        connection,
        "millrace.image_swept",
        "NOT EXISTS (SELECT FROM millrace.image_source s WHERE s.digest = t.digest)",
        {},
    )
