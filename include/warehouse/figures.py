"""Figures for Prometheus out of the warehouse: a query a group, whose columns are figures or labels.

Each domain lists its own in `figures.py`. What happened is counted over the last minute, by the clock of the database:
a figure is then exact, survives every restart, and its mean over any time gives back the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from prometheus_client.core import GaugeMetricFamily, Metric
from psycopg import AsyncConnection
from psycopg.rows import dict_row

WAIT_SECONDS = 5  # less than a scrape may take


@dataclass(frozen=True)
class Figures:
    """A query. `said` is column to what the figure says; every other column is a label. NULL is no figure."""

    statement: LiteralString
    said: Mapping[str, str]


async def read(connection: AsyncConnection[Any], groups: Sequence[Figures]) -> list[Metric]:
    """The figures of all groups, as of one moment, named `millrace_` and the column."""
    found: list[Metric] = []
    async with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        await cursor.execute(f"SET LOCAL statement_timeout = '{WAIT_SECONDS}s'")
        for group in groups:
            await cursor.execute(group.statement)
            found += families("millrace", group.said, await cursor.fetchall())
    return found


def families(prefix: str, said: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> list[Metric]:
    """Rows as gauges: one for each column of `said`, labelled by the other columns."""
    found = [GaugeMetricFamily(f"{prefix}_{name}", text) for name, text in said.items()]
    for row in rows:
        labels = {name: str(value) for name, value in row.items() if name not in said}
        for family, name in zip(found, said, strict=True):
            if row[name] is not None:
                family.add_sample(family.name, labels, float(row[name]))
    return [*found]
