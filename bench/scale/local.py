"""Whole DAG runs on one machine: a file as large as the disk allows, up to 20 GB, against one of 1 GB; and the same
rows as a plain file, packed by gzip, and as an object of S3 on this machine.

The disk has to hold the file, the table with its key, and the WAL of a load, of which PostgreSQL keeps `max_wal_size`
at the most: 3.4 bytes for each byte of the file. Staging takes no room of its own, as its table becomes the target.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import psycopg

from bench.figures import Figure, Row, Runs
from bench.files import File, make, size_name
from bench.harness import Bench, PartOf
from bench.place import WAREHOUSE, Place
from bench.report import Sheet
from bench.runs import Ingests
from bench.scale.ranges import BUCKET

MOST_GB, SMALL_MB = 20.0, 1000.0
QUICK_MB, QUICK_SMALL_MB, QUICK_SOURCE_MB = 60.0, 10.0, 30.0
BYTES_A_BYTE = 3.4  # of disk for each byte of the file
SPARE_GB = 12.0  # left to everything else on that disk
REPEAT, QUICK_REPEAT = 3, 1
PACK_LEVEL = 6  # as the program gzip packs
CONNECTION = "bench_s3"
PLAIN, GZIP, S3 = "plain file", "gzip", "s3://"


@dataclass
class Found:
    """Loads by size, `large` and `small`, or by kind of source; what there is to say of the files."""

    about: str
    megabytes: float
    runs: Runs = field(default_factory=Runs)


def load(bench: Bench, ingests: Ingests, file: File, source: Path | str | None = None) -> Row:
    """Into an empty table, which is dropped then."""
    if isinstance(source, Path):
        replace(file, path=source).warm()
    ingests.place.fresh_target(WAREHOUSE)
    run = ingests.run(file, source)
    with psycopg.connect(ingests.place.dsn(WAREHOUSE)) as connection:
        ((size,),) = connection.execute("SELECT pg_total_relation_size('public.orders')")
    ingests.place.drop_all(WAREHOUSE)
    plan, loads, merge = run.parts
    bench.say(f"  {source or size_name(file.megabytes)}: {run.seconds:.1f} s")
    each_gb = {
        "plan, s/GB": plan, "load, s/GB": loads, "merge, s/GB": merge, "tasks' CPU s/GB": run.cost.client_cpu_seconds,
        "server's CPU s/GB": run.cost.server_cpu_seconds, "WAL, GB/GB": run.cost.wal_bytes / 1e9,
        "table and key, GB/GB": int(size) / 1e9,
    }  # fmt: skip
    return {
        "s": run.seconds, "MB/s": file.megabytes / run.seconds, "Airflow, s": run.airflow_seconds,
        **{name: value / file.megabytes * 1000 for name, value in each_gb.items()},
        "tasks' peak RSS, MB": run.cost.peak_rss_bytes / 1e6,
    }  # fmt: skip


def measure_sizes(bench: Bench) -> Found:
    """A small run, a large one, a small one."""
    folder = bench.folder.parent / "files"
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    gigabytes = bench.options.gb or float(max(1, min(MOST_GB, (free - SPARE_GB) // BYTES_A_BYTE)))
    small = make(folder, QUICK_SMALL_MB if bench.quick else SMALL_MB, ["dirty"])["dirty"]
    large = make(folder, QUICK_MB if bench.quick else gigabytes * 1000, ["dirty"])["dirty"]
    found = Found(f"{free:.0f} GB of disk were free", large.megabytes)
    try:
        with Place() as place:
            ingests = Ingests(place)
            ingests.warm_up()
            one = {"small": lambda: load(bench, ingests, small)}
            found.runs.take_turns(one, 1, warm_up=1)  # a new server makes its first WAL files, which does not count
            found.runs.take_turns({"large": lambda: load(bench, ingests, large)} | one, 1)
    finally:
        if large.megabytes > 2 * small.megabytes:  # gives the disk back: it is made anew in minutes
            large.path.unlink(missing_ok=True)
            large.path.with_suffix(".json").unlink(missing_ok=True)
    if SMALL_MB < large.megabytes < MOST_GB * 1000:
        bench.notes.append(
            f"The large file has {size_name(large.megabytes)}, not 20 GB: {found.about}; file, table and WAL take "
            f"{BYTES_A_BYTE} bytes for each byte of it, and {SPARE_GB:g} GB are left alone."
        )
    return found


def figures_of_sizes(found: Found | None) -> list[Figure]:
    """The ratio of speeds."""
    large = found.megabytes if found and found.megabytes > SMALL_MB else MOST_GB * 1000
    speeds = found.runs.ratio("large", "small", "MB/s") if found else None
    return [Figure(f"MB/s at {size_name(large)} / MB/s at 1 GB", speeds, 0.85, 0.95, "higher", full_size=True)]


def measure_sources(bench: Bench) -> Found:
    """Runs of each kind, one of each a repetition."""
    folder = bench.folder.parent / "files"
    plain = make(folder, QUICK_SOURCE_MB if bench.quick else SMALL_MB, ["dirty"])["dirty"]
    packed = plain.path.with_suffix(".csv.gz")
    if not packed.exists():
        part = packed.with_suffix(".part")
        with plain.path.open("rb") as source, gzip.open(part, "wb", compresslevel=PACK_LEVEL) as out:
            shutil.copyfileobj(source, out, 4 << 20)
        part.replace(packed)
    found = Found(
        f"{size_name(plain.megabytes)} of plain text, {packed.stat().st_size / 1e6:,.0f} MB packed", plain.megabytes
    )
    with _server(folder), Place() as place:
        ingests = Ingests(place)
        ingests.warm_up()
        remote = f"s3://{CONNECTION}@{BUCKET}/{plain.path.name}"
        sources: dict[str, Path | str] = {PLAIN: plain.path, GZIP: packed, S3: remote}
        turns = {kind: partial(load, bench, ingests, plain, source) for kind, source in sources.items()}
        found.runs.take_turns(turns, QUICK_REPEAT if bench.quick else REPEAT, warm_up=1)
    return found


def figures_of_sources(found: Found | None) -> list[Figure]:
    """Ratios of medians."""
    runs = found.runs if found else Runs()
    return [
        Figure("gzip / the plain file, 1 GB, whole DAG run", runs.ratio(GZIP, PLAIN, "s"), 1.5, 1.1, full_size=True),
        Figure("s3:// on loopback / the local file, 1 GB, whole DAG run", runs.ratio(S3, PLAIN, "s"), 1.3, 1.1,
               full_size=True),
    ]  # fmt: skip


@contextmanager
def _server(folder: Path) -> Iterator[None]:
    """The S3 server in a process of its own, and Airflow's connection to it in the environment of the stack."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.scale.ranges", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            extra = {"endpoint_url": f"http://127.0.0.1:{int(server.stdout.readline())}", "region_name": "us-east-1"}
            connection = {"conn_type": "aws", "login": "bench", "password": "bench", "extra": extra}
            with patch.dict(os.environ, {f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(connection)}):
                yield
        finally:
            server.stdin.close()
            server.wait(30)


SIZES = PartOf(
    measure_sizes,
    lambda found: [Sheet.of(f"Size of a file, first load; {found.about}", "file", found.runs.medians())],
    figures_of_sizes,
)
SOURCES = PartOf(
    measure_sources,
    lambda found: [Sheet.of(f"{found.about}: whole DAG runs", "source", found.runs.medians())],
    figures_of_sources,
)
