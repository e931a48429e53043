"""Memory of each task: a record when one has ended, written in the task's own process.

Every process of Airflow runs this file; the hooks do something in those that run a task.
"""

from __future__ import annotations

import sys
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

BRIDGE = "include.bridge.memory_tasks"


class TaskListener:
    """Airflow calls these by name. `before_stopping` is the one that follows every end, a deferral's too."""

    @hookimpl
    def on_task_instance_running(self, task_instance: Any) -> None:
        from include.bridge.memory_tasks import begin

        begin(task_instance)

    @hookimpl
    def before_stopping(self) -> None:
        if BRIDGE in sys.modules:  # otherwise no task began in this process
            sys.modules[BRIDGE].end()


class MemoryTasksPlugin(AirflowPlugin):
    name = "millrace_memory_tasks"
    listeners = [TaskListener()]  # noqa: RUF012
