"""The alert rules: promtool finds them sound, each fires when it should, and what they ask for is a metric of ours."""

from __future__ import annotations

import random
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


# As it was asked at first, by reading the whole ledger twice: what it came to is right.
SLOW = """
    WITH good AS (
        SELECT dataset, max(finished_at) AS at, max(version) AS version
        FROM millrace.ingest_run WHERE status IN ('done', 'skipped') AND replay_of IS NULL GROUP BY dataset
    )
    SELECT r.dataset, extract(epoch FROM now() - g.at), extract(epoch FROM now() - g.version),
        count(*) FILTER (
            WHERE r.status = 'failed' AND r.replay_of IS NULL AND (g.at IS NULL OR r.finished_at > g.at)
        )
    FROM millrace.ingest_run r LEFT JOIN good g USING (dataset) GROUP BY r.dataset, g.at, g.version
"""
NAMES = [f"d{number:02}" for number in range(20)]


def _random_ledger(connection: psycopg.Connection, chance: random.Random, runs: int) -> None:
    """Runs of 20 datasets over 30 days: some datasets never go well, some never fail, and some are replayed."""
    often = {name: [chance.choice((0, 1, 5)) for _ in range(4)] + [1] for name in NAMES}
    statuses, at = ("done", "skipped", "failed", "waiting", "replay"), "now() - %s * interval '1 second'"
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO millrace.ingest_run (run_id, dataset, target, status, file, bytes, fingerprint, read,"
            f" inserted, updated, unchanged, superseded, rejected, dataset_fingerprint, version, chunks, started_at,"
            f" finished_at, replay_of) VALUES (gen_random_uuid(), %s, 'public.x', %s, 'f', 0, '', 0, 0, 0, 0, 0, 0, '',"
            f" {at}, 0, {at}, {at}, %s)",
            [_run(chance, chance.choices(statuses, often[name := chance.choice(NAMES)])[0], name) for _ in range(runs)],
        )


def _run(chance: random.Random, status: str, dataset: str) -> list[Any]:
    ago = chance.uniform(1, 30 * 86_400)
    ended = None if status in ("waiting", "skipped") and chance.random() < 0.9 else ago - 1
    replayed = "00000000-0000-0000-0000-000000000000" if status == "replay" else None
    status = chance.choice(("done", "failed")) if status == "replay" else status
    return [dataset, status, chance.uniform(0, 90 * 86_400), ago, ended, replayed]


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


@pytest.mark.parametrize("seed", range(5))
def test_what_is_looked_up_is_what_the_whole_ledger_says(warehouse: psycopg.Connection, seed: int) -> None:
    _random_ledger(warehouse, random.Random(seed), 20 + 100 * seed)
    with warehouse.transaction():  # one `now()` for both
        assert sorted(warehouse.execute(figures.DATASETS.statement)) == sorted(warehouse.execute(SLOW))


def test_no_figure_reads_the_whole_ledger(warehouse: psycopg.Connection) -> None:
    _random_ledger(warehouse, random.Random(1), 500)
    warehouse.execute(
        "INSERT INTO millrace.ingest_run (run_id, dataset, target, status, file, bytes, fingerprint, read, inserted,"
        " updated, unchanged, superseded, rejected, dataset_fingerprint, version, chunks, started_at, finished_at)"
        " SELECT gen_random_uuid(), format('d%s', lpad((n % 20)::text, 2, '0')), 'public.x',"
        " CASE WHEN n % 3 = 0 THEN 'failed' ELSE 'done' END, 'f', 0, '', 0, 0, 0, 0, 0, 0, '', now(), 0,"
        " at, at FROM generate_series(1, 50000) AS n,"
        " LATERAL (SELECT now() - (40 + n / 144.0) * interval '1 day') AS began (at)"
    )
    warehouse.execute("VACUUM ANALYZE millrace.ingest_run")
    whole, *looked_up = (_pages(warehouse, one) for one in (SLOW, *(group.statement for group in figures.FIGURES)))
    assert whole > 2_000
    assert max(looked_up) < 500, looked_up


def _pages(connection: psycopg.Connection, statement: str) -> int:
    """How many pages of 8 KB PostgreSQL looks at."""
    row = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {statement}".encode()).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def test_a_dataset_that_was_removed_has_figures_for_some_weeks(warehouse: psycopg.Connection) -> None:
    _random_ledger(warehouse, random.Random(2), 100)
    moved = "UPDATE millrace.ingest_run SET started_at = started_at - interval '40 days' WHERE dataset <> 'd07'"
    assert {"d06", "d07"} <= set(_ages(warehouse))
    warehouse.execute(moved)
    assert set(_ages(warehouse)) == {"d07"}
    assert {name for name, *_ in warehouse.execute(figures.MINUTE.statement)} == {"d07"}
