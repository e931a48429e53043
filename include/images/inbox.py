"""The list of work in PostgreSQL: uploads go in, batches are claimed, results come back.

A claim holds for a while and is extended with every picture, so what a dead task had claimed is claimed again. How
often a picture was begun is counted, so that one which kills its worker is given up. Functions take an open connection.

Whoever locks more than one row of `image_source` does so in the order of the digests, as bytes, or passes over what
is locked: two statements that take the same rows in two orders end in a deadlock. Advisory locks (`hold`) come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

from psycopg import Connection, Cursor
from psycopg.types.json import Jsonb

from include.images.doorbell import CHANNEL
from include.images.find import facts as image_facts
from include.images.limits import LIMITS

if TYPE_CHECKING:
    from include.images.engine.render import Rendered
    from include.images.recipes import Recipes

BATCH = 32  # pictures that are claimed at a time: some seconds of work
# Code and reason of a picture that is done.
SALVAGED = ("salvaged", "the file was cut off or damaged: the renditions show what was there")
CLAIM_SECONDS = 180.0  # longer than any one picture may take
EXTEND_SECONDS = 10.0  # a claim is extended no more often: that writes the whole batch
SWEPT = 1  # priority: an upload has 0, as somebody waits for it; a folder or a change of recipes comes later
# By digest and not by row, as an upload comes before its row, and a deletion leaves files after it.
HOLD = "SELECT pg_advisory_xact_lock(hashtextextended('millrace image ' || %s::text, 1))"
# MATERIALIZED: each row is locked once, in this order, however the update is planned.
_LOCKED = """
WITH locked AS MATERIALIZED (
    SELECT digest FROM millrace.image_source WHERE {} ORDER BY digest COLLATE "C" FOR NO KEY UPDATE
)
"""
_FREE = "(state = 'accepted' OR state = 'resizing' AND claimed_until < clock_timestamp())"


def waiting(connection: Connection[Any]) -> int:
    """Sources that can be claimed now."""
    row = connection.execute(f"SELECT count(*) FROM millrace.image_source WHERE {_FREE}").fetchone()
    return 0 if row is None else int(row[0])


class Task(NamedTuple):
    """The task that a batch is for, as the page leads to its log: Airflow's run, and which of the mapped tasks."""

    run: str | None = None
    map_index: int | None = None


NOBODY = Task()


def claim(connection: Connection[Any], batch: UUID, *, size: int = BATCH, task: Task = NOBODY) -> int:
    """Claim for this batch up to `size` of what waits: uploads first, the oldest first. Returns how many."""
    # This order is not that of the digests, so a row that is locked is passed over and never waited for.
    return connection.execute(
        "UPDATE millrace.image_source SET state = 'resizing', batch = %s, airflow_run = %s, map_index = %s,"
        " claimed_until = clock_timestamp() + %s * interval '1 second'"
        " WHERE digest IN (SELECT digest FROM millrace.image_source"
        f"  WHERE {_FREE} ORDER BY priority, accepted_at LIMIT %s FOR UPDATE SKIP LOCKED)",
        [batch, *task, CLAIM_SECONDS, size],
    ).rowcount


