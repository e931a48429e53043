"""Monitoring on the running stack: a real Prometheus with the committed settings, and every panel of the dashboard."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stack.ports import free_port
from tests.dags.conftest import LOGS, METRICS_TOKEN, REPOSITORY, Airflow
from tests.images import pictures
from tests.images.places import s3
from tests.waiting import until

MONITORING = REPOSITORY / "deploy" / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana" / "dashboards" / "millrace.json").read_text())
EXPRESSIONS = {one["expr"] for panel in DASHBOARD["panels"] for one in panel.get("targets", [])}


@pytest.fixture
def prometheus(airflow: Airflow, tmp_path: Path) -> Iterator[str]:
    """The URL of a Prometheus that asks this stack, and does so more often."""
    token, settings, port = tmp_path / "token", tmp_path / "prometheus.yml", free_port()
    token.write_text(METRICS_TOKEN)
    text = (MONITORING / "prometheus.yml").read_text()
    changes = {
        "api-server:8080": f"127.0.0.1:{airflow.settings.api_port}", "/tmp/metrics_token": str(token),
        "scrape_interval: 15s": "scrape_interval: 2s", "scrape_timeout: 10s": "scrape_timeout: 2s",
    }  # fmt: skip
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    settings.write_text(text)
    shutil.copy(MONITORING / "rules.yml", tmp_path)
    arguments = [
        f"--config.file={settings}",
        f"--storage.tsdb.path={tmp_path}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(["prometheus", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        yield f"http://127.0.0.1:{port}"
        server.terminate()


def answer(prometheus: str, expression: str) -> list[Any]:
    """What Prometheus says to a query; nothing while it comes up."""
    query = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"{prometheus}/api/v1/query?{query}") as response:
            return list(json.load(response)["data"]["result"])
    except urllib.error.URLError:
        return []


@pytest.mark.airflow
@pytest.mark.prometheus
@pytest.mark.usefixtures("told")
def test_every_panel_has_data(airflow: Airflow, prometheus: str) -> None:
    """Also figures of the last minute: a file is ingested and pictures are uploaded, one of them broken."""
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{airflow.settings.url}/millrace/metrics")
    whole = pictures.encoded(pictures.photo(400, 300, 41), "PNG")
    for data in (whole, whole[: len(whole) // 2]):
        airflow.api.call("POST", "millrace/images", content=data, headers={"X-File-Name": "watched.png"})
    airflow.api.patch("dags/resize_images", {"is_paused": False})
    dag = airflow.add_dataset("watched")
    airflow.deliver("watched", "2026-03-01", "id,label,price\n1,a,1.5\n2,b,-1\n")
    assert airflow.outcome(dag, airflow.trigger(dag, "2026-03-01")) == "success"
    pending = set(EXPRESSIONS)

    def seen() -> bool:
        pending.difference_update([one for one in pending if answer(prometheus, one)])
        return not pending

    until(seen, f"data for {pending}")
    with urllib.request.urlopen(f"{prometheus}/api/v1/rules") as told:
        rules = [rule for group in json.load(told)["data"]["groups"] for rule in group["rules"]]
    assert rules
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}, "unknown: not looked at yet"
    rejected = 'sum(millrace_ingest_rejected_rows_24h{dataset="watched"})'
    until(lambda: answer(prometheus, rejected), "the rejected row")
    assert answer(prometheus, rejected)[0]["value"][1] == "1"


@pytest.mark.airflow
def test_a_log_is_in_the_bucket_and_read_from_there(airflow: Airflow, endpoint: str) -> None:
    """After its local copy is gone, behind what another worker wrote of the same try."""
    dag, run_id = airflow.add_dataset("logged"), "by_name"
    airflow.deliver("logged", "2026-03-01", "id,label,price\n1,a,1.5\n")
    path = f"dag_id={dag}/run_id={run_id}/task_id=account/attempt=1.log"
    local, kept, earlier = airflow.settings.logs / "tasks" / path, f"{LOGS}/{path}", b'{"event":"written elsewhere"}\n'
    s3(endpoint).pipe_file(kept, earlier)
    body = {"dag_run_id": run_id, "logical_date": "2026-03-01T00:00:00Z", "conf": {}}
    airflow.api.post(f"dags/{dag}/dagRuns", body)
    assert airflow.outcome(dag, run_id) == "success"
    until(lambda: s3(endpoint).info(kept, refresh=True)["size"] > len(earlier), "the log to be uploaded")
    assert s3(endpoint).cat_file(kept) == earlier + local.read_bytes()
    local.unlink()
    told = airflow.log(dag, run_id, "account")
    for words in (f"s3://logs@{kept}", "written elsewhere", "Done. Returned value"):
        assert words in told
