"""What each task took, in the warehouse. Takes an open connection."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

KEY = ("dag_id", "run_id", "task_id", "map_index", "try_number")
# A try may come in pieces: a task that defers itself or reschedules itself goes on later, maybe on another machine.
OF_THE_LAST_PIECE = (
    "host", "pid", "start_ticks", "state", "retained_bytes", "worker_before_bytes", "worker_after_bytes",
)  # fmt: skip
COLUMNS = (*KEY, *OF_THE_LAST_PIECE, "started_at", "ended_at", "peak_bytes")

_ENTER = (
    f"INSERT INTO millrace.memory_task AS t ({', '.join(COLUMNS)})"
    f" VALUES ({', '.join(f'%({column})s' for column in COLUMNS)})"
    f" ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET"
    " started_at = least(t.started_at, excluded.started_at), ended_at = greatest(t.ended_at, excluded.ended_at),"
    " peak_bytes = greatest(t.peak_bytes, excluded.peak_bytes), "
    + ", ".join(
        f"{column} = CASE WHEN excluded.ended_at >= t.ended_at THEN excluded.{column} ELSE t.{column} END"
        for column in OF_THE_LAST_PIECE
    )
)


def add_task(connection: Connection[Any], record: Mapping[str, Any]) -> None:
    """Enter a record of `task.end`; twice, or the pieces of a try in whatever order, is the same.

    Pieces are one row: from the first one's start to the last one's end, with the greatest peak of all and the last
    one's worker and state. Raises KeyError when the record lacks a column.
    """
    times = {name: datetime.fromtimestamp(record[name], UTC) for name in ("started_at", "ended_at")}
    connection.execute(_ENTER, {**{column: record[column] for column in COLUMNS}, **times})
