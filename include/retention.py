"""How long Millrace keeps what it has written: a setting each, in days, read by the DAG `housekeeping` and the cleaner.

0 keeps for ever. Tables that datasets load, pictures and their renditions, and files in the inbox are never deleted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

DAY_SECONDS = 86_400

SETTINGS: dict[str, tuple[str, int]] = {
    "rejected": ("MILLRACE_KEEP_REJECTED_DAYS", 90),
    "open_rejected": ("MILLRACE_KEEP_OPEN_REJECTED_DAYS", 0),
    "runs": ("MILLRACE_KEEP_RUNS_DAYS", 365),
    "memory": ("MILLRACE_KEEP_MEMORY_DAYS", 30),
    "logs": ("MILLRACE_KEEP_LOGS_DAYS", 0),  # they may be another's: an Airflow that Millrace was brought into
    "metadata": ("MILLRACE_KEEP_METADATA_DAYS", 90),
}


@dataclass(frozen=True)
class Retention:
    """Days that each is kept; 0 for ever."""

    rejected: int  # rejected rows that need nobody: replayed, dismissed, or of a run that failed
    open_rejected: int  # rejected rows that wait for somebody
    runs: int  # runs of the ledger that no later run is compared with, requests for replays, notices
    memory: int  # samples, verdicts and evidence of the memory audit
    logs: int  # logs of tasks and of the DAG processor
    metadata: int  # Airflow's own: runs, tasks, XComs, events


def retention(environment: Mapping[str, str] | None = None) -> Retention:
    """What the environment says. Raises ValueError for what is no number of days."""
    found = os.environ if environment is None else environment
    return Retention(**{field.name: _days(found, *SETTINGS[field.name]) for field in fields(Retention)})


def delete_old_logs(folder: Path, days: int) -> int:
    """Delete old files `*.log` below a folder, and folders that have been empty for a day; returns how many files."""
    now, deleted = time.time(), 0
    for place, _, names in os.walk(folder, topdown=False):
        for file in (Path(place) / name for name in names if name.endswith(".log")):
            with suppress(FileNotFoundError):  # another worker that shares the folder may be at it too
                if not file.is_symlink() and file.stat().st_mtime < now - days * DAY_SECONDS:
                    file.unlink()
                    deleted += 1
        # A folder that a task makes is empty until its log is: only one that nobody has touched for a day goes.
        with suppress(OSError):
            if Path(place) != folder and Path(place).stat().st_mtime < now - DAY_SECONDS:
                Path(place).rmdir()
    return deleted


def _days(environment: Mapping[str, str], name: str, usual: int) -> int:
    text = environment.get(name) or str(usual)
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"${name} is {text!r}: give whole days, or 0 to keep for ever")
    return int(text)
