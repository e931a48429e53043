"""Uploaded pictures: entered, looked up, listed, deleted for good, retried. What `undo` deleted is not there."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from include.images.doorbell import CHANNEL
from include.images.errors import FINAL
from include.images.find import facts
from include.images.find.labels import Labels
from include.images.find.wanted import Wanted

NO_LABELS = Labels()
STATES = ("accepted", "resizing", "done", "failed")
PAGE = 50
LARGEST_PAGE = 200
COLUMNS = f"""
    i.image_id, i.file_name, i.owner, i.created_at, i.tags, i.metadata, i.recipes, i.links_mark, s.digest, s.bytes,
    s.state, s.code, s.reason, s.format, s.width, s.height, s.frames, s.still, s.placeholder, s.finished_at,
    s.airflow_run, s.map_index, {facts.COLUMNS},
    coalesce((SELECT jsonb_agg(to_jsonb(r) - 'digest' ORDER BY r.width DESC, r.name, r.format)
        FROM millrace.image_rendition r WHERE r.digest = s.digest AND r.recipes = i.recipes), '[]') AS renditions
"""
SOURCES = """
FROM millrace.image i JOIN millrace.image_source s USING (digest) LEFT JOIN millrace.image_facts f USING (digest)
"""
_ONE = f"SELECT {COLUMNS} {SOURCES} WHERE i.deleted_at IS NULL AND "
# A source counts while somebody's picture has it. Few are deleted at a time, so those are looked for.
_COUNTS = """
SELECT s.state, count(*) FROM millrace.image_source s LEFT JOIN (
    SELECT DISTINCT i.digest FROM millrace.image i
    WHERE i.deleted_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM millrace.image other WHERE other.digest = i.digest AND other.deleted_at IS NULL
    )
) gone USING (digest)
WHERE gone.digest IS NULL GROUP BY s.state
"""


class Place(NamedTuple):
    """A place in the list, newest first."""

    created_at: datetime
    image_id: UUID


@dataclass(frozen=True)
class Upload:
    """A file that lies in the store under its digest."""

    image_id: UUID
    digest: str
    bytes: int
    owner: str
    file_name: str
    callback_url: str | None = None
    recipes: str = ""  # a `recipes.Choice`


async def accept(connection: AsyncConnection[Any], uploads: Sequence[Upload], labels: Labels = NO_LABELS) -> None:
    """Enter uploads, in one transaction of the caller's, and ring the bell. All of them get the labels.

    A failed source is tried anew, and one that is done waits again if it was not made by these recipes. Sources are
    locked in the order of their digests, as everywhere (see `inbox`).
    """
    columns = zip(
        *((one.image_id, one.digest, one.bytes, one.owner, one.file_name, one.callback_url, one.recipes)
          for one in uploads),
        strict=True,
    )  # fmt: skip
    await connection.execute(
        "WITH upload AS ("
        "  SELECT * FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])"
        "  AS upload (image_id, digest, bytes, owner, file_name, callback_url, recipes)),"
        " source AS (INSERT INTO millrace.image_source (digest, bytes)"
        '  SELECT DISTINCT digest COLLATE "C", bytes FROM upload ORDER BY 1'
        "  ON CONFLICT (digest) DO UPDATE SET priority = 0, (state, attempts, accepted_at) = ("
        "   SELECT CASE WHEN again THEN 'accepted' ELSE image_source.state END,"
        "    CASE WHEN again THEN 0 ELSE image_source.attempts END,"
        "    CASE WHEN again THEN clock_timestamp() ELSE image_source.accepted_at END"
        "   FROM (SELECT image_source.state = 'failed' OR image_source.state = 'done'"
        # Of the row as it is once it is locked: another table would be read as it was before.
        "    AND NOT coalesce(image_source.recipes, '{}') ?& array_agg(upload.recipes) AS again"
        "    FROM upload WHERE upload.digest = image_source.digest) AS judged)),"
        " image AS (INSERT INTO millrace.image"
        "   (image_id, digest, owner, file_name, callback_url, callback_due, recipes, tags, metadata)"
        "  SELECT image_id, digest, owner, file_name, callback_url,"
        "   CASE WHEN callback_url IS NOT NULL THEN clock_timestamp() END, recipes, %s::text[], %s FROM upload)"
        " SELECT pg_notify(%s, '')",
        [*map(list, columns), list(labels.tags), Jsonb(dict(labels.metadata)), CHANNEL],
    )


async def crowded(connection: AsyncConnection[Any], digests: Sequence[str], recipes: str, most: int) -> bool:
    """Whether one of these sources is uploaded for so many other choices already, which the caller holds."""
    async with connection.cursor() as cursor:
        await cursor.execute(
            "SELECT FROM millrace.image WHERE digest = ANY(%s) AND recipes <> %s"
            " GROUP BY digest HAVING count(DISTINCT recipes) >= %s LIMIT 1",
            [list(digests), recipes, most],
        )
        return cursor.rowcount > 0


async def find(connection: AsyncConnection[Any], image_id: UUID) -> dict[str, Any] | None:
    """One picture with its renditions."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_ONE + "i.image_id = %s", [image_id])
        return await cursor.fetchone()


