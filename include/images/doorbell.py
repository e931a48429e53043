"""Rings when there is work that nobody is at: at once by LISTEN, and by a look every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
from psycopg import AsyncConnection

CHANNEL = "millrace_images"
LOOK_SECONDS = 5.0  # a claim that runs out, a callback and a deletion that come due ring no bell
UNDO_MINUTES = 10  # so long a deletion can be undone; then a run removes the pictures
AGAIN_SECONDS = 10.0  # a ring that nobody answered is repeated after this
LONGEST_PAUSE_SECONDS = 10.0  # so long an upload may wait once a server is back
# Who resizes now takes what comes in meanwhile; a claim that ran out is nobody's.
UNATTENDED = f"""
SELECT NOT EXISTS (
        SELECT FROM millrace.image_source WHERE state = 'resizing' AND claimed_until >= clock_timestamp()
    ) AND (
        EXISTS (SELECT FROM millrace.image_source WHERE state IN ('accepted', 'resizing'))
        OR EXISTS (
            SELECT FROM millrace.image JOIN millrace.image_source USING (digest)
            WHERE callback_due <= clock_timestamp() AND state IN ('done', 'failed') AND deleted_at IS NULL
        )
        OR EXISTS (SELECT FROM millrace.image WHERE deleted_at < clock_timestamp() - interval '{UNDO_MINUTES} minutes')
    )
"""


async def rings(address: Callable[[], str]) -> AsyncIterator[None]:
    """Yields each time that work waits unattended. Comes back by itself when the server was away.

    `address` gives the connection string; it is asked for each connection, as a token in it may be good for minutes.
    """
    pause = 0.5
    while True:
        try:
            where = await asyncio.to_thread(address)  # it may ask a service for the token
            # Without a limit, an address that answers nothing would hold this loop for minutes.
            async with await AsyncConnection.connect(where, autocommit=True, connect_timeout=10) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                pause = 0.5
                while True:
                    if await _unattended(connection):
                        yield
                        await _until_answered(connection)
                    else:
                        await _notice(connection, LOOK_SECONDS)
        except psycopg.OperationalError:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _unattended(connection: AsyncConnection[Any]) -> bool:
    row = await (await connection.execute(UNATTENDED)).fetchone()
    return bool(row and row[0])


async def _until_answered(connection: AsyncConnection[Any]) -> None:
    deadline = time.monotonic() + AGAIN_SECONDS
    while time.monotonic() < deadline and await _unattended(connection):
        await asyncio.sleep(0.25)


async def _notice(connection: AsyncConnection[Any], seconds: float) -> None:
    async for _ in connection.notifies(timeout=seconds, stop_after=1):
        return
