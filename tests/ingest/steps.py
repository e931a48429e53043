"""One step of a run, as a task's retry does it; the fault tests kill the process that does it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg

from include.ingest.dataset_file import load_dataset
from include.ingest.load import load_chunk
from include.ingest.merge import merge
from include.ingest.plan import Order, plan, read_plan
from include.ingest.spread import read_chunk_keys


def do_step(dsn: str, dataset_file: str, file: str, run_id: str, version: str, step: str) -> None:
    """Do `step`: plan, or `spread` without the keys; `keys` and a chunk's number; that number, to load it; merge."""
    dataset = load_dataset(Path(dataset_file))
    with psycopg.connect(dsn, autocommit=True) as connection:
        if step in ("plan", "spread"):
            order = Order(
                UUID(run_id), Path(file), datetime.fromisoformat(version), spread_bytes=0 if step == "spread" else None
            )
            plan(connection, dataset, order)
        elif step == "merge":
            merge(connection, dataset, read_plan(connection, UUID(run_id)))
        else:
            planned = read_plan(connection, UUID(run_id))
            work = read_chunk_keys if step.startswith("keys ") else load_chunk
            work(connection, dataset, planned, planned.chunks[int(step.split()[-1])])
