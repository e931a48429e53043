"""docs/how-to/bring-into-your-airflow.md, word for word: an Airflow with a DAG of its own gets Millrace's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from stack.postgres import PostgresServer
from tests.conftest import PASSWORDS
from tests.docs.fences import REPOSITORY, commands, of, written_in

PAGE = REPOSITORY / "docs" / "how-to" / "bring-into-your-airflow.md"
THEIRS = "from airflow.sdk import DAG\n\nwith DAG('their_dag', schedule=None):\n    pass\n"
PAYMENTS = "payment_id,paid_at,amount,method,note\n1,2026-03-01 09:30,12.50,card,\n2,2026-03-01 09:30,-1,card,\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The machine of the page: datasets, an inbox with a day's file, an Airflow with a DAG."""
    for folder in ("dags", "home", "datasets", "inbox/payments"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "dags" / "their_dag.py").write_text(THEIRS)
    (payments,) = (fence.text for fence in written_in("yaml") if "name: payments\n" in fence.text)
    (tmp_path / "datasets" / "payments.yaml").write_text(
        yaml.safe_dump({**yaml.safe_load(payments), "reject_limit": {"ratio": None}}, sort_keys=False)
    )
    (tmp_path / "inbox" / "payments" / "payments_2026-03-01.csv").write_text(PAYMENTS)
    return tmp_path


@pytest.fixture
def bare(postgres: PostgresServer) -> str:
    """The URL of a database that Millrace has never seen."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE theirs OWNER ingest")
    return postgres.dsn("theirs", "ingest", PASSWORDS["ingest"])


def environment_of(place: Path, dsn: str) -> dict[str, str]:
    """What the page says, with this machine's folders."""
    (text,) = (fence.text for fence in of(PAGE) if fence.language == "text")
    told = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert len(told) == len(text.splitlines())
    folders = {"/opt/millrace": str(REPOSITORY), "/srv/": f"{place}/"}
    for shown, here in folders.items():
        told = {name: value.replace(shown, here) for name, value in told.items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MILLRACE", "PYTHON"))}
    return {
        **kept, **told, "AIRFLOW_CONN_WAREHOUSE": dsn, "AIRFLOW_HOME": str(place / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(place / "dags"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "MILLRACE_MEMORY_AGENT": "off", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip


@pytest.mark.airflow
def test_the_page_works_as_written(place: Path, bare: str) -> None:
    environment = environment_of(place, bare)
    said: dict[str, str] = {}
    for command in (
        "airflow db migrate",
        *(one for fence in of(PAGE) if fence.language == "sh" for one in commands(fence.text)),
    ):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=place, env=environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said[command] = done.stdout
    assert "0 faults, 0 warnings" in said['python -m include.ingest check --dsn "$AIRFLOW_CONN_WAREHOUSE"']
    assert "No data found" in said["airflow dags list-import-errors"]
    listed = {line.split()[0] for line in said["airflow dags list"].splitlines() if line.strip()}
    assert {"their_dag", "ingest_payments", "resize_images", "audit_memory"} <= listed
    with psycopg.connect(bare) as connection:
        assert rows(connection, "SELECT payment_id, amount::text FROM payments") == [(1, "12.50")]
        assert rows(connection, "SELECT status, read, inserted, rejected FROM millrace.ingest_run") == [
            ("done", 2, 1, 1)
        ]


def rows(connection: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()
