"""The same rows as a plain file, packed by gzip, and as an object of S3 on this machine: whole DAG runs, in turn."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from pathlib import Path

from bench.figures import Figure, Runs, number
from bench.files import File, make, size_name
from bench.harness import Bench
from bench.place import WAREHOUSE, Place
from bench.report import Sheet
from bench.runs import DagRun, Ingests
from bench.scale.ranges import BUCKET

MEGABYTES, QUICK_MEGABYTES = 1000.0, 30.0
REPEAT, QUICK_REPEAT = 3, 1
PACK_LEVEL = 6  # as the program gzip packs
CONNECTION = "bench_s3"
PLAIN, GZIP, S3 = "plain file", "gzip", "s3://"
SECONDS = attrgetter("seconds")


@dataclass
class Found:
    """The runs of each kind of source."""

    megabytes: float = 0.0
    packed_megabytes: float = 0.0
    runs: Runs[str, DagRun] = field(default_factory=Runs)


def measure(bench: Bench) -> Found:
    """Runs of each kind, one of each a repetition."""
    folder = Place().folder / "files"
    plain = make(folder, QUICK_MEGABYTES if bench.quick else MEGABYTES, ["dirty"])["dirty"]
    packed = _packed(plain)
    found = Found(plain.megabytes, packed.megabytes)
    with _server(folder), Place() as place:
        ingests = Ingests(place)
        ingests.warm_up()

        def load(kind: str, file: File, source: Path | str) -> DagRun:
            done = ingests.first_load(file, source)
            place.drop_all(WAREHOUSE)
            bench.say(f"  {kind}: {done.seconds:.1f} s")
            return done

        remote = f"s3://{CONNECTION}@{BUCKET}/{plain.path.name}"
        sources: list[tuple[str, File, Path | str]] = [
            (PLAIN, plain, plain.path), (GZIP, packed, packed.path), (S3, plain, remote)
        ]  # fmt: skip
        turns = {source[0]: partial(load, *source) for source in sources}
        found.runs.take_turns(turns, QUICK_REPEAT if bench.quick else REPEAT, warm_up=1)
    return found


def sheets(found: Found) -> list[Sheet]:
    """A line a kind of source."""
    runs = found.runs
    cells: dict[str, Callable[[str], str]] = {
        "source": str,
        "s, median": lambda kind: number(runs.median(kind, SECONDS)),
        "MB/s": lambda kind: number(runs.median(kind, lambda run: found.megabytes / run.seconds), 0),
        "against plain": lambda kind: number(runs.ratio(kind, PLAIN, SECONDS), 2),
        "plan, s": lambda kind: number(runs.median(kind, lambda run: run.parts[0])),
        "tasks' CPU s": lambda kind: number(runs.by[kind][-1].cost.client_cpu_seconds),
        "server's CPU s": lambda kind: number(runs.by[kind][-1].cost.server_cpu_seconds),
    }
    title = f"{size_name(found.megabytes)} of plain text, {found.packed_megabytes:,.0f} MB packed: whole DAG runs"
    return [Sheet.of(title, runs.by, cells)]


def figures(found: Found | None) -> list[Figure]:
    """Ratios of medians."""
    packed, remote = (found.runs.ratio(kind, PLAIN, SECONDS) if found else None for kind in (GZIP, S3))
    return [
        Figure("gzip / the plain file, 1 GB, whole DAG run", packed, 1.5, 1.1, full_size=True),
        Figure("s3:// on loopback / the local file, 1 GB, whole DAG run", remote, 1.3, 1.1, full_size=True),
    ]


def _packed(plain: File) -> File:
    """The file packed, made once."""
    path = plain.path.with_suffix(".csv.gz")
    if not path.exists():
        part = path.with_suffix(".part")
        with plain.path.open("rb") as source, gzip.open(part, "wb", compresslevel=PACK_LEVEL) as out:
            shutil.copyfileobj(source, out, 4 << 20)
        part.replace(path)
    return replace(plain, path=path, bytes=path.stat().st_size)


@contextmanager
def _server(folder: Path) -> Iterator[None]:
    """The S3 server in a process of its own, and Airflow's connection to it in the environment of the stack."""
    name = f"AIRFLOW_CONN_{CONNECTION.upper()}"
    with subprocess.Popen(
        [sys.executable, "-m", "bench.scale.ranges", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            extra = {"endpoint_url": f"http://127.0.0.1:{int(server.stdout.readline())}", "region_name": "us-east-1"}
            os.environ[name] = json.dumps({"conn_type": "aws", "login": "bench", "password": "bench", "extra": extra})
            yield
        finally:
            os.environ.pop(name, None)
            server.stdin.close()
            server.wait(30)
