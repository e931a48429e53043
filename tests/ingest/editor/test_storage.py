"""An edited dataset file is tried on an object, by the Connection that its URL names."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from include.ingest.editor.job import answer, job_for
from tests.images.places import KEYS, s3
from tests.ingest.loading import ITEMS, make_dataset


@pytest.fixture
def url(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An object, which a Connection of the environment leads to."""
    bucket = f"files-{secrets.token_hex(6)}"
    s3(endpoint).mkdir(bucket)
    s3(endpoint).pipe_file(f"{bucket}/in/items.csv", b"id,label,price\n1,a,1.50\n2,b,-3\n")
    extra = {"endpoint_url": endpoint, "region_name": "eu-central-1"}
    found = {"conn_type": "aws", "login": KEYS[0], "password": KEYS[1], "extra": extra}
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setenv("AIRFLOW_CONN_FILES", json.dumps(found))
    monkeypatch.setenv("MILLRACE_INBOX", str(tmp_path))
    monkeypatch.setenv("MILLRACE_ROOTS", f"s3://files@{bucket}/in")
    return f"s3://files@{bucket}/in/items.csv"


def test_an_object_is_previewed(url: str, tmp_path: Path) -> None:
    job = job_for(
        "preview", "items", ITEMS, make_dataset(tmp_path), [(url, "2026-03-01T00:00:00+00:00")],
        "include.bridge.storage:connect",
    )  # fmt: skip
    found = answer(job)
    assert found["faults"] == []
    assert found["preview"]["first_rows"] == [["1", "a", "1.50"]]
    assert found["preview"]["rejects"][0]["rule"] == "min"


def test_an_object_that_is_gone_is_named(url: str, tmp_path: Path) -> None:
    gone = url.replace("items.csv", "gone.csv")
    job = job_for(
        "preview", "items", ITEMS, make_dataset(tmp_path), [(gone, "2026-03-01T00:00:00+00:00")],
        "include.bridge.storage:connect",
    )  # fmt: skip
    (fault,) = answer(job)["faults"]
    assert "gone.csv" in fault["text"]
