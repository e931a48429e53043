"""`./run fuzz`: its table, its report and its exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import pytest

from fuzz import report
from fuzz.judging import Checked, Difference
from fuzz.report import Tally, write
from fuzz.work import work

REPOSITORY = Path(__file__).parents[2]


def fuzz(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fuzz", *map(str, arguments)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_few_cases_end_with_a_table_and_a_report(tmp_path: Path) -> None:
    page = tmp_path / "report.md"
    done = fuzz("--only", "sequences", "--cases", 2, "--seed", 1, "--report", page)
    assert (done.returncode, done.stderr) == (0, "")
    assert "| sequences | 2 | 0 | none |" in done.stdout
    assert "| sequences | 1 to 2 | 2 | 0 | none |" in page.read_text()
    assert "| steps | " in page.read_text()


def test_a_report_adds_up(tmp_path: Path) -> None:
    page = tmp_path / "report.md"
    tally = Tally("files", cases=100, batches=1, explained=Counter({"blank line": 7}), held=Counter(steps=3))
    write(page, [tally, Tally("values")], seed=1)
    write(page, [Tally("files", 1_900, 19, differences=[Difference(4, "--> x")], held=Counter(steps=4))], seed=2)
    said = page.read_text()
    assert "| files | 1 to 1 | 100 | 0 | blank line 7 |" in said
    assert "| files | 2 to 20 | 1,900 | 1 | none |" in said
    assert "| values |" not in said
    assert "What the 2,000 cases of `files` held:\n\n| what | times |\n| --- | ---: |\n| steps | 7 |" in said
    assert said.count("--> x\n```") == 1


def test_wrong_usage_is_told() -> None:
    for wrong in (
        ["--only", "none"],
        ["--minutes", "0"],
        ["--cases", "x"],
        ["--cases", "none=1"],
        ["--only", "files", "--cases", "values=1"],
    ):
        assert fuzz(*wrong).returncode == 2


def test_ctrl_c_ends_it_with_the_table() -> None:
    command = [sys.executable, "-m", "fuzz", "--only", "sequences", "--minutes", "10"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as started:
        assert started.stdout is not None
        assert "sequences: seeds from 1 on" in started.stdout.readline()
        started.send_signal(signal.SIGINT)
        rest, fault = started.communicate(timeout=60)
    assert fault == ""
    assert "interrupted" in rest
    assert "| sequences | " in rest
    assert started.returncode == 130


class OneLane:
    """A lane that judges at once: every third seed differs."""

    def __init__(self) -> None:
        self.free = [0]
        self.asked: list[tuple[str, int]] = []

    def submit(self, lane: int, name: str, seed: int) -> Future[tuple[Checked, float]]:
        self.free.remove(lane)
        self.asked.append((name, seed))
        differences = [Difference(seed, "the case")] if seed % 3 == 0 else []
        answer: Future[tuple[Checked, float]] = Future()
        answer.set_result((Checked(10, differences), 1.0 if name == "files" else 3.0))
        return answer


def test_each_judge_gets_consecutive_seeds_and_the_same_time() -> None:
    lanes, told = OneLane(), list[str]()
    tallies = {name: Tally(name) for name in ("files", "sequences")}
    work(lanes, tallies, seed=4, minutes=None, cases=dict.fromkeys(tallies, 40), say=told.append)  # type: ignore[arg-type]
    assert [seed for name, seed in lanes.asked if name == "files"] == [4, 5, 6, 7]
    assert [seed for name, seed in lanes.asked if name == "sequences"] == [4, 5, 6, 7]
    assert [name for name, _ in lanes.asked[:5]] == ["files", "sequences", "files", "files", "files"]
    assert told == [
        "\nfiles: seed 6 (./run fuzz --only files --seed 6 --cases 1)\nthe case\n",
        "\nsequences: seed 6 (./run fuzz --only sequences --seed 6 --cases 1)\nthe case\n",
    ]


@pytest.mark.parametrize("cases", [1, 10, 11])
def test_no_judge_is_asked_once_it_has_its_cases(cases: int) -> None:
    lanes, tally = OneLane(), Tally("files")
    work(lanes, {"files": tally}, seed=1, minutes=None, cases={"files": cases}, say=print)  # type: ignore[arg-type]
    assert tally.cases == (20 if cases == 11 else 10)


def test_a_report_says_how_to_add_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "report.md"
    write(page, [Tally("values", cases=1)], seed=1)
    assert "`./run fuzz --report docs/report.md` adds" in page.read_text()
