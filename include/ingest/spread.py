"""The pass over the keys of a file as a task a chunk, so that all workers share it.

`plan` does it by itself where that takes less time than a task more (`Order.spread_bytes`). Each task keeps the keys of
its chunk in a table of the run, in one transaction. The one that finds all chunks there settles the repeated keys and
drops the table: while it is there, keys are not settled.
"""

from __future__ import annotations

import psycopg
from psycopg import Cursor

from include.ingest import ledger, staging
from include.ingest.dataset import Dataset
from include.ingest.duplicates import settle
from include.ingest.known import Base, is_there, read_base
from include.ingest.plan import Plan, check_unchanged, reader_for
from include.ingest.records import Chunk
from include.ingest.rows import Reader
from include.ingest.spool import Spool, spools_of


def read_chunk_keys(connection: psycopg.Connection, dataset: Dataset, plan: Plan, chunk: Chunk) -> bool:
    """Read the keys of a chunk; whether they were the last ones, so that repeated keys are settled now.

    Safe to run again. Raises SourceChanged when the file is not the planned one.
    """
    check_unchanged(plan)
    reader = reader_for(dataset, plan)
    if chunk not in unread(connection, plan):
        return False
    with connection.transaction(), connection.cursor() as cursor:
        base = read_base(cursor, plan.base, plan.run_id, plan.storage) if plan.base else None
    with spools_of(reader, [chunk], plan.size, base) as (spool,):
        spool.fill(plan.text, reader)
        with connection.transaction(), connection.cursor() as cursor:
            staging.lock_keys(cursor, plan.run_id)
            have = staging.chunks_with_keys(cursor, plan.run_id)
            if have is None or chunk.number in have:
                return False
            _save(cursor, plan, spool, base)
            check_unchanged(plan)
            if {chunk.number, *have} != {chunk.number for chunk in plan.chunks}:
                return False
            _settle(cursor, plan, reader)
            return True


def unread(connection: psycopg.Connection, plan: Plan) -> list[Chunk]:
    """The chunks whose keys nobody has read; none where `plan` has read them all."""
    with connection.cursor() as cursor:
        have = staging.chunks_with_keys(cursor, plan.run_id)
    return [] if have is None else [chunk for chunk in plan.chunks if chunk.number not in have]


def _save(cursor: Cursor, plan: Plan, spool: Spool, base: Base | None) -> None:
    staging.save_keys(cursor, plan.run_id, spool.chunk.number, spool.packed())
    if base is not None and is_there(base.files, plan.storage):  # else what was compared may have been another file
        staging.save_known(cursor, plan.run_id, [spool.known()])


def _settle(cursor: Cursor, plan: Plan, reader: Reader) -> None:
    with spools_of(reader, plan.chunks, plan.size, None) as spools:
        for spool in spools:
            for part in staging.keys_of(cursor, plan.run_id, spool.chunk.number):
                spool.take(part, reader)
        losers = settle(plan.text, reader, spools)
    ledger.save_losers(cursor, plan.run_id, plan.chunks, losers)
    staging.drop_keys(cursor, plan.run_id)
