"""Airflow's task instance in plain values, for the record of what each task takes. Nothing here ever raises."""

from __future__ import annotations

from typing import Any

from include.memory.tasks import task
from include.memory.tasks.task import Task
from include.memory.watcher import watch

_instance: Any = None


def begin(instance: Any) -> None:
    """The task is about to run in this process. A watcher that has died is started anew."""
    global _instance
    try:
        watch.ensure()
        index = -1 if instance.map_index is None else instance.map_index
        task.begin(Task(instance.dag_id, instance.run_id, instance.task_id, index, instance.try_number))
        _instance = instance
    except Exception as error:
        task.log.info("the memory of this task is not recorded: %s", error)


def end() -> None:
    """The task, or a piece of it, has ended in this process, in the state that Airflow's task instance has now."""
    global _instance
    instance, _instance = _instance, None
    state = getattr(instance, "state", None)
    task.end(str(getattr(state, "value", state)))
