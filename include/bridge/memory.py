"""What the audit's tasks need from Airflow, in plain values."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from pkgutil import resolve_name
from typing import Any

import psycopg
from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from include.bridge import WAREHOUSE, reasons
from include.bridge.database import connected

NOTIFIERS = "MILLRACE_MEMORY_NOTIFIERS"


def warehouse() -> AbstractContextManager[psycopg.Connection]:
    """An open connection to the warehouse."""
    return connected(WAREHOUSE, "millrace-memory")


def params() -> dict[str, Any]:
    """The trigger form's values."""
    return dict(get_current_context()["params"])


def run_id() -> str:
    """Which run this is."""
    return str(get_current_context()["run_id"])


def give_up(reason: str) -> BaseException:
    """What fails the task, without a retry."""
    return reasons.stop(reason)


def nothing_to_say() -> Exception:
    """What skips the task, so that it emits no asset event."""
    return AirflowSkipException("no new leak")


def notifiers() -> list[Any]:
    """What $MILLRACE_MEMORY_NOTIFIERS names, JSON: a list of {"class": "a.path.to.Notifier", and its arguments}.

    In an argument, `{{ exception }}` is the alert's text. Raises ValueError when it names none.
    """
    text = os.environ.get(NOTIFIERS) or "[]"
    try:
        return [
            resolve_name(named["class"])(**{name: value for name, value in named.items() if name != "class"})
            for named in json.loads(text)
        ]
    except Exception as error:
        raise ValueError(
            f'${NOTIFIERS} must be JSON: a list of {{"class": "a.path.to.Notifier", …and its arguments}}. {error!r}'
        ) from error
