"""What the audit's tasks need from Airflow, in plain values."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from include.bridge import WAREHOUSE, connected
from include.memory.processes import Pattern


def warehouse() -> AbstractContextManager[psycopg.Connection]:
    """An open connection to the warehouse."""
    return connected(WAREHOUSE, "millrace-memory")


def patterns() -> list[Pattern]:
    """Processes beside Airflow's own: by the form's expression, and by $MILLRACE_MEMORY_PROCESSES, JSON of role to
    expression.
    """
    named = json.loads(os.environ.get("MILLRACE_MEMORY_PROCESSES") or "{}")
    chosen = params()["processes"]
    return [Pattern("chosen", chosen)] * bool(chosen) + [Pattern(role, text) for role, text in named.items()]


def params() -> dict[str, Any]:
    """The trigger form's values."""
    return dict(get_current_context()["params"])


def limit_bytes() -> float | None:
    """The memory that a process may take: $MILLRACE_MEMORY_LIMIT_MB, or the cgroup's limit."""
    chosen = os.environ.get("MILLRACE_MEMORY_LIMIT_MB")
    if chosen:
        return float(chosen) * 1e6
    from include.memory.limit import cgroup_limit

    return cgroup_limit()


def raise_alert(sentences: list[str]) -> None:
    """Fail the task, without a retry."""
    raise AirflowFailException("\n".join(sentences))
