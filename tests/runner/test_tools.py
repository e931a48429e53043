"""A tool that is missing: a run of everything leaves out what needs it and says so, a test that was named fails."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.runner.tools import RIGHTS, TOOLS, missing

REPOSITORY = Path(__file__).parents[2]
NEEDY = """
import pytest

@pytest.fixture
def server():
    raise AssertionError("started all the same")

@pytest.mark.prometheus
def test_one(server): pass

@pytest.mark.compiler
@pytest.mark.prometheus
def test_two(server): pass

def test_three(): pass
"""


@pytest.fixture
def needy(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Two tests that need programs and one that does not, where there are no programs at all."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    pytester.makepyfile(test_needy=NEEDY)
    return pytester


def test_a_run_of_a_folder_says_what_it_leaves_out(needy: pytest.Pytester) -> None:
    # One of them is where users who are not root have no path to, and is found all the same.
    gone = [
        tool for tool in TOOLS.values() if not all(shutil.which(one, path="/usr/sbin") for one in tool.programs.split())
    ]
    done = needy.runpytest_subprocess("-p", "tests.runner.tools", "-ra", ".")
    done.assert_outcomes(passed=1, skipped=2)
    done.stdout.fnmatch_lines([
        *[f"not tried here: {tool.tries} (apt-get install {tool.packages})" for tool in gone],
        "SKIPPED * needs what is missing here: apt-get install prometheus",
        "SKIPPED * needs what is missing here: apt-get install prometheus; apt-get install gcc libc6-dev",
    ])  # fmt: skip


def test_so_do_its_workers(needy: pytest.Pytester) -> None:
    done = needy.runpytest_subprocess("-p", "tests.runner.tools", "-ra", "-n", "2")
    done.assert_outcomes(passed=1, skipped=2)
    done.stdout.fnmatch_lines(["not tried here: monitoring (apt-get install prometheus)", "SKIPPED * prometheus"])


@pytest.mark.parametrize("named", ["test_needy.py::test_one", "test_needy.py"])
def test_a_test_that_was_named_fails_with_what_to_type(needy: pytest.Pytester, named: str) -> None:
    done = needy.runpytest_subprocess("-p", "tests.runner.tools", "-ra", named)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert not done.parseoutcomes().get("skipped")
    done.stdout.fnmatch_lines(["needs what is missing here: apt-get install prometheus"])
    done.stdout.no_fnmatch_line("*started all the same*")


def test_each_right_is_held_or_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert {name: missing.__wrapped__()[name] for name in RIGHTS} == dict.fromkeys(RIGHTS, "sudo ./run test")


def test_the_build_server_installs_what_is_listed() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text()
    assert re.search(r"^read -ra missing < <\(\.venv/bin/python -m tests\.runner\.tools\)$", script, re.MULTILINE)
    assert not [package for tool in TOOLS.values() for package in tool.packages.split() if package in script]
