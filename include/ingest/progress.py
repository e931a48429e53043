"""How far a chunk is while it loads, for others to see: its session's name says so, `millrace.loading_chunk` reads it.

The ledger has a chunk's row when the chunk is loaded, as its transaction is seen by nobody before. The name of a
session is seen at once, needs no transaction of its own, and leaves nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from uuid import UUID

import psycopg

from include.ingest.csv.records import Block, Chunk

EVERY_SECONDS = 0.5  # a round trip to the server each: seldom enough not to be felt


def told(blocks: Iterable[Block], connection: psycopg.Connection, run_id: UUID, chunk: Chunk) -> Iterator[Block]:
    """The blocks as they are; before each, the session says how many bytes of the chunk came before it.

    Within a transaction only: the name falls back to what it was at the end.
    """
    next_at = 0.0
    for block in blocks:
        if time.monotonic() >= next_at:
            _name(connection, run_id, chunk, max(int(block.offsets[0]) - chunk.offset, 0))
            next_at = time.monotonic() + EVERY_SECONDS
        yield block


def _name(connection: psycopg.Connection, run_id: UUID, chunk: Chunk, done: int) -> None:
    # At most 58 of the 63 bytes that a session's name may have.
    name = f"millrace {run_id.hex} {chunk.number} {done}"
    connection.execute("SELECT set_config('application_name', %s, true)", [name])
