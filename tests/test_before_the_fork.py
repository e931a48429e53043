"""What `config/airflow_local_settings.py` has imported in a process before it forks tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ASK = """
import sys
sys.argv = sys.argv[1:]
import airflow_local_settings
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("command", "fixed", "libraries", "own"),
    [
        ("celery worker", "yes", True, True),
        ("celery worker", "", True, False),
        ("scheduler", "yes", True, False),
        ("tasks list", "yes", False, False),
    ],
)
def test_own_modules_are_imported_where_no_file_changes(
    command: str, fixed: str, libraries: bool, own: bool, tmp_path: Path
) -> None:
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "config")])
    environment = {
        **os.environ, "PYTHONPATH": path, "AIRFLOW_HOME": str(tmp_path), "MILLRACE_MEMORY_AGENT": "off",
        "MILLRACE_FIXED_CODE": fixed,
    }  # fmt: skip
    loaded = subprocess.run(
        [sys.executable, "-c", ASK, "airflow", *command.split()],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert ("pyarrow.compute" in loaded) is libraries
    assert {name in loaded for name in ("include.ingest.load", "include.images.work")} == {own}
