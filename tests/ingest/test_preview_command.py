"""`python -m include.ingest preview`: its page for a terminal, its JSON and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tests.ingest.here import run
from tests.ingest.loading import HEADER, ITEMS

FILE = (
    "id,label,price,extra\n"
    "1,one,1,x\n1,uno,1.50,x\n2,\"two\nlines\t\x1b[31m\",,x\n"
    + "".join(f"{n},bad,-1,x\n" for n in range(10, 15))
    + "x,three,3,x\n4,four\n"
)  # fmt: skip


@pytest.fixture
def item_files(tmp_path: Path) -> tuple[Path, Path]:
    dataset, file = tmp_path / "items.yaml", tmp_path / "items.csv"
    dataset.write_text(ITEMS)
    file.write_text(FILE)
    return dataset, file


def test_the_page_says_all_of_it(dsn: str, item_files: tuple[Path, Path]) -> None:
    dataset, file = item_files
    done = run("preview", dataset, file, "--dsn", dsn, "--date", "2026-03-01")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert f"file     {file}\n         (" in text or f"file     {file} (" in text
    assert "version  2026-03-01T00:00:00+00:00" in text
    assert "ignored  extra" in text
    assert "  1   uno" in text
    assert "  2   two\\nlines\\t\\x1b[31m  NULL" in text, "on one line, and nothing that a terminal would obey"
    assert "Rejected by rule min: 5, the first 3:" in text
    assert "line 6: price '-1': " in text
    assert "raw: 10,bad,-1,x" in text
    assert "Rejected by rule type: 1:" in text
    assert "note: target public.items does not exist yet" in text
    assert text.endswith("A run would be done.\nNothing was written.\n")
    assert [line for line in text.splitlines() if len(line) > 80 and str(file) not in line] == []
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT to_regclass('public.items')").fetchone() == (None,)
        assert connection.execute("SELECT count(*) FROM millrace.ingest_run").fetchone() == (0,)


def test_many_columns_go_below_each_other(item_files: tuple[Path, Path]) -> None:
    dataset, file = item_files
    names = [f"column_{number}" for number in range(40)]
    columns = "".join(f"  {name}: {{type: text}}\n" for name in names)
    dataset.write_text(f"name: items\nsource: x\ntarget: items\nkey: [column_0]\ncolumns:\n{columns}")
    file.write_text(",".join(names) + "\n" + ",".join("v" * number for number in range(1, 41)) + "\n")
    done = run("preview", dataset, file, "--no-database")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in names)
    assert [line for line in done.stdout.splitlines() if len(line) > 80 and str(file) not in line] == []
    assert "…" in done.stdout, "what is cut says so"


def test_as_json_it_is_one_object(dsn: str, item_files: tuple[Path, Path]) -> None:
    dataset, file = item_files
    done = run("preview", dataset, file, "--dsn", dsn, "--json")
    found = json.loads(done.stdout)
    assert (found["outcome"], found["ignored"], found["sample"]) == ("done", ["extra"], None)
    assert found["first_rows"][0] == {"id": "1", "label": "uno", "price": "1.50"}
    wanted = {"read": 10, "inserted": 2, "updated": 0, "unchanged": 0, "superseded": 1, "rejected": 7, "deleted": 0}
    assert {name: found["counts"][name] for name in wanted} == wanted
    assert {rule["rule"]: rule["rows"] for rule in found["rejects"]} == {"min": 5, "type": 1, "fields": 1}
    assert found["rejects"][0]["first"][0]["raw"].startswith("10,bad,-1,x")


def test_exit_codes(dsn: str, item_files: tuple[Path, Path], tmp_path: Path) -> None:
    dataset, file = item_files
    dataset.write_text(ITEMS.replace("rows: null", "rows: 6"))
    over = run("preview", dataset, file, "--dsn", dsn)
    assert over.returncode == 3
    assert "A run would fail: 7 of 10 rows were rejected: over the limit of 6 rows" in over.stdout
    absent = run("preview", dataset, tmp_path / "absent.csv", "--dsn", dsn)
    assert (absent.returncode, "absent.csv" in absent.stderr) == (1, True)
    assert (
        json.loads(run("preview", dataset, tmp_path / "absent.csv", "--dsn", dsn, "--json").stdout)["outcome"]
        == "failed"
    )
    away = run("preview", dataset, file, "--dsn", "postgresql://127.0.0.1:1/none")
    assert (away.returncode, "--no-database" in away.stderr) == (1, True)
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE items (id bigint, label text)")
    unfit = run("preview", dataset, file, "--dsn", dsn)
    assert unfit.returncode in (1, 3)
    assert "the table has no unique index" in unfit.stdout
    assert "  inserted  unknown" in unfit.stdout
    dataset.write_text(ITEMS + "wrong: 1\n")
    assert run("preview", dataset, file, "--dsn", dsn).returncode == 2
    assert run("preview", "itemz", file, "--dsn", dsn).returncode == 2


def test_without_a_database(item_files: tuple[Path, Path]) -> None:
    dataset, file = item_files
    found = json.loads(run("preview", dataset, file, "--no-database", "--rows", 3, "--json").stdout)
    assert (found["database"], found["sample"], found["counts"]["inserted"]) == (None, 3, None)
    assert found["counts"]["superseded"] == 1
    text = run("preview", dataset, file, "--no-database", "--rows", 3).stdout
    assert "sample   only the first 3 records were looked at" in text


def test_the_file_of_a_date(tmp_path: Path, item_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "items_2026-03-01.csv").write_text(HEADER + "1,one,1\n")
    monkeypatch.setenv("MILLRACE_INBOX", str(inbox))
    monkeypatch.setenv("MILLRACE_DATASETS", str(tmp_path))
    found = json.loads(run("preview", "items", "--date", "2026-03-01T13:00", "--no-database", "--json").stdout)
    assert found["file"] == str(inbox / "items_2026-03-01.csv")
    assert found["counts"]["read"] == 1
    absent = run("preview", "items", "--date", "2026-03-02", "--no-database")
    assert "items_2026-03-02.csv" in absent.stderr
