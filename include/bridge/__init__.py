"""The only part of `include/` that imports Airflow: what tasks and pages need of it, in plain values.

One module a domain; here is what all of them use.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import get_current_context

WAREHOUSE = "warehouse"  # the Connection of Millrace's own database
log = logging.getLogger("millrace")


def label(text: str) -> None:
    """Name this mapped task in the grid: the task's `map_index_template` is `{{ label }}`."""
    get_current_context()["label"] = text  # type: ignore[typeddict-unknown-key]


def report(step: str, **values: object) -> None:
    """One `key=value` line in the task's log."""
    log.info("%s %s", step, " ".join(f"{name}={value}" for name, value in values.items()))


def warn(text: str | None) -> None:
    """A line in the task's log that stands out, where there is something to warn of."""
    if text:
        log.warning(text)


def publish(asset: Any, extra: dict[str, Any]) -> None:
    """Attach a task's outcome to the asset's event, for the DAGs downstream."""
    get_current_context()["outlet_events"][asset].extra = extra
