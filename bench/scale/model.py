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
    """Of a day. `merge_hours` are in one table, one run after the other."""

    worker_cores: float
    server_cores: float
    wal_gb: float
    wal_mb_a_second: float
    merge_hours: float


def costs(measured: dict[str, Any]) -> list[Cost]:
    """A first load (a new table or partition), and the next day's file, which is compared with a full table."""
    lines = {line["label"]: line for line in reversed(measured["lines"])}  # the large file's come first
    first, second = lines["Millrace, whole DAG run"], lines["Millrace, second file"]
    steps = {step: measured["profile"][step]["seconds"] for step in ("plan", "load", "merge")}
    # Where the second file's time goes was not measured apart: all of it but what a first load takes to plan and load.
    rest = second["seconds"][0] - steps["plan"] - steps["load"]
    return [
        _cost("first load", first, steps["merge"]),
        _cost("next day's file, 10 % changed", second, rest),
    ]


def need(cost: Cost, gigabytes: float, hours: float) -> Need:
    """What so many GB take when they are to be in within so many hours."""
    seconds, wal = hours * 3600, gigabytes * cost.wal_gb
    workers, server = (
        gigabytes * cpu / seconds / PER_CORE for cpu in (cost.tasks_cpu_seconds, cost.server_cpu_seconds)
    )
    return Need(workers, server, wal, wal * 1000 / seconds, gigabytes * cost.merge_seconds / 3600)


def tables(measured: dict[str, Any]) -> str:
    """The page's tables, as Markdown."""
    lines = [
        "| measured, for each GB | tasks' CPU s | server's CPU s | WAL, GB | merge, s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for cost in costs(measured):
        cpu = f"{cost.tasks_cpu_seconds:.1f} | {cost.server_cpu_seconds:.1f}"
        lines.append(f"| {cost.name} | {cpu} | {cost.wal_gb:.2f} | {cost.merge_seconds:.1f} |")
    head = "within, h | worker cores | server cores | WAL, TB | WAL, MB/s | one table's merges, h"
    lines += ["", f"| computed, 1 TB a day | {head} |", "|" + " --- |" * 7]
    for cost in costs(measured):
        for hours in (24.0, 8.0, 4.0):
            found = need(cost, TB, hours)
            cores = f"{max(1, ceil(found.worker_cores))} | {max(1, ceil(found.server_cores))}"
            wal = f"{found.wal_gb / 1000:.1f} | {found.wal_mb_a_second:.0f}"
            lines.append(f"| {cost.name} | {hours:g} | {cores} | {wal} | {found.merge_hours:.1f} |")
    rows = TB * 1e9 / BYTES_A_ROW
    scratch = rows * SCRATCH_A_ROW / 1e9
    return "\n".join(
        [*lines, "", f"A plan of 1 TB in one file: {rows / 1e9:.1f} billion rows, {scratch:.0f} GB of scratch."]
    )


def _cost(name: str, line: dict[str, Any], merge_seconds: float) -> Cost:
    used = line["client_cpu_seconds"], line["server_cpu_seconds"], line["wal_bytes"] / 1e9, merge_seconds
    return Cost(name, *(one / (line["megabytes"] / 1000) for one in used))


if __name__ == "__main__":
    print(tables(json.loads(MEASURED.read_text())))
