"""The same rows as a plain file, packed by gzip, and as an object of S3 on this machine: whole DAG runs, in turn."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from bench.figures import Figure
from bench.files import File, make
from bench.ingest import check, size_name
from bench.place import WAREHOUSE, Place
from bench.report import Sheet
from bench.runs import Airflow, DagRun
from bench.scale.ranges import BUCKET

MEGABYTES, QUICK_MEGABYTES = 1000.0, 30.0
REPEAT, QUICK_REPEAT = 3, 1
PACK_LEVEL = 6  # as the program gzip packs
CONNECTION = "bench_s3"
PLAIN, GZIP, S3 = "plain file", "gzip", "s3://"


@dataclass
class Found:
    """The runs of each kind of source."""

    megabytes: float = 0.0
    packed_megabytes: float = 0.0
    runs: dict[str, list[DagRun]] = field(default_factory=lambda: defaultdict(list))

    def seconds(self, kind: str) -> float | None:
        """Median of whole runs."""
        return median(run.seconds for run in self.runs[kind]) if self.runs[kind] else None


def measure(*, quick: bool, say: Callable[[str], None]) -> Found:
    """Runs of each kind, one of each a repetition."""
    found = Found()
    folder = Place().folder / "files"
    say("files")
    plain = make(folder, QUICK_MEGABYTES if quick else MEGABYTES, ["dirty"])["dirty"]
    packed = _packed(plain)
    found.megabytes, found.packed_megabytes = plain.megabytes, packed.megabytes
    with _server(folder) as port, _connection(port), Place() as place:
        airflow = Airflow(place)
        airflow.warm_up()
        sources: dict[str, Path | str] = {
            PLAIN: plain.path, GZIP: packed.path, S3: f"s3://{CONNECTION}@{BUCKET}/{plain.path.name}",
        }  # fmt: skip
        for number in range(-1, QUICK_REPEAT if quick else REPEAT):  # the first round counts for nobody
            for kind, source in sources.items():
                place.fresh_target(WAREHOUSE)
                (packed if kind == GZIP else plain).warm()
                done = airflow.run(source, timeout_seconds=600 + plain.megabytes)
                check(done, plain, place.count(WAREHOUSE), {})
                place.drop_all(WAREHOUSE)
                say(f"  {kind}: {done.seconds:.1f} s{' (not counted)' if number < 0 else ''}")
                if number >= 0:
                    found.runs[kind].append(done)
    return found


def sheets(found: Found) -> list[Sheet]:
    """A line a kind of source."""
    plain = found.seconds(PLAIN)
    rows = []
    for kind, runs in found.runs.items():
        seconds, last = found.seconds(kind), runs[-1]
        if seconds is None or plain is None:
            continue
        plans = [float(run.account["plan_seconds"] or 0) for run in runs]
        rows.append([
            kind, f"{seconds:.1f}", f"{found.megabytes / seconds:.0f}", f"{seconds / plain:.2f}",
            f"{median(plans):.1f}", f"{last.trace.cpu_seconds('tasks'):.1f}", f"{last.trace.cpu_seconds('server'):.1f}",
        ])  # fmt: skip
    title = f"{size_name(found.megabytes)} of plain text, {found.packed_megabytes:,.0f} MB packed: whole DAG runs"
    columns = ("source", "s, median", "MB/s", "against plain", "plan, s", "tasks' CPU s", "server's CPU s")
    return [Sheet(title, columns, rows)]


def figures(found: Found | None) -> list[Figure]:
    """Ratios of medians."""
    plain, packed, remote = (found.seconds(kind) if found else None for kind in (PLAIN, GZIP, S3))
    return [
        Figure("gzip / the plain file, 1 GB, whole DAG run", _ratio(packed, plain), 1.5, 1.1),
        Figure("s3:// on loopback / the local file, 1 GB, whole DAG run", _ratio(remote, plain), 1.3, 1.1),
    ]


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return round(ours / theirs, 3) if ours is not None and theirs else None


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
def _server(folder: Path) -> Iterator[int]:
    """The S3 server in a process of its own; gives its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.scale.ranges", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.stdin.close()
            server.wait(30)


@contextmanager
def _connection(port: int) -> Iterator[None]:
    """Airflow's connection to it, in the environment that the stack starts with."""
    name = f"AIRFLOW_CONN_{CONNECTION.upper()}"
    extra = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"}
    os.environ[name] = json.dumps({"conn_type": "aws", "login": "bench", "password": "bench", "extra": extra})
    try:
        yield
    finally:
        del os.environ[name]
