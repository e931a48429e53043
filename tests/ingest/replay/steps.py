"""A replay, or a whole ingest, as a process of its own does it; the fault tests kill it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from include.ingest.dataset_file import load_dataset
from include.ingest.plan import Order
from include.ingest.replay.replay_run import replay
from include.ingest.run import run


def do_replay(dsn: str, dataset_file: str, run_id: str) -> None:
    """Replay all open rows of a run."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        replay(connection, load_dataset(Path(dataset_file)), UUID(run_id), who="eve")


def do_ingest(dsn: str, dataset_file: str, file: str, version: str) -> None:
    """Ingest a file."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        order = Order(uuid4(), Path(file), datetime.fromisoformat(version))
        run(connection, load_dataset(Path(dataset_file)), order)
