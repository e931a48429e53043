"""Try a correction: what the dataset, as it is now, says of one record. Nothing is written, whatever it says.

As a program it answers requests on its standard input, one a line, for the process that serves the pages: that one
shall neither hold the compiled engine nor run a dataset's `clean` hook. It ends when its input does.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import Connection, Cursor

from include.ingest import ledger
from include.ingest.csv.kept_record import readable
from include.ingest.csv.text_form import form_for
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import CorrectionRefused, IngestError, ReplayRefused
from include.ingest.load import load_chunk
from include.ingest.replay.choice import Choice, Origin
from include.ingest.replay.edits import edited, now_bytes, row_of
from include.ingest.replay.replay_run import NO_LIMIT, Attempt, base_run
from include.ingest.replay.spool import Record, spooled
from include.ingest.source.storage import LOCAL, Storage, connect, scratch_of
from include.ingest.table import staging
from include.ingest.table import target as targets
from include.roots import roots

LOCK_SECONDS = 5  # nobody who looks at a page waits longer for others


@dataclass(frozen=True)
class Fault:
    """Why a record would be rejected."""

    column: str | None
    value: str | None
    rule: str
    reason: str


@dataclass(frozen=True)
class Trial:
    """What would become of the record."""

    record: str  # as it would be kept
    faults: list[Fault]  # none: it passes every check


def try_record(
    connection: Connection[Any],
    dataset: Dataset,
    rejected_id: int,
    *,
    fields: Mapping[str, str | None] | None = None,
    raw: str | None = None,
    storage: Storage = LOCAL,
) -> Trial:
    """What the checks say of a rejected row with these columns, or this text; with neither, of the row as it is now.

    Raises CorrectionRefused where that is no record, and what a replay raises.
    """
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        row = row_of(connection, rejected_id)
        if row is None:
            raise CorrectionRefused(f"there is no rejected row {rejected_id}: it went with its run")
        if fields or raw is not None:
            record = edited(row, dataset, storage, fields, raw)
        else:
            kept = now_bytes(row, form_for(dataset), storage)
            if kept is None:
                raise CorrectionRefused(f"rejected row {rejected_id}: the whole record is not at hand any more")
            record = kept
        return Trial(readable(record, dataset.csv.encoding), _faults(cursor, dataset, row, record, storage))


def _faults(cursor: Cursor[Any], dataset: Dataset, row: dict[str, Any], record: bytes, storage: Storage) -> list[Fault]:
    """Load the record into a staging table that never is one, and see whether it is rejected."""
    base = base_run(cursor, dataset, row["run_id"])
    if targets.describe(cursor, dataset) is None:
        raise ReplayRefused(f"the table {dataset.target} is gone: ingest the files again")
    tried = Attempt(cursor, dataset, row["run_id"], uuid4(), Choice(), Origin("nobody"), storage)
    one = Record(row["id"], record, True, 0, row["line_number"])
    with spooled([one], base["file"], edited_first=True) as spool:
        plan = tried.plan(base, spool)
        tried.enter(base, plan, "planned", None)
        staging.create(cursor, plan.run_id, plan.shape(dataset), "merge", base["version"].isoformat())
        unlimited = dataset.model_copy(update={"reject_limit": NO_LIMIT})
        # With each row asked of the server by itself: what it refuses is then a reason, and no error.
        load_chunk(cursor.connection, unlimited, plan, spool.chunks[0], probed=True)
        found = cursor.execute(
            "SELECT column_name, value, rule, reason FROM millrace.rejected_row WHERE run_id = %s", [plan.run_id]
        ).fetchall()
        counts = ledger.counted(cursor, plan.run_id)
    if counts["read"] != 1:
        raise CorrectionRefused(f"the text is {counts['read']} records by the dataset, not one")
    return [Fault(*one) for one in found]


def _answer(line: bytes) -> dict[str, Any]:
    dsn, dataset, rejected_id, fields, raw = pickle.loads(base64.b64decode(line))
    if dsn is None:  # only to be ready when the first one comes
        return {}
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            storage = Storage(scratch_of(os.environ), connect, roots())
            return asdict(try_record(connection, dataset, rejected_id, fields=fields, raw=raw, storage=storage))
    except (IngestError, psycopg.Error) as error:
        return {"refused": str(error).strip()}


def main() -> None:
    """Answer until the input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a hook prints is no answer
    for line in sys.stdin.buffer:
        print(json.dumps(_answer(line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
