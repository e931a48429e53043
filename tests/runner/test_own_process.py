"""Tests with a process of their own: what they come to is what is told, whatever happens to the process."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ALONE = """
import os, sys
import pytest

pytestmark = pytest.mark.own_process

def test_alone(): assert "test_beside" not in sys.modules
def test_fails(): assert os.getpid() == 0, "as it should"
@pytest.mark.skip(reason="not today")
def test_skipped(): pass
@pytest.fixture
def broken(): raise RuntimeError("before the test")
def test_error(broken): pass
"""
DIES = "def test_dies():\n    print('last words', flush=True)\n    os._exit(3)\ndef test_never(): pass\n"


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    pytester.makeconftest("pytest_plugins = ['tests.runner.own_process']")
    pytester.makepyfile(test_alone=ALONE, test_beside="import os\ndef test_here(): pass\n")
    return pytester


@pytest.mark.parametrize("by", [(), ("-n", "2")])
def test_beside_others_it_has_a_process_of_its_own(folder: pytest.Pytester, by: tuple[str, ...]) -> None:
    done = folder.runpytest_subprocess(*by)
    done.assert_outcomes(passed=2, failed=1, skipped=1, errors=1)
    done.stdout.fnmatch_lines(["*AssertionError: as it should*", "*assert *"])
    done.stdout.fnmatch_lines(["*RuntimeError: before the test*"])


def test_what_dies_with_the_process_fails_with_its_last_words(folder: pytest.Pytester) -> None:
    folder.makepyfile(test_alone=ALONE + DIES)
    done = folder.runpytest_subprocess()
    done.assert_outcomes(passed=2, failed=3, skipped=1, errors=1)
    done.stdout.fnmatch_lines(["*its process ended without a report*"])


def test_only_what_is_chosen_runs(folder: pytest.Pytester) -> None:
    done = folder.runpytest_subprocess("-k", "alone or here", "--deselect", "test_alone.py::test_fails")
    done.assert_outcomes(passed=2, skipped=1, errors=1, deselected=1)


def test_the_next_one_may_be_of_another_folder(folder: pytest.Pytester) -> None:
    for name in ("one", "two"):
        package = folder.mkpydir(name)
        (package / "test_here.py").write_text("def test_here(): pass\n")
    (folder.path / "one" / "test_later.py").write_text(
        "import pytest\npytestmark = pytest.mark.own_process\ndef test_later(): pass\n"
    )
    folder.runpytest_subprocess("one", "two").assert_outcomes(passed=3)
