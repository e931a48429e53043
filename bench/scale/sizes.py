"""A file as large as the disk allows, up to 20 GB, against one of 1 GB: whole DAG runs on one machine.

The disk has to hold the file, the table with its key, and the WAL of a load, of which PostgreSQL keeps `max_wal_size`
at the most: 3.4 bytes for each byte of the file. Staging takes no room of its own, as its table becomes the target.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg

from bench.figures import Figure
from bench.files import File, make
from bench.ingest import check, size_name
from bench.place import WAREHOUSE, Place
from bench.report import Sheet
from bench.runs import Airflow, DagRun

MOST_GB, SMALL_MB = 20.0, 1000.0
QUICK_MB, QUICK_SMALL_MB = 60.0, 10.0
BYTES_A_BYTE = 3.4  # of disk for each byte of the file
SPARE_GB = 12.0  # left to everything else on that disk


@dataclass
class Found:
    """Runs of both sizes."""

    large: list[DagRun] = field(default_factory=list)
    small: list[DagRun] = field(default_factory=list)
    large_megabytes: float = 0.0
    small_megabytes: float = 0.0
    reason: str = ""  # why the large one is not larger
    table_bytes: dict[str, int] = field(default_factory=dict)  # by run, with the key

    @property
    def ratio(self) -> float | None:
        """MB/s of the large file against that of the small one."""
        if not (self.large and self.small):
            return None
        large, small = (median(run.seconds for run in runs) for runs in (self.large, self.small))
        return (self.large_megabytes / large) / (self.small_megabytes / small)


def largest_gb(free_bytes: float) -> float:
    """The size of file, in whole GB, that a disk with so much room can take."""
    return float(max(1, min(MOST_GB, (free_bytes / 1e9 - SPARE_GB) // BYTES_A_BYTE)))


def measure(*, quick: bool, gigabytes: float | None, say: Callable[[str], None]) -> Found:
    """A small run, a large one, a small one."""
    folder = Place().folder / "files"
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    gigabytes = gigabytes or largest_gb(free)
    found = Found(reason=f"{free / 1e9:.0f} GB of disk were free")
    say(f"files, the large one of {QUICK_MB / 1000 if quick else gigabytes:g} GB: {found.reason}")
    small = make(folder, QUICK_SMALL_MB if quick else SMALL_MB, ["dirty"])["dirty"]
    large = make(folder, QUICK_MB if quick else gigabytes * 1000, ["dirty"])["dirty"]
    found.large_megabytes, found.small_megabytes = large.megabytes, small.megabytes
    try:
        with Place() as place:
            airflow = Airflow(place)
            airflow.warm_up()
            _run(place, airflow, small, found)  # a server just made writes its first WAL files, which counts for nobody
            for file, runs in ((small, found.small), (large, found.large), (small, found.small)):
                runs.append(_run(place, airflow, file, found))
                seconds = runs[-1].seconds
                say(f"  {size_name(file.megabytes)}: {seconds:.1f} s, {file.megabytes / seconds:.0f} MB/s")
    finally:
        if large.megabytes > 2 * small.megabytes:
            _remove(large.path)
    return found


def _run(place: Place, airflow: Airflow, file: File, found: Found) -> DagRun:
    place.fresh_target(WAREHOUSE)
    file.warm()
    done = airflow.run(file.path, timeout_seconds=600 + file.megabytes / 5)
    check(done, file, place.count(WAREHOUSE), {})
    with psycopg.connect(place.dsn(WAREHOUSE)) as connection:
        size = connection.execute("SELECT pg_total_relation_size('public.orders')").fetchone()
    found.table_bytes[done.account["run_id"]] = int(size[0]) if size else 0
    place.drop_all(WAREHOUSE)
    return done


def _remove(path: Path) -> None:
    """Give the disk back: a large file is made anew in minutes."""
    path.unlink(missing_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)


def sheets(found: Found) -> list[Sheet]:
    """A line a run."""
    rows = []
    runs = [(found.small_megabytes, run) for run in found.small] + [(found.large_megabytes, run) for run in found.large]
    for megabytes, run in runs:
        gigabytes = megabytes / 1000
        tasks, server, wal = run.trace.cpu_seconds("tasks"), run.trace.cpu_seconds("server"), run.trace.wal_bytes()
        plan, merge = float(run.account["plan_seconds"] or 0), float(run.account["merge_seconds"] or 0)
        loads = run.work_seconds - plan - merge
        rows.append([
            size_name(megabytes), f"{run.seconds:.1f}", f"{megabytes / run.seconds:.1f}",
            *(f"{part / gigabytes:.2f}" for part in (plan, loads, merge)), f"{run.airflow_seconds:.1f}",
            f"{tasks / gigabytes:.1f}", f"{server / gigabytes:.1f}", f"{wal / 1e9 / gigabytes:.2f}",
            f"{found.table_bytes[run.account['run_id']] / 1e9 / gigabytes:.2f}",
            f"{run.trace.peak_rss_bytes('tasks') / 1e6:.0f}",
        ])  # fmt: skip
    columns = ("file", "s", "MB/s", "plan, s/GB", "load, s/GB", "merge, s/GB", "Airflow, s", "tasks' CPU s/GB",
               "server's CPU s/GB", "WAL, GB/GB", "table and key, GB/GB", "tasks' peak RSS, MB")  # fmt: skip
    return [Sheet(f"Size of a file, first load; {found.reason}", columns, rows)]


def figures(found: Found | None) -> list[Figure]:
    """The ratio of speeds."""
    name = f"MB/s at {size_name(found.large_megabytes) if found else '20 GB'} / MB/s at 1 GB"
    ratio = found.ratio if found else None
    return [Figure(name, None if ratio is None else round(ratio, 3), 0.85, 0.95, "higher")]
