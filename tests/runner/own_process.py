"""Tests that measure the process they run in say `pytestmark = pytest.mark.own_process`.

Beside other files, theirs runs in a pytest of its own: a process that has imported every test and all that they use is
another program, and a search of its heap takes five times as long.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

REPORTS = "MILLRACE_TEST_REPORTS"  # in the environment of the inner pytest: the file for what its tests came to
TIMEOUT_SECONDS = 900.0

Reports = dict[str, list[pytest.TestReport]]
_ran = pytest.StashKey[dict[Path, Reports]]()


class _Writer:
    """In the inner pytest: hands the reports on."""

    def __init__(self, config: pytest.Config, file: Path) -> None:
        self._config, self._file = config, file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        with self._file.open("a") as file:
            file.write(json.dumps(data, default=str) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "own_process: runs in a pytest of its own, whose heap holds its own imports only"
    )
    if REPORTS in os.environ:
        config.pluginmanager.register(_Writer(config, Path(os.environ[REPORTS])))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Answer with what the inner pytest saw; it runs once for a file."""
    session = item.session
    if item.get_closest_marker("own_process") is None or len({one.path for one in session.items}) == 1:
        return None
    ran = session.stash.setdefault(_ran, {})
    if item.path not in ran:
        ran[item.path] = _run([one.nodeid for one in session.items if one.path == item.path], session.config)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in ran[item.path][item.nodeid]:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    # What the test before had in common with this one, as their folder, may be nothing to the next one.
    session._setupstate.teardown_exact(nextitem)
    return True


def _run(nodes: list[str], config: pytest.Config) -> Reports:
    """The reports of these tests, by their ids. One without a report has died with its process."""
    reports: Reports = defaultdict(list)
    with tempfile.NamedTemporaryFile("r", prefix="millrace-reports-") as file:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *nodes],
            cwd=config.rootpath, env={**os.environ, REPORTS: file.name}, timeout=TIMEOUT_SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        for line in file:
            report = config.hook.pytest_report_from_serializable(config=config, data=json.loads(line))
            reports[report.nodeid].append(report)
    for node in nodes:
        if not any(report.when == "teardown" for report in reports[node]):
            reports[node].append(_died(node, done.stdout))
    return reports


def _died(node: str, said: str) -> pytest.TestReport:
    where: Any = (node.partition("::")[0], None, node)
    return pytest.TestReport(node, where, {}, "failed", f"its process ended without a report:\n{said}", "call")
