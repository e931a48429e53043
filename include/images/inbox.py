"""The list of work in PostgreSQL: uploads go in, batches are claimed, results come back.

What is claimed is claimed for a while only: a batch whose task died is claimed again when that time is over.
Functions take an open connection and say what they expect of its transaction.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import dict_row

from include.images.limits import LIMITS
from include.images.render import Rendered

CHANNEL = "millrace_images"
BATCH = 32  # pictures that one task resizes: some 10 s of work
CLAIM_SECONDS = 600.0
WAITING = (
    "SELECT count(*) FROM millrace.image_source"
    " WHERE state = 'accepted' OR (state = 'resizing' AND claimed_until < clock_timestamp())"
)


def waiting(connection: Connection[Any]) -> int:
    """Sources that can be claimed now."""
    row = connection.execute(WAITING).fetchone()
    return 0 if row is None else int(row[0])


def claim(connection: Connection[Any], *, batches: int = 64, size: int = BATCH) -> list[UUID]:
    """Claim what waits, the oldest first, in up to so many batches, each in a short transaction; returns their ids."""
    claimed = []
    for _ in range(batches):
        batch = uuid4()
        with connection.transaction():
            found = connection.execute(
                "UPDATE millrace.image_source SET state = 'resizing', batch = %s, attempts = attempts + 1,"
                " claimed_until = clock_timestamp() + %s * interval '1 second'"
                " WHERE digest IN (SELECT digest FROM millrace.image_source"
                "  WHERE state = 'accepted' OR (state = 'resizing' AND claimed_until < clock_timestamp())"
                "  ORDER BY accepted_at LIMIT %s FOR UPDATE SKIP LOCKED)",
                [batch, CLAIM_SECONDS, size],
            ).rowcount
        if not found:
            break
        claimed.append(batch)
    return claimed


def batch_of(connection: Connection[Any], batch: UUID) -> list[tuple[str, int]]:
    """What is left to do of a batch: digest, and which attempt this is."""
    return connection.execute(
        "SELECT digest, attempts FROM millrace.image_source WHERE batch = %s AND state = 'resizing'"
        " ORDER BY accepted_at",
        [batch],
    ).fetchall()


def extend(connection: Connection[Any], batch: UUID) -> None:
    """Say that the batch is still being worked on."""
    connection.execute(
        "UPDATE millrace.image_source SET claimed_until = clock_timestamp() + %s * interval '1 second'"
        " WHERE batch = %s AND state = 'resizing'",
        [CLAIM_SECONDS, batch],
    )


def finish(connection: Connection[Any], batch: UUID, digest: str, recipes: str, rendered: Rendered) -> bool:
    """Enter what was made; False, with nothing done, when the batch lost its claim to another."""
    facts = rendered.facts
    with connection.transaction(), connection.cursor() as cursor:
        done = cursor.execute(
            "UPDATE millrace.image_source SET state = 'done', code = NULL, reason = NULL, batch = NULL, recipes = %s,"
            " format = %s, width = %s, height = %s, frames = %s, still = %s, placeholder = %s,"
            " finished_at = clock_timestamp() WHERE digest = %s AND batch = %s AND state = 'resizing'",
            [recipes, facts.format, facts.width, facts.height, facts.frames, rendered.still, rendered.placeholder,
             digest, batch],
        ).rowcount  # fmt: skip
        if not done:
            return False
        cursor.execute("DELETE FROM millrace.image_rendition WHERE digest = %s", [digest])
        cursor.executemany(
            "INSERT INTO millrace.image_rendition (digest, name, format, recipe, file, width, height, bytes, sha256,"
            " animated) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [(digest, one.name, one.format, one.recipe, one.file, one.width, one.height, one.bytes, one.digest,
              one.animated) for one in rendered.renditions],
        )  # fmt: skip
    return True


def fail(connection: Connection[Any], batch: UUID, digest: str, code: str, reason: str, *, final: bool) -> None:
    """Enter why a picture failed. What is not final waits again, until its attempts are used up."""
    connection.execute(
        "UPDATE millrace.image_source SET code = %(code)s, reason = %(reason)s, batch = NULL,"
        " state = CASE WHEN %(final)s OR attempts >= %(most)s THEN 'failed' ELSE 'accepted' END,"
        " finished_at = clock_timestamp() WHERE digest = %(digest)s AND batch = %(batch)s AND state = 'resizing'",
        {"code": code, "reason": reason, "final": final, "most": LIMITS.attempts, "digest": digest, "batch": batch},
    )


def remake(connection: Connection[Any], recipes: str) -> int:
    """Let every stored picture that was not made by these recipes wait again; returns how many."""
    return connection.execute(
        "UPDATE millrace.image_source SET state = 'accepted', attempts = 0"
        " WHERE state = 'done' AND recipes IS DISTINCT FROM %s",
        [recipes],
    ).rowcount


def counts(connection: Connection[Any]) -> dict[str, int]:
    """How many sources are in each state."""
    found = connection.execute("SELECT state, count(*) FROM millrace.image_source GROUP BY state").fetchall()
    return {"accepted": 0, "resizing": 0, "done": 0, "failed": 0, **dict(found)}


def records(connection: Connection[Any]) -> Any:
    """A cursor whose rows are dictionaries."""
    return connection.cursor(row_factory=dict_row)
