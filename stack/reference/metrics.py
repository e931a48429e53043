"""What `GET /millrace/metrics` tells, from the queries that it is read by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import Connection

from stack.reference.markdown import code, page, table

# The labels of figures that are read from Airflow's metadata through its models; a test compares them with an answer.
OF_AIRFLOW = {
    "task_instances": ("state", "queue"),
    "dag_runs": ("dag_id", "state"),
    "pool_slots": ("pool", "state"),
    "heartbeat_age_seconds": ("component",),
    "oldest_queued_seconds": ("queue",),
}


def write(connection: Connection[Any]) -> str:
    """The page."""
    rows = [[code(name), ", ".join(code(label) for label in labels), said] for name, labels, said in named(connection)]
    return page(
        "Metrics",
        "`GET /millrace/metrics`, in Prometheus' text format; all are gauges. [Monitor](../how-to/monitor.md) says how"
        " to ask for them, and what to alert on.",
        table(["metric", "labels", "meaning"], rows),
    )


def named(connection: Connection[Any]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Name, labels and meaning of each."""
    from include.bridge.web import airflow_figures, metrics

    for group in metrics.FIGURES:
        columns = [column.name for column in connection.execute(group.statement).description or ()]
        labels = tuple(name for name in columns if name not in group.said)
        yield from ((f"millrace_{name}", labels, said) for name, said in group.said.items())
    for said in (airflow_figures.TASKS, airflow_figures.RUNS, airflow_figures.SLOTS, airflow_figures.BEATS,
                 airflow_figures.QUEUED):  # fmt: skip
        yield from ((f"airflow_{name}", OF_AIRFLOW[name], text) for name, text in said.items())
    yield from ((f"millrace_{name}", ("source",), text) for name, text in metrics.ANSWERED.items())
