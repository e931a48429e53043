"""The alert rules: promtool finds them sound, each fires when it should, and what they ask for is a metric of ours."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from include.ingest import figures
from stack.reference.metrics import named
from tests.ingest.loading import DAY, HEADER, ingest, make_dataset

REPOSITORY = Path(__file__).resolve().parents[2]
MONITORING = REPOSITORY / "deploy" / "monitoring"
RULES = MONITORING / "rules.yml"


def _promtool(*arguments: str | Path, folder: Path) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
def test_each_rule_fires_when_it_should(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    shutil.copy(Path(__file__).with_name("rules_test.yml"), tmp_path)
    _promtool("check", "rules", "rules.yml", folder=tmp_path)
    _promtool("test", "rules", "rules_test.yml", folder=tmp_path)


def test_each_rule_is_played() -> None:
    rules = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    played = {
        one["alertname"]
        for test in yaml.safe_load(Path(__file__).with_name("rules_test.yml").read_text())["tests"]
        for one in test["alert_rule_test"]
        if one.get("exp_alerts")
    }
    assert rules == played


def test_rules_ask_for_metrics_that_there_are(warehouse: psycopg.Connection) -> None:
    asked = set(re.findall(r"expr: .*?\b((?:millrace|airflow)_\w+)", RULES.read_text()))
    assert asked
    assert asked <= {name for name, _, _ in named(warehouse)}


def test_prometheus_loads_them() -> None:
    assert yaml.safe_load((MONITORING / "prometheus.yml").read_text())["rule_files"] == ["rules.yml"]
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())
    mounted = compose["services"]["prometheus"]["volumes"]
    assert "./deploy/monitoring/rules.yml:/etc/prometheus/rules.yml:ro" in mounted


def _ages(connection: psycopg.Connection) -> dict[str, tuple[Any, ...]]:
    found = connection.execute(figures.DATASETS.statement).fetchall()
    return {name: tuple(None if v is None else round(float(v)) for v in values) for name, *values in found}


def test_the_age_of_a_table_and_its_failures(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    aged = "UPDATE millrace.ingest_run SET started_at = started_at - interval '1 h', finished_at = finished_at -"
    aged += " interval '1 h', version = now() - interval '2 days' WHERE status = 'done'"
    ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path, version=DAY)
    warehouse.execute(aged)
    assert _ages(warehouse) == {"items": (3600, 172_800, 0)}
    warehouse.execute(
        "INSERT INTO millrace.ingest_run (run_id, dataset, target, status, file, bytes, fingerprint,"
        " dataset_fingerprint, version, chunks, finished_at) SELECT gen_random_uuid(), name, 'public.x', 'failed',"
        " 'f', 0, '', '', now(), 0, now() FROM (VALUES ('items'), ('items'), ('never')) AS d (name)"
    )
    found = _ages(warehouse)
    assert found["items"][0] == 3600
    assert found["items"][2] == 2
    assert found["never"] == (None, None, 1)
    ingest(warehouse, dataset, HEADER + "2,a,1\n", tmp_path, version=DAY + timedelta(days=2))
    assert _ages(warehouse)["items"][0] == 0
    assert _ages(warehouse)["items"][2] == 0
