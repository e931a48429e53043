"""Who Millrace is compared with.

A peer that is a Python program stands in a module of its own, runs in a venv of its own with the pins of
`bench/peers.txt`, and imports nothing of Millrace. All get the same: `BENCH_DSN` with the database, `BENCH_FILE`
with the CSV file, and an empty `public.orders` with its primary key to fill.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.measure import Run, run
from bench.peers import psql
from bench.place import PEERS, Place
from stack.settings import REPOSITORY

HERE = Path(__file__).parent
PINS = HERE.parent / "peers.txt"
INSTALL_SECONDS = 600.0


class Absent(Exception):
    """The peer can't be had here; the words say why."""


Command = Callable[[Place, Path], list[str]]


@dataclass(frozen=True)
class Peer:
    """One contender. `form` is the kind of file that it can take (see `files.FORMS`)."""

    name: str
    label: str
    command: Command
    form: str = "clean"
    source: Path | None = None
    table: str = "public.orders"

    def version(self) -> str:
        """Changes with the peer's script and pins."""
        content = (self.source.read_bytes() if self.source else b"") + "\n".join(pins(self.name)).encode()
        return hashlib.sha256(content).hexdigest()[:12]


def pins(name: str, source: Path = PINS) -> list[str]:
    """The requirements of one peer."""
    lines = [line.partition("  # ") for line in source.read_text().splitlines()]
    return [requirement for requirement, _, peer in lines if peer == name]


def execute(peer: Peer, place: Place, file: Path, timeout_seconds: float) -> Run:
    """Run the peer on a file; its target must be there. Raises Absent."""
    return run(
        peer.command(place, file), timeout_seconds=timeout_seconds, environment=environment(place, file),
        server=place.backends(PEERS), wal=place.wal, output=place.work / f"{peer.name}.log",
    )  # fmt: skip


def environment(place: Place, file: Path) -> dict[str, str]:
    """The caller's environment, where the data is and where it goes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "AIRFLOW"))}
    ours = {"BENCH_DSN": place.dsn(PEERS), "BENCH_FILE": str(file), "BENCH_WORK": str(place.work)}
    there = psycopg.conninfo.conninfo_to_dict(place.dsn(PEERS))
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    libpq = {variable: str(there[name]) for name, variable in names.items()}
    dlt = {"DLT_DATA_DIR": str(place.work / "dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    return {**kept, **ours, **libpq, **dlt, "PGTZ": "UTC"}


def _psql(script: Callable[[Mapping[str, str], Path], list[str]]) -> Command:
    def command(place: Place, file: Path) -> list[str]:
        columns = {name: column.sql_type.name for name, column in place.dataset.columns.items()}
        statements = [word for statement in script(columns, file) for word in ("-c", statement)]
        return [str(place.psql()), "-X", "-q", "-v", "ON_ERROR_STOP=1", *statements]

    return command


def _in_venv(name: str, script: str) -> Command:
    def command(place: Place, file: Path) -> list[str]:
        return [str(python_of(name, place.folder / "venvs")), str(HERE / script)]

    return command


def _pgloader(place: Place, file: Path) -> list[str]:
    if not shutil.which("pgloader"):
        raise Absent("not installed: apt-get install pgloader")
    return [sys.executable, str(HERE / "pgloader.py")]


def python_of(name: str, folder: Path, source: Path = PINS) -> Path:
    """The Python of a peer's venv, made when it misses or its pins changed. Raises Absent when it can't be made."""
    home = folder / name
    python, stamp = home / "bin" / "python", home / "pins"
    requirements = pins(name, source)
    wanted = "\n".join(requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    uv = Path(sys.executable).with_name("uv")
    venv.create(home, clear=True, with_pip=not uv.exists())
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if uv.exists():
        command = [str(uv), "pip", "install", "-q", "--system-certs", "--python", str(python)]
    try:
        done = subprocess.run(
            [*command, *requirements], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Absent("not installed: it took too long") from None
    if done.returncode:
        raise Absent(f"not installed: {(done.stderr.strip().splitlines() or ['it failed'])[-1].strip()}"[:120])
    stamp.write_text(wanted)
    return python


def _engine(place: Place, file: Path) -> list[str]:
    dataset = REPOSITORY / "include" / "datasets" / "orders.yaml"
    return [sys.executable, "-m", "include.ingest", "run", str(dataset), str(file)]


MILLRACE = Peer("millrace", "Millrace, whole DAG run", _engine, "dirty")  # the engine alone stands in for small tries
EXPERT = Peer("expert", "psql: COPY, DISTINCT ON, ON CONFLICT", _psql(psql.upsert), source=HERE / "psql.py")
GUARDED = Peer("guarded", "the same, unchanged rows left alone", _psql(psql.guarded), source=HERE / "psql.py")
COPY = Peer("copy", "psql: \\copy into the table", _psql(psql.copy), "unique", HERE / "psql.py")
TICKET = Peer(
    "ticket", "the ticket's script: pandas, Pool(4), to_sql",
    lambda place, file: [sys.executable, str(HERE / "ticket.py")], "unique", HERE / "ticket.py",
)  # fmt: skip
OTHERS = (
    Peer("dlt", "dlt, merge", _in_venv("dlt", "dlt_merge.py"), source=HERE / "dlt_merge.py", table="bench_dlt.orders"),
    Peer("polars", "Polars, ADBC, ON CONFLICT", _in_venv("polars", "polars_adbc.py"), source=HERE / "polars_adbc.py"),
    Peer("duckdb", "DuckDB, ON CONFLICT", _in_venv("duckdb", "duckdb_upsert.py"), source=HERE / "duckdb_upsert.py"),
    Peer("pgloader", "pgloader", _pgloader, "unique", source=HERE / "pgloader.py"),
)
