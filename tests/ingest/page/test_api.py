"""The ingest's HTTP interface with a real PostgreSQL; the login is Airflow's, tested with a real Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import Connection

from tests.ingest.page import story
from tests.ingest.page.serving import application, guards, served


@pytest.fixture
def client(dsn: str, warehouse: Connection[Any], tmp_path: Path) -> Iterator[httpx.Client]:
    """Asks the interface of a warehouse that tells the story."""
    story.write_files(tmp_path)
    story.tell(warehouse)
    with served(application(dsn, tmp_path, guards())) as url, httpx.Client(base_url=f"{url}/millrace/ingest/") as client:
        yield client


def test_smoke(client: httpx.Client) -> None:
    import json
    for path in ("datasets", "datasets/orders", "runs", f"runs/{story.LOADING}", f"runs/{story.LOADING}/chunks", f"runs/{story.REJECTING}", "rejected?limit=3", "rejected/rules"):
        answer = client.get(path)
        print(path, answer.status_code, json.dumps(answer.json(), indent=1)[:2500])
    print(client.get("rejected.csv").text[:600])
