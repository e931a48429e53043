"""What 1 TB a day takes, computed from what was measured: `python -m bench.scale.model` prints the tables of the page.

The costs for each GB are those of `bench/results/ingest-5gb.json`. All that is computed from them is proportion: none
of it was run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).parents[1] / "results" / "ingest-5gb.json"
PER_CORE = 0.7  # of a core's time that is planned for: the rest is for peaks and retries
BYTES_A_ROW = 137  # of the file that was measured
SCRATCH_A_ROW = 20  # bytes that the plan keeps for each row
TB = 1000.0  # in GB


@dataclass(frozen=True)
class Cost:
    """Of one GB of a file. `merge_seconds` is the time that no other run may merge into the same table."""

    name: str
    tasks_cpu_seconds: float
    server_cpu_seconds: float
    wal_gb: float
    merge_seconds: float


@dataclass(frozen=True)
class Need:
    """Of a day."""

    worker_cores: float
    server_cores: float
    wal_gb: float
    wal_mb_a_second: float
    merge_hours: float  # in one table, one run after the other


def costs(measured: dict[str, Any]) -> list[Cost]:
    """A first load (a new table or partition), and the next day's file, which is compared with a full table."""
    first, second = _line(measured, "first"), _line(measured, "second")
    merge = measured["profile"]["merge"]["seconds"]
    seconds = second["seconds"][0]
    gigabytes = second["megabytes"] / 1000
    # Where the second file's time goes was not measured apart: all of it but what a first load takes to plan and load.
    rest = seconds - sum(measured["profile"][step]["seconds"] for step in ("plan", "load"))
    return [
        _cost("first load", first, merge / (first["megabytes"] / 1000)),
        _cost("next day's file, 10 % changed", second, rest / gigabytes),
    ]


def need(cost: Cost, gigabytes: float, hours: float) -> Need:
    """What so many GB take when they are to be in within so many hours."""
    seconds = hours * 3600
    return Need(
        worker_cores=gigabytes * cost.tasks_cpu_seconds / seconds / PER_CORE,
        server_cores=gigabytes * cost.server_cpu_seconds / seconds / PER_CORE,
        wal_gb=gigabytes * cost.wal_gb,
        wal_mb_a_second=gigabytes * cost.wal_gb * 1000 / seconds,
        merge_hours=gigabytes * cost.merge_seconds / 3600,
    )


def tables(measured: dict[str, Any]) -> str:
    """The page's tables, as Markdown."""
    lines = [
        "| measured, for each GB | tasks' CPU s | server's CPU s | WAL, GB | merge, s |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {cost.name} | {cost.tasks_cpu_seconds:.1f} | {cost.server_cpu_seconds:.1f} | {cost.wal_gb:.2f}"
        f" | {cost.merge_seconds:.1f} |"
        for cost in costs(measured)
    ]
    head = (
        "computed, 1 TB a day | within, h | worker cores | server cores | WAL, TB | WAL, MB/s | one table's merges, h"
    )
    lines += ["", f"| {head} |", "|" + " --- |" * (head.count("|") + 1)]
    for cost in costs(measured):
        for hours in (24.0, 8.0, 4.0):
            found = need(cost, TB, hours)
            lines.append(
                f"| {cost.name} | {hours:g} | {_cores(found.worker_cores)} | {_cores(found.server_cores)}"
                f" | {found.wal_gb / 1000:.1f} | {found.wal_mb_a_second:.0f} | {found.merge_hours:.1f} |"
            )
    rows = TB * 1e9 / BYTES_A_ROW
    lines += [
        "",
        f"A plan of 1 TB in one file: {rows / 1e9:.1f} billion rows, {rows * SCRATCH_A_ROW / 1e9:.0f} GB of scratch.",
    ]
    return "\n".join(lines)


def _cores(number: float) -> str:
    return f"{max(1, ceil(number))}"


def _line(measured: dict[str, Any], kind: str) -> dict[str, Any]:
    label = {"first": "Millrace, whole DAG run", "second": "Millrace, second file"}[kind]
    found: dict[str, Any] = next(line for line in measured["lines"] if line["label"] == label)
    return found


def _cost(name: str, line: dict[str, Any], merge_seconds: float) -> Cost:
    gigabytes = line["megabytes"] / 1000
    return Cost(
        name, line["client_cpu_seconds"] / gigabytes, line["server_cpu_seconds"] / gigabytes,
        line["wal_bytes"] / 1e9 / gigabytes, merge_seconds,
    )  # fmt: skip


if __name__ == "__main__":
    print(tables(json.loads(MEASURED.read_text())))