def open_batches(connection: Connection[Any], most: int, run: str | None = None) -> list[UUID]:
    """Share what waits among up to `most` new batches of a run, each with its first claim."""
    size = max(1, min(BATCH, -(-waiting(connection) // most)))
    found = []
    for number in range(most):
        batch = uuid4()
        if not claim(connection, batch, size=size, task=Task(run, number)):
            break
        found.append(batch)
    return found


def batch_of(connection: Connection[Any], batch: UUID) -> list[tuple[str, int]]:
    """What is left to do of a batch: digest, and how often it was begun."""
    return connection.execute(
        "SELECT digest, attempts FROM millrace.image_source WHERE batch = %s AND state = 'resizing'"
        " ORDER BY priority, accepted_at",
        [batch],
    ).fetchall()


def choices(connection: Connection[Any], digest: str) -> list[str]:
    """Which renditions the uploads of a source are to get (`recipes.Choice`), in a fixed order."""
    found = connection.execute(
        'SELECT DISTINCT recipes COLLATE "C" FROM millrace.image WHERE digest = %s ORDER BY 1', [digest]
    ).fetchall()
    return [choice for (choice,) in found] or [""]  # it was deleted meanwhile: what is made then goes, too


def begin(connection: Connection[Any], batch: UUID, digest: str) -> None:
    """Say that this picture is begun, and that the batch is still being worked on."""
    _count(connection, batch, digest, 1)


def rest(connection: Connection[Any], batch: UUID, digest: str) -> None:
    """Take `begin` back: nothing is done with this picture now, so it is not to blame if its worker dies."""
    _count(connection, batch, digest, -1)


def go_on(connection: Connection[Any], batch: UUID, digest: str) -> None:
    """Say that the batch is still being worked on."""
    _count(connection, batch, digest, 0)


def _count(connection: Connection[Any], batch: UUID, digest: str, change: int) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = off")  # lost in a crash, it is only counted once less
        connection.execute(
            _LOCKED.format(
                "batch = %(batch)s AND state = 'resizing' AND (digest = %(digest)s"
                " OR claimed_until < clock_timestamp() + (%(seconds)s - %(extend)s) * interval '1 second')"
            )
            + "UPDATE millrace.image_source s"
            " SET attempts = attempts + CASE WHEN s.digest = %(digest)s THEN %(change)s ELSE 0 END,"
            " claimed_until = clock_timestamp() + %(seconds)s * interval '1 second'"
            " FROM locked WHERE s.digest = locked.digest",
            {"digest": digest, "change": change, "seconds": CLAIM_SECONDS, "extend": EXTEND_SECONDS, "batch": batch},
        )


def stall(connection: Connection[Any], batch: UUID, digest: str, code: str, reason: str) -> None:
    """Enter that the store failed at a picture, which stays claimed.

    That costs an attempt only if another picture was done since the store failed at this one before. So an outage costs
    none, and a file that can't be had is given up in the end.
    """
    connection.execute(
        "UPDATE millrace.image_source s SET code = %(code)s, reason = %(reason)s, finished_at = clock_timestamp(),"
        " attempts = attempts - (NOT own)::int,"
        " state = CASE WHEN own AND attempts >= %(most)s THEN 'failed' ELSE state END"
        " FROM (SELECT code IS NOT DISTINCT FROM %(code)s AND EXISTS ("
        "   SELECT FROM millrace.image_source d WHERE d.state = 'done' AND d.finished_at > o.finished_at) AS own"
        "  FROM millrace.image_source o WHERE digest = %(digest)s) judged"
        " WHERE digest = %(digest)s AND batch = %(batch)s AND state = 'resizing'",
        {"code": code, "reason": reason, "most": LIMITS.attempts, "digest": digest, "batch": batch},
    )


def finish(
    connection: Connection[Any], batch: UUID, recipes: Recipes, made: Mapping[str, Mapping[str, Rendered]]
) -> tuple[int, list[tuple[str, str, str]]]:
    """Enter what was made of some sources, by digest and choice, at once.

    A source that was uploaded for another choice meanwhile waits again. Returns how many the batch had not lost, and
    digest, recipe and file of earlier renditions that are not in use now.
    """
    done, stale = 0, []
    with connection.transaction(), connection.cursor() as cursor:
        for digest, chosen in sorted(made.items(), key=lambda one: one[0]):  # the order of locks
            earlier = _finish(cursor, batch, recipes, digest, chosen)
            if earlier is not None:
                done += 1
                stale += [(digest, *one) for one in earlier]
    return done, stale


def _finish(
    cursor: Cursor[Any], batch: UUID, recipes: Recipes, digest: str, made: Mapping[str, Rendered]
) -> set[tuple[str, str]] | None:
    """Recipe and file of renditions that these replace; None when the batch has lost the source to another."""
    identities = {choice: recipes.identity_of(choice) for choice in made}
    if not _done(cursor, batch, digest, identities, list(made.values())):
        return None
    image_facts.enter(cursor, digest, next(iter(made.values())))
    earlier = cursor.execute(
        "DELETE FROM millrace.image_rendition WHERE digest = %s RETURNING recipe, file", [digest]
    ).fetchall()
    rows = [(choice, one) for choice, rendered in made.items() for one in rendered.renditions]
    cursor.executemany(
        "INSERT INTO millrace.image_rendition (digest, recipes, name, format, recipe, file, width, height, bytes,"
        " sha256, animated, reached) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [(digest, choice, one.name, one.format, one.recipe, one.file, one.width, one.height, one.bytes, one.digest,
          one.animated, one.reached) for choice, one in rows],
    )  # fmt: skip
    # A statement of its own, begun when the source is locked: it sees each upload that had the lock before. One that
    # waits for the lock finds in `recipes` whether it needs more (`catalogue.accept`).
    cursor.execute(
        "UPDATE millrace.image_source s SET state = 'accepted' WHERE digest = %s AND EXISTS ("
        " SELECT FROM millrace.image i WHERE i.digest = s.digest AND NOT s.recipes ? i.recipes)",
        [digest],
    )
    return set(earlier) - {(one.recipe, one.file) for _, one in rows}


def _done(cursor: Cursor[Any], batch: UUID, digest: str, identities: Mapping[str, str], made: list[Rendered]) -> bool:
    """Enter that the source is done, which locks it; False when the batch has lost it."""
    facts, salvaged = made[0].facts, any(one.salvaged for one in made)
    return cursor.execute(
        "UPDATE millrace.image_source SET state = 'done', code = %s, reason = %s, batch = NULL, recipes = %s,"
        " format = %s, width = %s, height = %s, frames = %s, still = %s, placeholder = %s,"
        " finished_at = clock_timestamp() WHERE digest = %s AND batch = %s AND state = 'resizing'",
        [*(SALVAGED if salvaged else (None, None)), Jsonb(identities), facts.format, facts.width, facts.height,
         facts.frames, any(one.still for one in made), made[0].placeholder, digest, batch],
    ).rowcount > 0  # fmt: skip


def fail(connection: Connection[Any], batch: UUID, digest: str, code: str, reason: str, *, final: bool) -> None:
    """Enter why a picture failed. What is not final waits again, until its attempts are used up."""
    connection.execute(
        "UPDATE millrace.image_source SET code = %(code)s, reason = %(reason)s, batch = NULL,"
        " state = CASE WHEN %(final)s OR attempts >= %(most)s THEN 'failed' ELSE 'accepted' END,"
        " accepted_at = CASE WHEN %(final)s THEN accepted_at ELSE clock_timestamp() END,"
        " finished_at = clock_timestamp() WHERE digest = %(digest)s AND batch = %(batch)s AND state = 'resizing'",
        {"code": code, "reason": reason, "final": final, "most": LIMITS.attempts, "digest": digest, "batch": batch},
    )


def remake(connection: Connection[Any], recipes: Recipes) -> int:
    """Let every stored picture wait again that was not made by these recipes, or whose facts are not known as now.

    Returns how many.
    """
    wanted = (
        "(SELECT jsonb_object_agg(i.recipes, coalesce(w.identity, %(own)s)) FROM millrace.image i"
        " LEFT JOIN unnest(%(names)s::text[], %(identities)s::text[]) AS w (name, identity)"
        "  ON w.name = split_part(i.recipes, '@', 1) WHERE i.digest = image_source.digest)"
    )
    seen = "SELECT FROM millrace.image_facts f WHERE f.digest = image_source.digest AND f.method = %(method)s"
    known = recipes.identities
    return connection.execute(
        _LOCKED.format(f"state = 'done' AND (recipes IS DISTINCT FROM {wanted} OR NOT EXISTS ({seen}))")
        + "UPDATE millrace.image_source s SET state = 'accepted', attempts = 0, priority = %(swept)s"
        " FROM locked WHERE s.digest = locked.digest",
        {
            "own": known[""],
            "names": [*known],
            "identities": [*known.values()],
            "method": image_facts.method(),
            "swept": SWEPT,
        },
    ).rowcount


def hold(connection: Connection[Any], digest: str) -> None:
    """Hold what happens to a source, uploads and deletion too, until the transaction ends."""
    connection.execute(HOLD, [digest])


def counts(connection: Connection[Any]) -> dict[str, int]:
    """How many sources are in each state."""
    found = connection.execute("SELECT state, count(*) FROM millrace.image_source GROUP BY state").fetchall()
    return {"accepted": 0, "resizing": 0, "done": 0, "failed": 0, **dict(found)}


def ring(connection: Connection[Any]) -> None:
    """Wake the DAG for what waits."""
    connection.execute("SELECT pg_notify(%s, '')", [CHANNEL])
