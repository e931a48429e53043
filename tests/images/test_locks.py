"""Statements that take many pictures of the list of work take them in one order, so that none waits for the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from itertools import combinations_with_replacement
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from include.images import catalogue, inbox
from include.images.engine.decode import Facts
from include.images.engine.render import Rendered
from include.images.recipes import Recipe, Recipes
from tests.waiting import until

BATCH = UUID(int=7)
DIGESTS = [sha256(bytes([number])).hexdigest() for number in range(12)]
RECIPES = Recipes(renditions={"small": Recipe(side=8)})
RENDERED = Rendered(Facts("JPEG", 8, 8, 1, alpha=False, orientation=1), (), "data:", still=False)


def accept(dsn: str) -> None:
    """As an upload of many files does."""

    async def enter() -> None:
        uploads = [catalogue.Upload(uuid4(), digest, 1, "me", "a.jpg") for digest in DIGESTS]
        async with await psycopg.AsyncConnection.connect(dsn, application_name="of the test") as connection:
            await catalogue.accept(connection, uploads)

    asyncio.run(enter())


def with_own_session(act: Callable[[psycopg.Connection[Any]], Any]) -> Callable[[str], None]:
    def run(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True, application_name="of the test") as connection:
            act(connection)

    return run


ACTS: dict[str, Callable[[str], None]] = {
    "accept": accept,
    "begin": with_own_session(lambda connection: inbox.begin(connection, BATCH, DIGESTS[0])),
    "claim": with_own_session(lambda connection: inbox.claim(connection, uuid4())),
    "finish": with_own_session(
        lambda connection: inbox.finish(
            connection, BATCH, RECIPES, {digest: {"": RENDERED} for digest in reversed(DIGESTS)}
        )
    ),
    "remake": with_own_session(lambda connection: inbox.remake(connection, RECIPES)),
}
# What must hold of each picture afterwards, whichever came first.
AFTERWARDS = {
    ("accept", "begin"): f"claimed_until > now() AND attempts = (digest = '{DIGESTS[0]}')::int",
    ("accept", "finish"): "state = 'done'",
    ("accept", "remake"): "state = 'accepted'",
}
STATES = {"begin": "resizing", "finish": "resizing", "claim": "resizing", "remake": "done"}


@pytest.mark.parametrize("pair", [*combinations_with_replacement(ACTS, 2)], ids="-".join)
@pytest.mark.parametrize("gate", [3, 8])
def test_two_at_once_both_come_through(
    warehouse: psycopg.Connection, dsn: str, pair: tuple[str, str], gate: int
) -> None:
    """A third session holds one picture until both have all that they can have, then lets go."""
    given = {STATES[act] for act in pair if act in STATES} or {"accepted"}
    fill(warehouse, [*given])
    with psycopg.connect(dsn) as third, ThreadPoolExecutor(2) as pool:
        third.execute("SELECT FROM millrace.image_source WHERE digest = %s FOR UPDATE", [sorted(DIGESTS)[gate]])
        begun: list[Future[None]] = []
        for act in pair:
            begun.append(pool.submit(ACTS[act], dsn))
            until(lambda: stopped(warehouse) + sum(one.done() for one in begun) == len(begun), f"{act} to stop")
        third.rollback()
        for one in begun:
            one.result()
    held = f"SELECT count(*) FILTER (WHERE {AFTERWARDS.get(pair, 'true')}) FROM millrace.image_source"
    assert warehouse.execute(held).fetchone() == (len(DIGESTS),)


def fill(warehouse: psycopg.Connection, states: list[str]) -> None:
    """Pictures in an order of their own, of these states by turns; what is claimed may be claimed by others."""
    for number, digest in enumerate(DIGESTS):
        warehouse.execute(
            "INSERT INTO millrace.image_source (digest, bytes, state, batch, claimed_until, recipes)"
            " VALUES (%s, 1, %s, %s, now() - interval '1 minute', %s)",
            [digest, states[number % len(states)], BATCH, Jsonb({"": "other recipes"})],
        )


def stopped(warehouse: psycopg.Connection) -> int:
    """How many sessions of the test wait for a lock."""
    row = warehouse.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'of the test' AND wait_event_type = 'Lock'"
        " AND datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])
