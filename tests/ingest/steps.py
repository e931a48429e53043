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


def do_step(dsn: str, dataset_file: str, file: str, run_id: str, version: str, step: str) -> None:
    """Do `step`: plan, merge, or the number of a chunk to load."""
    dataset = load_dataset(Path(dataset_file))
    with psycopg.connect(dsn, autocommit=True) as connection:
        if step == "plan":
            plan(connection, dataset, Order(UUID(run_id), Path(file), datetime.fromisoformat(version)))
        elif step == "merge":
            merge(connection, dataset, read_plan(connection, UUID(run_id)))
        else:
            planned = read_plan(connection, UUID(run_id))
            load_chunk(connection, dataset, planned, planned.chunks[int(step)])
