"""What the DAG `housekeeping` deletes beside the warehouse, and the command that cleans Airflow's metadata."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config import clean_metadata
from include.bridge import bucket
from include.bridge.storage import Login
from include.retention import delete_old_logs
from tests.images import places

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
