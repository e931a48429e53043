"""The pages of docs/reference/ are what the code says."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.reference import command, settings
from stack.reference.markdown import kind, table
from tests.docs.fences import REPOSITORY

PARSER = ArgumentParser()


def test_the_reference_is_current() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MILLRACE"))}
    done = subprocess.run(
        [sys.executable, "-m", "stack", "docs", "--check"],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stale_page_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (command.FOLDER / "metrics.md").read_text()
    page = tmp_path / "metrics.md"
    page.write_text(before)
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    monkeypatch.setattr(command, "REPOSITORY", tmp_path)
    monkeypatch.setattr(command, "pages", lambda _: {"metrics.md": before.replace("gauges", "counters")})
    assert command.run(PARSER, check=True) == 1
    assert "+`GET /millrace/metrics`, in Prometheus' text format; all are counters." in capsys.readouterr().out
    assert command.run(PARSER, check=False) == 0
    assert command.run(PARSER, check=True) == 0
    assert "counters" in page.read_text()


def test_a_setting_without_a_sentence_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(settings.TEXTS, "MILLRACE_INBOX")
    with pytest.raises(StackError, match=r"the code reads MILLRACE_INBOX"):
        settings.write()
    monkeypatch.setitem(settings.TEXTS, "MILLRACE_INBOX", ("", ""))
    monkeypatch.setitem(settings.ENV, "GONE", "")
    with pytest.raises(StackError, match=r"tells of GONE, which docker-compose"):
        settings.write()


def test_cells_may_hold_anything() -> None:
    assert table(["a", "b"], [["x|y\nz", ""]]) == "| a | b |\n| --- | --- |\n| x\\|y z | |"


def test_types_are_told_in_words() -> None:
    assert kind({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}) == "integer ≥ 1 or null"
    assert kind({"type": ["null", "number"], "maximum": 1}) == "null or number ≤ 1"
    assert kind({"enum": ["a", "b"]}) == "`a`, `b`"
