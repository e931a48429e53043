"""Which triggers the triggerer makes. A task that defers itself names a class and its arguments, and Airflow imports
and calls whatever that is; the triggerer knows the metadata's password and signs tokens, and a worker must not.

`config/airflow_local_settings.py` calls `allow_only` in the triggerer, before it takes any trigger.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.triggers.base import BaseTrigger
from airflow.triggers.callback import CallbackTrigger

VARIABLE = "MILLRACE_TRIGGERS"
ANY = "*"
# Our own, and those of Airflow that wait for a time, a file, a person or another run. Others remove files, or call what
# their arguments name.
KNOWN = (
    "include.bridge.images.ImagesWaiting",
    "airflow.providers.standard.triggers.external_task.",
    "airflow.providers.standard.triggers.file.FileTrigger",
    "airflow.providers.standard.triggers.hitl.HITLTrigger",
    "airflow.providers.standard.triggers.temporal.",
)

CALLBACK = f"{CallbackTrigger.__module__}.{CallbackTrigger.__qualname__}"
CALLBACKS = ("include.bridge.freshness.say_late",)


class KnownCallback(CallbackTrigger):
    """What Airflow makes where a deadline has passed: it imports and calls what its arguments name. Here, ours only."""

    def __init__(self, callback_path: str, callback_kwargs: dict[str, Any] | None = None) -> None:
        if callback_path not in CALLBACKS:
            raise ValueError(f"{callback_path} is no callback that may run here: ${VARIABLE} may list {CALLBACK}")
        super().__init__(callback_path, callback_kwargs)


def allowed(classpath: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether it is one of these, or listed in $MILLRACE_TRIGGERS: a class, or with a dot at the end a module."""
    listed = (os.environ if environment is None else environment).get(VARIABLE, "").split(",")
    names = [*KNOWN, *(name.strip() for name in listed if name.strip())]
    return ANY in names or any(
        classpath == name or (name.endswith(".") and classpath.startswith(name)) for name in names
    )


def allow_only() -> None:
    """Have this process, and what it forks, refuse all others before they are imported. Safe to repeat."""
    import_trigger = TriggerRunner.get_trigger_by_classpath
    if getattr(import_trigger, "checks", False):
        return

    def get_trigger_by_classpath(self: Any, classpath: str) -> type[BaseTrigger]:
        if classpath == CALLBACK and not allowed(classpath):
            return KnownCallback
        if not allowed(classpath):
            raise ValueError(f"{classpath} is no trigger that may run here: ${VARIABLE} may list it")
        found = import_trigger(self, classpath)
        if not (isinstance(found, type) and issubclass(found, BaseTrigger)):
            raise TypeError(f"{classpath} is no trigger")
        return found

    get_trigger_by_classpath.checks = True  # type: ignore[attr-defined]
    TriggerRunner.get_trigger_by_classpath = get_trigger_by_classpath  # type: ignore[method-assign]
