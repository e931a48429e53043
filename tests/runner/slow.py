"""Which tests `./run test --quick` leaves out for the time they take: those of `slow.txt`, with all their cases.

`./run test --measure` writes that list anew, of all that it ran: on two quiet cores, it is what others get.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("slow.txt")
SLOW_SECONDS = 0.5  # of a function with all its cases
NOTICED_SECONDS = 3.0  # in a quick run, under whatever else the machine does
# What these mark is left out for that.
ELSEWHERE = ("airflow", "browser", "directory", "hosts", "prometheus", "proxy", "redis", "faults", "chart")


def listed() -> set[str]:
    """The functions of the list, as `tests/…/test_x.py::test_y`."""
    return set(LIST.read_text().split())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--measure", action="store_true", help=f"write {LIST.name} by how long each test took")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # xdist's workers hand their reports on
        config.pluginmanager.register(_Clock(config))


@pytest.hookimpl(tryfirst=True)  # before `-m` is applied
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = listed()
    for item in items:
        if item.nodeid.partition("[")[0] in slow:
            item.add_marker(pytest.mark.slow)


class _Clock:
    """The seconds of each test function."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not any(marker in report.keywords for marker in ELSEWHERE):
            self._seconds[report.nodeid.partition("[")[0]] += report.duration

    def pytest_sessionfinish(self) -> None:
        if self._config.getoption("measure"):
            slow = {name for name, seconds in self._seconds.items() if seconds >= SLOW_SECONDS}
            LIST.write_text("\n".join(sorted(listed() - self._seconds.keys() | slow)) + "\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if "not slow" in self._config.getoption("markexpr"):
            for name, seconds in sorted(self._seconds.items()):
                if seconds > NOTICED_SECONDS:
                    terminalreporter.line(f"{name} took {seconds:.1f} s: slow.txt lacks it (./run test --measure)")
