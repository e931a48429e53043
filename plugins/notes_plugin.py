"""The reason of a failed run, and what `ingest_file` found, in the notes that Airflow's pages show.

Every process of Airflow runs this file; the hooks do something where a run ends, which is in the scheduler.
"""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


class RunListener:
    """Airflow calls these by name, and goes on where one fails."""

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any) -> None:
        from include.bridge import notes

        notes.write(dag_run)

    @hookimpl
    def on_dag_run_success(self, dag_run: Any) -> None:
        from include.bridge import notes

        notes.remove(dag_run)
        notes.tell(dag_run)


class NotesPlugin(AirflowPlugin):
    name = "millrace_notes"
    listeners = [RunListener()]  # noqa: RUF012
