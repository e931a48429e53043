"""Which datasets are read when Airflow reads the DAG file."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk import get_parsing_context

from include.bridge import ingest
from tests.ingest.loading import ITEMS

ASKED_FOR = "_AIRFLOW_PARSING_CONTEXT_DAG_ID"  # by which Airflow tells a task's process


def test_a_task_reads_its_own_dataset_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("items", "others"):
        (tmp_path / f"{name}.yaml").write_text(ITEMS.replace("name: items", f"name: {name}"))
    monkeypatch.setenv("MILLRACE_DATASETS", str(tmp_path))
    assert [dataset.name for dataset in ingest.datasets()] == ["items", "others"]
    monkeypatch.setenv(ASKED_FOR, "ingest_others")
    assert get_parsing_context().dag_id == "ingest_others"
    (tmp_path / "items.yaml").write_text("{ not to be read")
    assert [dataset.name for dataset in ingest.datasets()] == ["others"]