async def page(
    connection: AsyncConnection[Any], *, after: Place | None, state: str | None, wanted: Wanted, limit: int
) -> list[dict[str, Any]]:
    """Pictures, the newest first, from that place on; one more than `limit` where there are more."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            _ONE + f"(%(state)s::text IS NULL OR s.state = %(state)s) AND {wanted.condition}"
            " AND (%(at)s::timestamptz IS NULL OR (i.created_at, i.image_id) < (%(at)s, %(id)s::uuid))"
            " ORDER BY i.created_at DESC, i.image_id DESC LIMIT %(limit)s",
            {
                **wanted.values,
                "state": state,
                "at": after and after.created_at,
                "id": after and after.image_id,
                "limit": limit + 1,
            },
        )
        return await cursor.fetchall()


async def relabel(connection: AsyncConnection[Any], image_id: UUID, patch: Mapping[str, Any]) -> bool:
    """Change tags and metadata, in a transaction of the caller's; False when it is not there. Raises Unfit."""
    async with connection.cursor() as cursor:
        # Locked until it is written: of two changes at once, neither loses what the other has done.
        await cursor.execute(
            "SELECT tags, metadata FROM millrace.image WHERE image_id = %s AND deleted_at IS NULL FOR NO KEY UPDATE",
            [image_id],
        )
        row = await cursor.fetchone()
        if row is None:
            return False
        found = Labels(*row).changed(patch)
        await cursor.execute(
            "UPDATE millrace.image SET tags = %s, metadata = %s WHERE image_id = %s",
            [list(found.tags), Jsonb(dict(found.metadata)), image_id],
        )
        return True


