"""A deletion that can be undone: what is deleted is shown no more, and goes for good some minutes later.

`delete` and `restore` are the interface's; a run of the DAG calls `expire`, for which the doorbell wakes it. So a
deletion comes to its end whoever has closed the page, and whichever process has died.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from psycopg import AsyncConnection, Connection

from include.images.doorbell import UNDO_MINUTES
from include.images.find.wanted import Wanted
from include.images.inbox import hold
from include.images.store import Store

OVER = f"deleted_at < clock_timestamp() - interval '{UNDO_MINUTES} minutes'"


class Deleted(NamedTuple):
    """Pictures that were deleted together: how many, what restores them, and until when it can."""

    images: int
    undo: UUID
    until: datetime | None

    def told(self) -> dict[str, Any]:
        """As the interface shows it."""
        return {"images": self.images, "undo": str(self.undo), "until": self.until and self.until.isoformat()}


async def delete(connection: AsyncConnection[Any], image_id: UUID) -> Deleted:
    """Delete one picture."""
    return await _delete(connection, "i.image_id = %(image)s", {"image": image_id})


async def delete_failed(connection: AsyncConnection[Any], wanted: Wanted) -> Deleted:
    """Delete the failed pictures that are meant."""
    failed = "EXISTS (SELECT FROM millrace.image_source s WHERE s.digest = i.digest AND s.state = 'failed')"
    return await _delete(connection, f"{failed} AND {wanted.condition}", wanted.values)


async def _delete(connection: AsyncConnection[Any], which: str, values: dict[str, Any]) -> Deleted:
    undo = uuid4()
    async with connection.cursor() as cursor:
        await cursor.execute(
            "WITH gone AS (UPDATE millrace.image i SET deleted_at = statement_timestamp(), deletion = %(undo)s"
            f"  WHERE i.deleted_at IS NULL AND {which} RETURNING i.deleted_at)"
            f" SELECT count(*), max(deleted_at) + interval '{UNDO_MINUTES} minutes' FROM gone",
            {"undo": undo, **values},
        )
        images, until = await cursor.fetchone() or (0, None)
    return Deleted(images, undo, until)


async def restore(connection: AsyncConnection[Any], undo: UUID) -> int:
    """Take a deletion back; returns how many pictures are there again: none when it is too late."""
    async with connection.cursor() as cursor:
        await cursor.execute(
            "UPDATE millrace.image SET deleted_at = NULL, deletion = NULL"
            f" WHERE deletion = %s AND deleted_at IS NOT NULL AND NOT ({OVER})",
            [undo],
        )
        return cursor.rowcount


def expire(connection: Connection[Any], store: Store) -> int:
    """Remove for good what can't be restored any more, and the sources that nobody keeps. Returns how many pictures.

    Killed anywhere, the next run goes on: a source that goes stands in `image_deleted` until `tidy` has seen it gone.
    """
    late = connection.execute(
        f'SELECT DISTINCT digest COLLATE "C" FROM millrace.image WHERE {OVER} ORDER BY 1'
    ).fetchall()
    gone = 0
    for (digest,) in late:
        with connection.transaction():
            hold(connection, digest)  # an upload of the same bytes waits
            gone += connection.execute(f"DELETE FROM millrace.image WHERE digest = %s AND {OVER}", [digest]).rowcount
            unused = connection.execute(
                "DELETE FROM millrace.image_source s WHERE digest = %s"
                " AND NOT EXISTS (SELECT FROM millrace.image i WHERE i.digest = s.digest)",
                [digest],
            ).rowcount
            if unused:
                connection.execute(
                    "INSERT INTO millrace.image_deleted (digest) VALUES (%s)"
                    " ON CONFLICT (digest) DO UPDATE SET deleted_at = clock_timestamp()",
                    [digest],
                )
        if unused:
            _drop(connection, store, digest)
    return gone


def _drop(connection: Connection[Any], store: Store, digest: str) -> None:
    """Its files, in a transaction after the one that deletes the row: what is stored is never missing for a row."""
    with connection.transaction():
        hold(connection, digest)
        if not connection.execute("SELECT FROM millrace.image_source WHERE digest = %s", [digest]).rowcount:
            store.drop(digest)
