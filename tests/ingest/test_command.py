"""`python -m include.ingest run`: its account and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from tests.ingest.loading import ITEMS

REPOSITORY = Path(__file__).parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "include.ingest", *map(str, arguments)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def test_exit_codes_and_account(dsn: str, tmp_path: Path) -> None:
    dataset, file = tmp_path / "items.yaml", tmp_path / "items.csv"
    dataset.write_text(ITEMS.replace("rows: null", "rows: 1"))
    file.write_text("id,label,price\n1,one,1\n1,uno,1\n2,two,-1\n")
    done = run("run", dataset, file, "--dsn", dsn, "--chunk-bytes", 1, "--json")
    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)
    wanted = {"status": "done", "read": 3, "inserted": 1, "superseded": 1, "rejected": 1, "chunks": 3}
    assert {name: account[name] for name in wanted} == wanted
    again = run("run", dataset, file, "--dsn", dsn)
    assert (again.returncode, "skipped" in again.stdout) == (0, True)

    file.write_text("id,label,price\nx,one,1\ny,uno,1\n")
    over = run("run", dataset, file, "--dsn", dsn, "--json")
    assert (over.returncode, json.loads(over.stdout)["status"]) == (3, "failed")
    assert "over the limit of 1 row" in over.stderr

    absent = run("run", dataset, tmp_path / "absent.csv", "--dsn", dsn, "--json")
    assert (absent.returncode, json.loads(absent.stdout)["status"]) == (1, "failed")
    assert run("run").returncode == 2
    assert run("run", dataset, file, "--dsn", "postgresql://127.0.0.1:1/none").returncode == 1
    dataset.write_text(ITEMS + "wrong: 1\n")
    wrong = run("run", dataset, file, "--dsn", dsn)
    assert wrong.returncode == 2
    assert "items.yaml:11: wrong:" in wrong.stderr


def version_of(*arguments: object) -> str:
    """The version that a run's account has."""
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["version"])


def test_a_trial_has_the_version_of_the_last_complete_interval(dsn: str, tmp_path: Path) -> None:
    dataset, file = tmp_path / "items.yaml", tmp_path / "items.csv"
    dataset.write_text(ITEMS)
    file.write_text("id,label,price\n1,tried,1\n")
    before = datetime.now(UTC)
    version = version_of("run", dataset, file, "--dsn", dsn)
    yesterdays = {f"{day - timedelta(days=1):%Y-%m-%d}T00:00:00+00:00" for day in (before, datetime.now(UTC))}
    assert version in yesterdays
    file.write_text("id,label,price\n1,scheduled,1\n")
    assert version_of("run", dataset, file, "--dsn", dsn, "--date", version) == version
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT label FROM items").fetchall() == [("scheduled",)], "the trial poisons nothing"
    file.write_text("id,label,price\n1,older,1\n")
    older = run("run", dataset, file, "--dsn", dsn, "--date", "2026-03-05T18:30")
    assert "2026-03-05T00:00:00+00:00" in older.stdout
    assert older.stderr == "warning: 1 of 1 rows are older than the table's, and changed nothing\n"
    dataset.write_text(ITEMS + 'schedule: "30 2 * * *"\n')
    file.write_text("id,label,price\n2,other,1\n")
    there = version_of("run", dataset, file, "--dsn", dsn, "--date", "2026-03-05T03:00+02:00")
    assert there == "2026-03-04T02:30:00+00:00"
    wrong = run("run", dataset, file, "--dsn", dsn, "--date", "5.3.2026")
    assert (wrong.returncode, "5.3.2026 is not a date such as 2026-03-01" in wrong.stderr) == (2, True)


def test_what_has_changed_in_the_files_columns(dsn: str, tmp_path: Path) -> None:
    dataset, file = tmp_path / "items.yaml", tmp_path / "items.csv"
    dataset.write_text(
        ITEMS.replace("nullable: true}", "nullable: true, source: [label, name]}", 1) + "unknown_columns: add\n"
    )
    file.write_text("id,label,price\n1,one,1\n")
    assert "columns" not in run("run", dataset, file, "--dsn", dsn).stdout
    file.write_text("Currency,id,name,price\nEUR,1,one,1\n")
    done = run("run", dataset, file, "--dsn", dsn)
    assert done.returncode == 0, done.stderr
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.split()[1:])
    wanted = {
        "unknown_columns": "Currency", "renamed_columns": "label as name", "columns_come": "Currency, name",
        "columns_gone": "label", "added_columns": "currency",
    }  # fmt: skip
    assert {name: shown.get(name) for name in wanted} == wanted
    assert "warning: added to the table: currency" in done.stderr
    again = json.loads(run("run", dataset, file, "--dsn", dsn, "--json", "--force").stdout)
    assert (again["renamed_columns"], again["unknown_columns"], again["added_columns"]) == (
        {"label": "name"}, ["Currency"], [],
    )  # fmt: skip
