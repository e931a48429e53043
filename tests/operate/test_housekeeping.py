"""What the DAG `housekeeping` deletes beside the warehouse, and the command that cleans Airflow's metadata."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config import clean_metadata
from include.bridge import bucket
from include.bridge import housekeeping as keeping
from include.bridge.storage import Login
from include.ingest.dataset.definition import RejectLimit
from include.memory import history
from include.retention import delete_old_logs
from include.warehouse import batches
from tests.images import places
from tests.ingest.loading import DAY, HEADER, ingest, make_dataset

OLD = time.time() - 31 * 86_400


def _file(path: Path, changed: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("line\n")
    os.utime(path, (changed, changed))
    return path


def test_old_logs_go_and_folders_that_stay_empty(tmp_path: Path) -> None:
    old = _file(tmp_path / "dag_id=a" / "run_id=1" / "attempt=1.log", OLD)
    young = _file(tmp_path / "dag_id=a" / "run_id=2" / "attempt=1.log", time.time())
    other = _file(tmp_path / "dag_id=a" / "notes.txt", OLD)
    link = tmp_path / "latest.log"
    link.symlink_to(young)
    assert delete_old_logs(tmp_path, 30) == 1
    assert young.exists() and other.exists() and link.is_symlink() and not old.exists()  # noqa: PT018
    assert old.parent.exists(), "a task may be about to write there"
    os.utime(old.parent, (OLD, OLD))
    assert delete_old_logs(tmp_path, 30) == 0
    assert not old.parent.exists()
    assert tmp_path.exists()


def test_old_logs_of_the_bucket_go_and_nothing_else_of_it(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key, secret = places.KEYS
    login = Login(key=key, secret=secret, token=None, endpoint_url=endpoint, region_name="eu-central-1", config={})
    monkeypatch.setattr(bucket, "login", lambda _: login)
    places.s3(endpoint).mkdir("kept")
    there = bucket.Bucket("s3://logs@kept/tasks")
    for name in ("dag_id=a/attempt=1.log", "dag_id=b/attempt=1.log", "picture.png"):
        there.put(name, b"x")
    now = datetime.now(UTC)
    assert there.delete_older("dag_id=", now - timedelta(days=30)) == 0
    assert there.delete_older("dag_id=", now + timedelta(minutes=1)) == 2
    assert list(there.starting_with("")) == ["picture.png"]


def test_the_metadata_is_cleaned_in_batches_and_without_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 7, 1, 12, tzinfo=UTC)
    asked = clean_metadata.command(now)
    assert asked is not None
    assert asked[:3] == ["airflow", "db", "clean"]
    assert asked[asked.index("--clean-before-timestamp") + 1] == "2026-04-02T12:00:00+00:00"
    assert {"--yes", "--skip-archive", "--batch-size", "--error-on-cleanup-failure"} <= set(asked)
    monkeypatch.setenv("MILLRACE_KEEP_METADATA_DAYS", "0")
    assert clean_metadata.command(now) is None


def test_a_database_that_was_not_migrated_is_named(
    warehouse: psycopg.Connection, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WAREHOUSE", "SECOND"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", dsn)
    warehouse.execute("DROP TABLE millrace.notice")
    assert keeping.forget_ledger("second") == {"rejected": 0, "runs": 0, "requests": 0}, "nobody is told from there"
    with pytest.raises(keeping.NotMigrated, match="Connection warehouse, as its tables are not those of this release"):
        keeping.forget_ledger("warehouse")
    dataset = make_dataset(tmp_path, reject_limit=RejectLimit(rows=9, ratio=None))
    for day in range(2):
        ingest(warehouse, dataset, HEADER + f"{day},a,x\n", tmp_path, version=DAY + timedelta(days=day))
    rejected = "SELECT count(*) FROM millrace.rejected_row"
    for column in ("started_at", "finished_at"):
        warehouse.execute(f"UPDATE millrace.ingest_run SET {column} = {column} - interval '400 days'".encode())
    monkeypatch.setenv("MILLRACE_KEEP_OPEN_REJECTED_DAYS", "30")
    assert warehouse.execute(rejected).fetchone() == (2,)
    with pytest.raises(keeping.NotMigrated, match="not all that is old was deleted in the database of Connection w"):
        keeping.forget_ledger("warehouse")
    assert warehouse.execute(rejected).fetchone() == (1,), "some of it was"
    warehouse.execute("DROP SCHEMA millrace CASCADE")
    with pytest.raises(keeping.NotMigrated, match=r"Connection second, .*: python -m include\.warehouse\.migrate"):
        keeping.forget_ledger("second")


# 100,000 of each, ten seconds apart, of which the first thousand are old.
SAMPLES = """
    INSERT INTO millrace.memory_sample (host, pid, start_ticks, taken_at, role, age_seconds, resident_bytes,
        anonymous_bytes, swap_bytes, threads, unreadable)
    SELECT 'h', 1, 1, now() - interval '30 days' + (n - 1000) * interval '10 seconds', 'worker', 1, 1, 1, 1, 1, '{}'
    FROM generate_series(1, 100000) AS n
"""
TASKS = """
    INSERT INTO millrace.memory_task (dag_id, run_id, task_id, map_index, try_number, host, pid, start_ticks,
        started_at, ended_at, state, peak_bytes, retained_bytes)
    SELECT 'd', n, 't', -1, 1, 'h', 1, 1, at, at, 'success', 1, 1 FROM generate_series(1, 100000) AS n,
        LATERAL (SELECT now() - interval '30 days' + (n - 1000) * interval '10 seconds') AS ended (at)
"""


@pytest.mark.parametrize(("name", "filled"), [("samples", SAMPLES), ("tasks", TASKS)], ids=["samples", "tasks"])
def test_what_is_old_is_found_by_an_index(warehouse: psycopg.Connection, name: str, filled: str) -> None:
    warehouse.execute(filled.encode())
    ((table, which),) = [(table, which) for one, table, which in history._OLD if one == name]
    warehouse.execute(f"VACUUM ANALYZE {table}".encode())
    values = {"before": batches.days_ago(30), "batch_rows": batches.BATCH_ROWS}
    explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT json) " + batches.statement(table, which)
    with warehouse.transaction(force_rollback=True):
        row = warehouse.execute(explain.encode(), values).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]["Plans"][0]  # that which looks for them
    assert _pages(plan) < _whole(warehouse, table) / 4
    assert 900 < history.forget(warehouse, 30)[name] <= 1000


def _pages(plan: dict[str, Any]) -> int:
    """Pages that are read by the scan of the table, without those that are locked row by row above it."""
    below = plan.get("Plans")
    return _pages(below[0]) if below and "Bitmap" not in plan["Node Type"] else (
        int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
    )  # fmt: skip


def _whole(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute("SELECT pg_relation_size(%s::regclass) / 8192", [table]).fetchone()
    assert row is not None
    return int(row[0])
