"""The API server with deploy/tls.yaml: by TLS alone, and the clients that ask it."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from stack.tls import folder
from tests.login.conftest import REPOSITORY, Deployed, lay, serving

pytestmark = pytest.mark.airflow
ASK = """
from airflow.sdk.api.client import Client
import os
Client(base_url=os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"], token="none").get("health")
"""


@pytest.fixture(scope="module")
def by_tls(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A second API server beside the one that is there, on the same databases."""
    place = tmp_path_factory.mktemp("tls-api")
    folder.complete(place / "tls")
    database = urlsplit(deployed.init.environment["MILLRACE_METADATA_SUPERUSER"]).port
    assert database is not None
    given = {**deployed.variables, "TLS_FOLDER": str(place / "tls")}
    found = lay(place, database, given, "https", [REPOSITORY / "deploy" / "tls.yaml"])
    port = urlsplit(found.url).port
    moved = [one.replace("/tls/server/", f"{place}/tls/api-server/") for one in found.api.service.command]
    environment = {
        **found.api.environment,
        "PGSSLMODE": "disable",  # the local stack's PostgreSQL has no TLS: tests/tls has one that has
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"https://127.0.0.1:{port}/execution/",
    }
    api = replace(found.api, environment=environment, service=replace(found.api.service, command=moved))
    found = replace(found, api=api)
    with serving(api, found.url, place / "api.log", trusted(found)):
        yield found


def trusted(found: Deployed) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=found.api.environment["AIRFLOW__API__SSL_CA_FILE"])


def run(found: Deployed, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**found.api.environment, **more}, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def other(tmp_path: Path) -> str:
    folder.complete(tmp_path / "tls")
    return str(tmp_path / "tls" / "ca" / "ca.crt")


def test_nothing_is_answered_in_the_clear_and_the_cookie_stays_by_tls(by_tls: Deployed) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(by_tls.url.replace("https", "http"), trust_env=False)
    with httpx.Client(base_url=by_tls.url, verify=trusted(by_tls), trust_env=False) as client:
        answer = client.post("/auth/token", json={"username": "admin", "password": by_tls.password})
        assert answer.status_code == 201
        page = client.get("/auth/login/")
        assert page.status_code == 200
        assert "secure" in page.headers["set-cookie"].lower()


def test_the_health_check_asks_by_tls(by_tls: Deployed, tmp_path: Path) -> None:
    ask = (sys.executable, "-S", "-m", "healthcheck", "dag-processor")
    config = str(REPOSITORY / "config")
    found = run(by_tls, *ask, PYTHONPATH=config)
    assert "Traceback" not in found.stderr, "it was answered, whatever the answer"
    found = run(by_tls, *ask, PYTHONPATH=config, AIRFLOW__API__SSL_CA_FILE=other(tmp_path))
    assert "CERTIFICATE_VERIFY_FAILED" in found.stderr
    assert found.returncode == 1


def test_a_task_asks_the_api_server_for_its_name(by_tls: Deployed, tmp_path: Path) -> None:
    quick = {"AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "1", "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60"}
    found = run(by_tls, sys.executable, "-c", ASK, **quick)
    assert found.returncode == 0, found.stderr
    found = run(by_tls, sys.executable, "-c", ASK, **quick, AIRFLOW__API__SSL_CA_FILE=other(tmp_path))
    assert "CERTIFICATE_VERIFY_FAILED" in found.stderr
    misnamed = by_tls.api.environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].replace("127.0.0.1", "127.0.0.2")
    found = run(by_tls, sys.executable, "-c", ASK, **quick, AIRFLOW__CORE__EXECUTION_API_SERVER_URL=misnamed)
    assert found.returncode != 0
