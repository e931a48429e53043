"""The list of slow tests is of tests that exist, and `--measure` writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runner.slow import listed

REPOSITORY = Path(__file__).parents[2]


def test_each_of_the_list_is_a_test() -> None:
    for name in listed():
        file, _, function = name.partition("::")
        assert f"def {function}(" in (REPOSITORY / file).read_text(), f"tests/runner/slow.txt: {name}"


def test_the_list_is_of_what_took_long(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    pytester.makeconftest(
        "import pathlib\nfrom tests.runner import slow\nslow.LIST = pathlib.Path(__file__).with_name('slow.txt')\n"
        "pytest_plugins = ['tests.runner.slow']\n"
    )
    pytester.makepyfile(
        test_some="import pytest, time\n@pytest.mark.parametrize('n', range(3))\ndef test_long(n): time.sleep(0.2)\n"
        "def test_short(): pass\n@pytest.mark.airflow\ndef test_elsewhere(): time.sleep(0.6)\n"
    )
    written = pytester.path / "slow.txt"
    written.write_text("test_other.py::test_not_run\ntest_some.py::test_short\n")
    pytester.runpytest_subprocess("--measure", "-n", "2").assert_outcomes(passed=5)
    assert written.read_text() == "test_other.py::test_not_run\ntest_some.py::test_long\n"
    pytester.runpytest_subprocess("-m", "not slow").assert_outcomes(passed=2, deselected=3)
