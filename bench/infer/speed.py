"""How long `init` takes beside the ingest of the same file, both as a user starts them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench import files
from bench.figures import Figure, Row, Runs
from bench.harness import Bench
from bench.report import Sheet
from include.warehouse import migrate
from stack import databases
from stack.ports import free_port, scratch_folder
from stack.postgres import PostgresServer
from stack.settings import REPOSITORY

FULL_MB, QUICK_MB, ROUNDS = 1000.0, 60.0, 3
INIT, INGEST = "init", "ingest"


def measure(bench: Bench) -> Runs:
    """Both in turn."""
    file = files.make(bench.folder / "files", QUICK_MB if bench.quick else FULL_MB, ["clean"])["clean"].path
    runs = Runs()
    with _server() as dsn:
        runs.take_turns(
            {INIT: lambda: _init(file, bench.folder), INGEST: lambda: _ingest(file, dsn)},
            1 if bench.quick else ROUNDS,
            warm_up=1,
        )
    return runs


def sheets(runs: Runs) -> list[Sheet]:
    """Seconds of both."""
    return [Sheet.of("Seconds for the same file", "command", runs.medians())]


def figures(runs: Runs | None) -> list[Figure]:
    """Their ratio."""
    value = runs.ratio(INIT, INGEST, "seconds") if runs else None
    return [Figure("init over ingest, the same file", value, 0.5, 0.25, full_size=True)]


@contextmanager
def _server() -> Iterator[str]:
    """The URL of a warehouse."""
    folder = scratch_folder("millrace-bench-")
    server = PostgresServer(folder / "data", free_port())
    server.start()
    try:
        databases.prepare(server.dsn(), {"airflow": "airflow-secret", "ingest": "ingest-secret"})
        dsn = server.dsn("warehouse", "ingest", "ingest-secret")
        with psycopg.connect(dsn, autocommit=True) as connection:
            migrate.apply(connection)
        yield dsn
    finally:
        server.destroy()


def _init(file: Path, folder: Path) -> Row:
    return _timed("init", str(file), "--output", str(folder / "orders.yaml"), "--force")


def _ingest(file: Path, dsn: str) -> Row:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS public.orders")
    dataset = REPOSITORY / "include" / "datasets" / "orders.yaml"
    return _timed("run", str(dataset), str(file), "--dsn", dsn, "--force")


def _timed(*arguments: str) -> Row:
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "include.ingest", *arguments],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        timeout=900,
    )
    return {"seconds": round(time.monotonic() - began, 2)}
