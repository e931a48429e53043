"""What the audit's tasks need from Airflow, in plain values."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import psycopg
from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from include.bridge import WAREHOUSE, reasons
from include.bridge.database import connected


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