async def rendition(connection: AsyncConnection[Any], image_id: UUID, file: str) -> dict[str, Any] | None:
    """The rendition of that file name, with the picture's `links_mark`."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT r.*, i.links_mark FROM millrace.image_rendition r JOIN millrace.image i USING (digest, recipes)"
            " WHERE i.image_id = %s AND i.deleted_at IS NULL AND r.file = %s",
            [image_id, file],
        )
        return await cursor.fetchone()


async def revoke_links(connection: AsyncConnection[Any], image_id: UUID) -> bool:
    """Make every link void that was made until now; False when there is no such picture.

    By a number that is drawn: a count comes to the same again after the database was restored from a backup, and to
    compare times takes servers whose clocks agree.
    """
    async with connection.cursor() as cursor:
        await cursor.execute(
            "UPDATE millrace.image SET links_mark = %s WHERE image_id = %s AND deleted_at IS NULL",
            [secrets.randbits(63), image_id],
        )
        return cursor.rowcount > 0


async def delete(connection: AsyncConnection[Any], image_id: UUID) -> tuple[bool, str | None]:
    """Delete an upload for good: whether it was there, and the digest of its source if nobody else uploaded the same.

    The caller removes that source from the store once the transaction is committed.
    """
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT digest FROM millrace.image WHERE image_id = %s AND deleted_at IS NULL", [image_id])
        row = await cursor.fetchone()
        if row is None:
            return False, None
        # Uploads of the same bytes lock the same row, so none comes in between.
        await cursor.execute("SELECT FROM millrace.image_source WHERE digest = %s FOR UPDATE", [row[0]])
        await cursor.execute("DELETE FROM millrace.image WHERE image_id = %s", [image_id])
        gone = cursor.rowcount > 0
        await cursor.execute(
            "DELETE FROM millrace.image_source s WHERE digest = %s"
            " AND NOT EXISTS (SELECT FROM millrace.image i WHERE i.digest = s.digest)",
            [row[0]],
        )
        return gone, row[0] if cursor.rowcount else None


async def note_deleted(connection: AsyncConnection[Any], digest: str) -> None:
    """Remember that the source is to be removed from the store, in the transaction that deletes it."""
    await connection.execute(
        "INSERT INTO millrace.image_deleted (digest) VALUES (%s)"
        " ON CONFLICT (digest) DO UPDATE SET deleted_at = clock_timestamp()",
        [digest],
    )


async def is_kept(connection: AsyncConnection[Any], digest: str) -> bool:
    """Whether anybody keeps that source."""
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT FROM millrace.image_source WHERE digest = %s", [digest])
        return cursor.rowcount > 0


async def retry(connection: AsyncConnection[Any], image_id: UUID) -> bool:
    """Let a failed picture wait again; False when it has not failed."""
    async with connection.cursor() as cursor:
        await cursor.execute(
            "UPDATE millrace.image_source s SET state = 'accepted', attempts = 0, priority = 0,"
            " accepted_at = clock_timestamp() FROM millrace.image i"
            " WHERE i.digest = s.digest AND i.image_id = %s AND i.deleted_at IS NULL AND s.state = 'failed'",
            [image_id],
        )
        return cursor.rowcount > 0


async def retry_all(connection: AsyncConnection[Any], wanted: Wanted) -> tuple[int, int]:
    """Let failed pictures wait again that another try may help. Returns how many, and how many it can't help."""
    async with connection.cursor() as cursor:
        await cursor.execute(
            "WITH failed AS MATERIALIZED ("
            "  SELECT s.digest, s.code = ANY(%(final)s) AS final FROM millrace.image_source s WHERE s.state = 'failed'"
            "   AND EXISTS (SELECT FROM millrace.image i"
            f"    WHERE i.digest = s.digest AND i.deleted_at IS NULL AND {wanted.condition})"
            '   ORDER BY s.digest COLLATE "C" FOR NO KEY UPDATE),'  # the order of locks: see `inbox`
            " again AS (UPDATE millrace.image_source s SET state = 'accepted', attempts = 0, priority = 0,"
            "  accepted_at = clock_timestamp() FROM failed WHERE s.digest = failed.digest AND NOT failed.final)"
            " SELECT count(*) FILTER (WHERE NOT final), count(*) FILTER (WHERE final) FROM failed",
            {"final": list(FINAL), **wanted.values},
        )
        row = await cursor.fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


async def counts(connection: AsyncConnection[Any]) -> dict[str, int]:
    """How many sources are in each state."""
    async with connection.cursor() as cursor:
        await cursor.execute(_COUNTS)
        return {**dict.fromkeys(STATES, 0), **dict(await cursor.fetchall())}


async def load(connection: AsyncConnection[Any], owner: str) -> tuple[int, int]:
    """Sources that wait, and the bytes that this owner keeps."""
    async with connection.cursor() as cursor:
        await cursor.execute(
            "SELECT (SELECT count(*) FROM millrace.image_source WHERE state IN ('accepted', 'resizing')),"
            " (SELECT coalesce(sum(s.bytes), 0)::bigint"
            "  FROM millrace.image i JOIN millrace.image_source s USING (digest)"
            "  WHERE i.owner = %s AND i.deleted_at IS NULL)",
            [owner],
        )
        row = await cursor.fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))
