"""A progress bar over a running ingest: the stage from Airflow, rows and bytes from the warehouse's ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stack.errors import StackError

STAGES = ("plan", "load", "merge", "account")
ENDED = ("success", "failed")
POLL_SECONDS = 1.0
LIMIT_SECONDS = 6 * 3600.0
LEDGER = """
SELECT run.bytes, coalesce(sum(chunk.bytes), 0)::bigint, coalesce(sum(chunk.read), 0)::bigint,
    extract(epoch FROM max(chunk.loaded_at) - run.started_at)::double precision
FROM millrace.ingest_run AS run
LEFT JOIN millrace.ingest_chunk AS chunk ON chunk.run_id = run.run_id
WHERE run.airflow_run = %s
GROUP BY run.run_id
ORDER BY run.started_at DESC
LIMIT 1
"""


@dataclass(frozen=True)
class Progressed:
    """How far a run is; `seconds` from its start to the last loaded chunk."""

    stage: str = "queued"
    bytes: int = 0
    loaded_bytes: int = 0
    rows: int = 0
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """Rows and speed, once there are any."""
        if not self.rows:
            return ""
        speed = f"{self.loaded_bytes / 1e6 / self.seconds:,.0f} MB/s" if self.seconds > 0 else ""
        return f"{self.rows:,} rows  {speed}".rstrip()


def follow(console: Console, dsn: str, airflow_run: str, state: Callable[[], tuple[str, str]]) -> str:
    """Show the run until it ends, and return its state.

    `airflow_run` is the run's name in the ledger; `state` gives the run's state and its stage.
    """
    columns = (TextColumn("{task.description:<8}"), BarColumn(), TextColumn("{task.fields[line]}"), TimeElapsedColumn())
    deadline = time.monotonic() + LIMIT_SECONDS
    last = ""
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("queued", total=None, line="")
        while time.monotonic() < deadline:
            found, stage = state()
            seen = _progressed(dsn, airflow_run, stage)
            total = seen.bytes or None
            bar.update(task, description=seen.stage, total=total, completed=seen.loaded_bytes, line=seen.line)
            last = _tell(console, last, seen)
            if found in ENDED:
                bar.update(task, description=found)
                return found
            time.sleep(POLL_SECONDS)
    raise StackError(f"the run is still {found} after {LIMIT_SECONDS / 3600:.0f} hours")


def stage_of(instances: list[dict[str, Any]]) -> str:
    """The last stage of which a task instance has started."""
    idle = (None, "scheduled", "queued")
    begun = {item["task_id"].rpartition(".")[2] for item in instances if item["state"] not in idle}
    return next((stage for stage in reversed(STAGES) if stage in begun), "queued")


def _tell(console: Console, last: str, seen: Progressed) -> str:
    """Where no bar can be drawn, one line for each stage."""
    if not console.is_terminal and seen.stage != last:
        console.print(f"  {seen.stage:<8} {seen.line}".rstrip())
    return seen.stage


def _progressed(dsn: str, airflow_run: str, stage: str) -> Progressed:
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            row = connection.execute(LEDGER, [airflow_run]).fetchone()
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return Progressed(stage)
    return Progressed(stage, row[0] or 0, row[1], row[2], row[3] or 0.0) if row else Progressed(stage)
