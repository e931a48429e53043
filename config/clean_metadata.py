"""Cleans Airflow's metadata by `airflow db clean`, each day; with `--once`, now: `python -m clean_metadata [--once]`.

Tasks have no way to the metadata, so this runs beside the scheduler: the service `cleaner` of docker-compose.yaml, the
chart's `databaseCleanup` on Kubernetes. It deletes what is older than $MILLRACE_KEEP_METADATA_DAYS; Airflow keeps the
last scheduled run of each DAG, and what an unfinished one needs, whatever their age.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.retention import delete_old_logs, retention

EACH_SECONDS = 86_400
AGAIN_SECONDS = 600  # after a failure: the database may be away for an upgrade
DONE = "metadata_cleaned"
BATCH_ROWS = "5000"  # of a transaction: the scheduler waits no longer for a row than one takes


def command(now: datetime) -> list[str] | None:
    """What cleans, or None where all is kept for ever. Nothing is archived: that would only rename the table."""
    days = retention().metadata
    if not days:
        return None
    before = (now - timedelta(days=days)).isoformat(timespec="seconds")
    return ["airflow", "db", "clean", "--clean-before-timestamp", before, "--skip-archive", "--batch-size", BATCH_ROWS,
            "--error-on-cleanup-failure", "--yes"]  # fmt: skip


def clean() -> bool:
    """Clean once; whether that went well. The DAG processor's logs are in its own scratch, which no task can reach."""
    logs, days = os.environ.get("AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY"), retention().logs
    if logs and days:
        delete_old_logs(Path(logs), days)
    asked = command(datetime.now(UTC))
    went_well = asked is None or subprocess.run(asked, check=False).returncode == 0
    if went_well:
        Path(tempfile.gettempdir(), DONE).touch()  # the container's health looks at its age
    return went_well


if __name__ == "__main__":
    if "--once" in sys.argv[1:]:
        sys.exit(not clean())
    while True:
        time.sleep(EACH_SECONDS if clean() else AGAIN_SECONDS)
