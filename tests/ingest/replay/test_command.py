"""`python -m include.ingest rejected` and `replay`: what they print, and their exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.ingest.__main__ import main
from tests.ingest.loading import HEADER, ITEMS, ingest, make_dataset, rows
from tests.ingest.replay.rejecting import rejects

REPOSITORY = Path(__file__).parents[3]


def test_from_a_rejected_row_to_the_table(
    warehouse: psycopg.Connection[Any], dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_dataset(tmp_path)
    file = str(tmp_path / "items.yaml")
    first = ingest(warehouse, dataset, HEADER + '1,a,1\n2,"b, c",x\n3,c,-1\n4,d,y\n5,e,z\n', tmp_path)
    ids = [str(row.id) for row in rejects(warehouse, first)]

    def call(*arguments: str, code: int = 0) -> str:
        assert main([*arguments, "--dsn", dsn]) == code
        out, err = capsys.readouterr()
        return out if code == 0 else err

    shown = call("rejected", "list", file, "--rule", "type", "--limit", "1")
    assert shown.splitlines()[1:] == ['    2,"b, c",x', "             ^"]
    assert f":3  price: not a decimal number (type; open; run {first.run_id})" in shown
    assert json.loads(call("rejected", "list", file, "--json", "--after", ids[2]))["raw"] == "5,e,z"
    assert call("rejected", "count", file) == (
        "        type  3 open, 0 replayed, 0 dismissed\n         min  1 open, 0 replayed, 0 dismissed\n"
    )
    assert call("rejected", "correct", file, "--id", ids[0], "--set", "price=2") == '2,"b, c",2\n'
    assert call("rejected", "correct", file, "--id", ids[1], "--raw", "3,c,3", "--who", "ann") == "3,c,3\n"
    assert "now: 3,c,3" in call("rejected", "list", file)
    assert call("rejected", "dismiss", file, "--id", ids[2], ids[3], "--why", "tests") == "2 rows dismissed\n"
    assert call("rejected", "reopen", file, "--id", ids[3], "--why", "no test") == "1 rows opened again\n"
    replay = ("replay", file, "--run", first.run_id, "--who", "ann")
    account = json.loads(call(*replay, "--id", *ids[:2], "--json"))
    assert {name: account[name] for name in ("status", "read", "inserted")} == {
        "status": "done", "read": 2, "inserted": 2,
    }  # fmt: skip
    assert "  status  skipped" in call(*replay, "--rule", "min")
    assert rows(warehouse, "id, price") == [(1, 1), (2, 2), (3, 3)]
    who = "SELECT asked_by FROM millrace.ingest_run WHERE run_id = %s"
    assert warehouse.execute(who, [account["run_id"]]).fetchone() == ("ann",)

    assert "give its --id and either --set" in call("rejected", "correct", file, "--id", ids[3], code=1)
    assert "is replayed" in call("rejected", "correct", file, "--id", ids[0], "--raw", "1,a,1", code=1)
    assert "has no such rejected rows" in call(*replay, "--rule", "none", code=1)
    (tmp_path / "items.yaml").write_text(ITEMS.replace("rows: null", "rows: 0"))
    assert "1 of 1 replayed rows were rejected again" in call(*replay, code=3)
    (tmp_path / "items.yaml").write_text(ITEMS + "wrong: 1\n")
    assert "wrong:" in call(*replay, code=2)


def test_the_download_is_bytes(warehouse: psycopg.Connection[Any], dsn: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, HEADER.encode() + b"1,\xff,1\n", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "include.ingest", "rejected", "csv", str(tmp_path / "items.yaml"), "--dsn", dsn],
        cwd=REPOSITORY, capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.endswith(b",1,\xff,1\n")
    assert main(["rejected", "list", str(tmp_path / "items.yaml"), "--dsn", "postgresql://127.0.0.1:1/none"]) == 1
