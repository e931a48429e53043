"""Rings when pictures wait: at once by LISTEN, and by a look every few seconds should a notice be lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from psycopg import AsyncConnection

from include.images.inbox import CHANNEL, WAITING

LOOK_SECONDS = 5.0
AGAIN_SECONDS = 10.0  # a ring that nobody answered is repeated after this
LONGEST_PAUSE_SECONDS = 10.0


async def rings(dsn: str) -> AsyncIterator[int]:
    """How many pictures wait, each time that some do. Comes back by itself when the server was away."""
    pause = 0.5
    while True:
        try:
            async with await AsyncConnection.connect(dsn, autocommit=True, connect_timeout=10) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                pause = 0.5
                while True:
                    waiting = await _waiting(connection)
                    if waiting:
                        yield waiting
                        await _until_claimed(connection)
                    else:
                        await _notice(connection, LOOK_SECONDS)
        except psycopg.OperationalError:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _waiting(connection: AsyncConnection[Any]) -> int:
    row = await (await connection.execute(WAITING)).fetchone()
    return 0 if row is None else int(row[0])


async def _until_claimed(connection: AsyncConnection[Any]) -> None:
    deadline = time.monotonic() + AGAIN_SECONDS
    while time.monotonic() < deadline and await _waiting(connection):
        await asyncio.sleep(0.25)


async def _notice(connection: AsyncConnection[Any], seconds: float) -> None:
    async for _ in connection.notifies(timeout=seconds, stop_after=1):
        return
