"""`python -m include.ingest run`: its account and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.ingest.loading import ITEMS

REPOSITORY = Path(__file__).parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "include.ingest", *map(str, arguments)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
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
    assert "over the limit of 1 rows" in over.stderr

    assert run("run", dataset, tmp_path / "absent.csv", "--dsn", dsn).returncode == 1
    assert run("run", dataset).returncode == 2
    assert run("run", dataset, file, "--dsn", "postgresql://127.0.0.1:1/none").returncode == 1
    dataset.write_text(ITEMS + "wrong: 1\n")
    wrong = run("run", dataset, file, "--dsn", dsn)
    assert wrong.returncode == 2
    assert "items.yaml:11: wrong:" in wrong.stderr
