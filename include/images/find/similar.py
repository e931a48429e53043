"""Pictures that look like another: by how many of the 64 bits their perceptual hashes differ (the Hamming distance)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from include.images import catalogue

MOST_DISTANCE = 32  # as far as two pictures are from each other that have nothing in common
DISTANCE = 8
NEAREST = 1000  # sources that are listed at most
# All hashes are read, in one pass: no index of PostgreSQL finds what is near in bits. Without the LIMIT the planner
# takes a third of all for near, and reads the other tables whole.
_PAGE = f"""
WITH near AS MATERIALIZED (
    SELECT digest, distance FROM (
        SELECT f.digest, bit_count((f.perceptual_hash # %(hash)s::bigint)::bit(64))::int AS distance
        FROM millrace.image_facts f
    ) each WHERE distance <= %(distance)s ORDER BY distance, digest LIMIT {NEAREST}
)
SELECT near.distance, {catalogue.COLUMNS} {catalogue.SOURCES} JOIN near USING (digest)
WHERE i.deleted_at IS NULL AND i.image_id <> %(image)s AND (%(far)s::int IS NULL OR distance > %(far)s
    OR distance = %(far)s AND (i.created_at, i.image_id) < (%(at)s::timestamptz, %(id)s::uuid))
ORDER BY distance, i.created_at DESC, i.image_id DESC LIMIT %(limit)s
"""


class Place(NamedTuple):
    """A place in the list: the nearest first, of those the newest."""

    distance: int
    created_at: datetime
    image_id: UUID

    def __str__(self) -> str:
        return f"{self.distance}_{self.created_at.isoformat()}_{self.image_id}"


def place(text: str) -> Place:
    """What `str` wrote. Raises ValueError."""
    distance, at, image_id = text.split("_")
    if distance not in map(str, range(MOST_DISTANCE + 1)):
        raise ValueError(distance)
    return Place(int(distance), datetime.fromisoformat(at), UUID(image_id))


async def page(
    connection: AsyncConnection[Any], image_id: UUID, perceptual_hash: int, *, distance: int, after: Place | None,
    limit: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Other pictures up to that distance from the hash, from that place on; one more than `limit` if there are more."""
    far, at, last = after or (None, None, None)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            _PAGE,
            {
                "hash": perceptual_hash, "image": image_id, "distance": distance, "far": far, "at": at, "id": last,
                "limit": limit + 1,
            },
        )  # fmt: skip
        return await cursor.fetchall()


def no_hash(row: Mapping[str, Any]) -> str:
    """Why a picture can't be compared with others."""
    if row["state"] != "done":
        return f"image {row['image_id']} is {row['state']}; only one that is done can be compared"
    if row["method"] is None:
        return f"image {row['image_id']} was never looked at: a run of resize_images with everything does so"
    return f"image {row['image_id']} is nearly of one colour: there is nothing to compare"
