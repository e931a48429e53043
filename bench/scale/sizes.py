"""A file as large as the disk allows, up to 20 GB, against one of 1 GB: whole DAG runs on one machine.

The disk has to hold the file, the table with its key, and the WAL of a load, of which PostgreSQL keeps `max_wal_size`
at the most: 3.4 bytes for each byte of the file. Staging takes no room of its own, as its table becomes the target.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from bench.figures import Figure, Runs, number, ratio
from bench.files import File, make, size_name
from bench.harness import Bench
from bench.place import WAREHOUSE, Place
from bench.report import Sheet
from bench.runs import DagRun, Ingests

MOST_GB, SMALL_MB = 20.0, 1000.0
QUICK_MB, QUICK_SMALL_MB = 60.0, 10.0
BYTES_A_BYTE = 3.4  # of disk for each byte of the file
SPARE_GB = 12.0  # left to everything else on that disk


@dataclass(frozen=True)
class Sized:
    """A run, and what its table takes with the key."""

    file: File
    run: DagRun
    table_bytes: int

    @property
    def speed(self) -> float:
        """MB/s."""
        return self.file.megabytes / self.run.seconds


@dataclass
class Found:
    """Runs of both sizes, `large` and `small`."""

    reason: str  # why the large one is not larger
    runs: Runs[str, Sized] = field(default_factory=Runs)


def measure(bench: Bench) -> Found:
    """A small run, a large one, a small one."""
    folder = Place().folder / "files"
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    gigabytes = bench.options.gb or float(max(1, min(MOST_GB, (free - SPARE_GB) // BYTES_A_BYTE)))
    found = Found(f"{free:.0f} GB of disk were free")
    bench.say(f"files, the large one of {QUICK_MB / 1000 if bench.quick else gigabytes:g} GB: {found.reason}")
    small = make(folder, QUICK_SMALL_MB if bench.quick else SMALL_MB, ["dirty"])["dirty"]
    large = make(folder, QUICK_MB if bench.quick else gigabytes * 1000, ["dirty"])["dirty"]

    def load(file: File) -> Sized:
        run = ingests.first_load(file)
        with psycopg.connect(place.dsn(WAREHOUSE)) as connection:
            ((size,),) = connection.execute("SELECT pg_total_relation_size('public.orders')")
        place.drop_all(WAREHOUSE)
        done = Sized(file, run, int(size))
        bench.say(f"  {size_name(file.megabytes)}: {run.seconds:.1f} s, {done.speed:.0f} MB/s")
        return done

    try:
        with Place() as place:
            ingests = Ingests(place)
            ingests.warm_up()
            one, other = {"small": lambda: load(small)}, {"large": lambda: load(large)}
            found.runs.take_turns(one, 1, warm_up=1)  # a new server makes its first WAL files, which does not count
            found.runs.take_turns(other | one, 1)
    finally:
        if large.megabytes > 2 * small.megabytes:  # gives the disk back: it is made anew in minutes
            large.path.unlink(missing_ok=True)
            large.path.with_suffix(".json").unlink(missing_ok=True)
    if SMALL_MB < large.megabytes < MOST_GB * 1000:
        bench.notes.append(
            f"The large file has {size_name(large.megabytes)}, not 20 GB: {found.reason}; file, table and WAL take "
            f"{BYTES_A_BYTE} bytes for each byte of it, and {SPARE_GB:g} GB are left alone."
        )
    return found


def sheets(found: Found) -> list[Sheet]:
    """A line a run."""

    def each_gb(of: Callable[[DagRun], float], digits: int) -> Callable[[Sized], str]:
        return lambda one: number(of(one.run) / one.file.megabytes * 1000, digits)

    cells: dict[str, Callable[[Sized], str]] = {
        "file": lambda one: size_name(one.file.megabytes),
        "s": lambda one: number(one.run.seconds),
        "MB/s": lambda one: number(one.speed),
        "plan, s/GB": each_gb(lambda run: run.parts[0], 2),
        "load, s/GB": each_gb(lambda run: run.parts[1], 2),
        "merge, s/GB": each_gb(lambda run: run.parts[2], 2),
        "Airflow, s": lambda one: number(one.run.airflow_seconds),
        "tasks' CPU s/GB": each_gb(lambda run: run.cost.client_cpu_seconds, 1),
        "server's CPU s/GB": each_gb(lambda run: run.cost.server_cpu_seconds, 1),
        "WAL, GB/GB": each_gb(lambda run: run.cost.wal_bytes / 1e9, 2),
        "table and key, GB/GB": lambda one: number(one.table_bytes / one.file.bytes, 2),
        "tasks' peak RSS, MB": lambda one: number(one.run.cost.peak_rss_bytes, 0, 1e6),
    }
    runs = [*found.runs.by["small"], *found.runs.by["large"]]
    return [Sheet.of(f"Size of a file, first load; {found.reason}", runs, cells)]


def figures(found: Found | None) -> list[Figure]:
    """The ratio of speeds."""
    large = found.runs.by["large"][0].file.megabytes if found else MOST_GB * 1000
    speeds = [found.runs.median(name, lambda one: one.speed) if found else None for name in ("large", "small")]
    name = f"MB/s at {size_name(large if large > SMALL_MB else MOST_GB * 1000)} / MB/s at 1 GB"
    return [Figure(name, ratio(*speeds), 0.85, 0.95, "higher", full_size=True)]
