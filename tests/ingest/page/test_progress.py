"""How far a chunk is while it loads, as another session sees it that has no rights but to read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from include.ingest import load, progress
from include.ingest.csv import records
from include.ingest.csv.records import Block
from include.ingest.report.progress import phase, rate
from include.warehouse.roles import ensure_role, let_read
from stack.postgres import PostgresServer
from tests.ingest.loading import HEADER, ingest, make_dataset

ROWS = 40_000
READING = "only-reads"


@pytest.fixture
def reading(postgres: PostgresServer, dsn: str, warehouse: Connection[Any]) -> str:
    """The address of the warehouse for the role `pages`."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        ensure_role(connection, "pages", READING)
    let_read(warehouse, "pages")
    return make_conninfo(dsn, user="pages", password=READING)


def test_a_chunk_is_seen_to_grow(
    warehouse: Connection[Any], reading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    run_id = uuid4()
    read_blocks = records.read_blocks

    def watched(*values: Any, **named: Any) -> Iterator[Block]:
        with psycopg.connect(reading, autocommit=True) as other:
            for block in read_blocks(*values, **named):
                yield block
                seen.extend(other.execute(LOADING, [run_id]).fetchall())

    monkeypatch.setattr(load, "read_blocks", watched)
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    body = "".join(f"{number},label {number},1.50\n" for number in range(ROWS))
    dataset = make_dataset(tmp_path, block_bytes=1 << 16)
    account = ingest(warehouse, dataset, HEADER + body, tmp_path, run_id=run_id)
    assert account.inserted == ROWS
    done = [loaded for _, loaded in seen]
    assert len(done) > 10
    assert done == sorted(set(done)), "every block brings it further"
    assert done[0] == 0
    assert done[-1] > 0.9 * len(body)
    assert {chunk for chunk, _ in seen} == {0}
    assert warehouse.execute(LOADING, [run_id]).fetchall() == [], "the name falls back with the transaction"


LOADING = "SELECT chunk, loaded_bytes FROM millrace.loading_chunk(%s) WHERE began_at <= clock_timestamp()"


def test_other_names_of_sessions_are_passed_over(dsn: str, warehouse: Connection[Any]) -> None:
    run_id = UUID(int=7)
    names = [f"millrace {run_id.hex} x 1", f"millrace {run_id.hex} 1", f"millrace {run_id.hex} 99999999999999999999 1",
             f"millrace {UUID(int=8).hex} 1 1", f"psql millrace {run_id.hex} 1 1"]  # fmt: skip
    sessions = [psycopg.connect(dsn) for _ in names]
    for session, name in zip(sessions, names, strict=True):
        session.execute("SELECT set_config('application_name', %s, true)", [name])
    assert warehouse.execute(LOADING, [run_id]).fetchall() == []
    for session in sessions:
        session.close()


def test_the_server_is_not_asked_for_every_block(
    warehouse: Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[int] = []
    monkeypatch.setattr(progress, "_name", lambda *values: named.append(values[-1]))
    body = "".join(f"{number},label {number},1.50\n" for number in range(ROWS))
    ingest(warehouse, make_dataset(tmp_path, block_bytes=1 << 16), HEADER + body, tmp_path)
    assert 1 <= len(named) < 8


@pytest.mark.parametrize(
    ("status", "loaded", "chunks", "expected"),
    [("waiting", 0, None, "waiting"), ("planned", 1, 2, "loading"), ("planned", 2, 2, "merging"),
     ("planned", 0, 0, "loading"), ("done", 2, 2, "ended"), ("failed", 0, None, "ended")],
)  # fmt: skip
def test_phases(status: str, loaded: int, chunks: int | None, expected: str) -> None:
    assert phase(status, loaded, chunks) == expected


def test_time_left_is_that_of_the_bytes_left() -> None:
    now = datetime(2026, 3, 1, 10, tzinfo=UTC)
    run = {"status": "planned", "bytes": 400, "chunks": 4}
    total = {"loaded": 1, "bytes": 100, "began_at": now - timedelta(seconds=10), "ended_at": now - timedelta(seconds=5)}
    loading = {"loading": 1, "bytes": 100, "began_at": now - timedelta(seconds=5), "at": now}
    assert rate(run, total, loading) == {"bytes_per_second": 20.0, "seconds_left": 10.0}
    nothing = {"loaded": 0, "bytes": 0, "began_at": None, "ended_at": None}
    assert rate(run, nothing, {**loading, "bytes": 0}) == {"bytes_per_second": None, "seconds_left": None}
    ended = {**total, "loaded": 4, "bytes": 400}
    assert rate({**run, "status": "done"}, ended, {**loading, "bytes": 0, "began_at": None}) == {
        "bytes_per_second": 80.0, "seconds_left": None,
    }  # fmt: skip
