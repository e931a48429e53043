"""Who Millrace is compared with. A contender that is a Python program has a module and a venv (`pins.txt`) of its own.

All get the same: `BENCH_DSN` with the database, `BENCH_FILE` with the CSV file, `BENCH_TYPES` with its columns, and an
empty `public.orders` with its primary key. Those that stage in `orders_new` upsert by the expert's `BENCH_UPSERT`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from bench.figures import Row
from bench.measure import Run, run
from bench.place import PEERS, Place
from bench.venvs import Absent, python_of
from stack.binaries import find_binaries
from stack.settings import REPOSITORY

HERE = Path(__file__).parent
PINS = HERE / "pins.txt"
RUN = ("-m", "include.ingest", "run", str(REPOSITORY / "include" / "datasets" / "orders.yaml"))
ROWS = 200
HEADER = "order_id,customer_id,placed_at,status,currency,amount,quantity,sku,email,express,ship_date,note"
NOTE = "second floor\nleft door"
KEY, FORMAT = "order_id", "WITH (FORMAT csv, HEADER true)"
Command = Callable[[Place, Path], list[str]]
Script = Callable[[Mapping[str, str], Path], list[str]]


@dataclass(frozen=True)
class Peer:
    """One contender. `form` is the kind of file that it can take (see `files.FORMS`)."""

    name: str
    label: str
    command: Command
    form: str = "clean"
    table: str = "public.orders"

    def load(self, place: Place, file: Path) -> Run:
        """Run it on a file, at 1 MB/s or faster; its target must be there. Raises Absent."""
        return run(
            self.command(place, file), timeout_seconds=60 + file.stat().st_size / 1e6,
            environment=environment(place, file), server=place.backends(PEERS), wal=place.wal,
            output=place.work / f"{self.name}.log",
        )  # fmt: skip


def environment(place: Place, file: Path) -> dict[str, str]:
    """The caller's environment, where the data is and where it goes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "AIRFLOW"))}
    ours = {
        "BENCH_DSN": place.dsn(PEERS), "BENCH_FILE": str(file), "BENCH_WORK": str(place.work),
        "BENCH_TYPES": json.dumps(_types(place)), "BENCH_UPSERT": _statement(_types(place)),
    }  # fmt: skip
    there = psycopg.conninfo.conninfo_to_dict(place.dsn(PEERS))
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    libpq = {variable: str(there[name]) for name, variable in names.items()}
    dlt = {"DLT_DATA_DIR": str(place.work / "dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    return {**kept, **ours, **libpq, **dlt, "PGTZ": "UTC"}


def _types(place: Place) -> dict[str, str]:
    return {name: column.sql_type.name for name, column in place.dataset.columns.items()}


def _psql(script: Script) -> Command:
    def command(place: Place, file: Path) -> list[str]:
        quoted = Path(str(file).replace("'", "''"))
        statements = [word for statement in script(_types(place), quoted) for word in ("-c", statement)]
        return [str(find_binaries() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", *statements]

    return command


# What an expert types into psql: the server's defaults but for work_mem; an unlogged staging table; the later row of a
# repeated key wins by its place in staging (`ctid`: one COPY into a new table keeps the file's order).
def _upsert(table: Mapping[str, str], file: Path) -> list[str]:
    """Stage and upsert, rewriting every row that is there already."""
    return _staged(table, file, _statement(table))


def _guarded(table: Mapping[str, str], file: Path) -> list[str]:
    """Stage and upsert, rewriting only rows that differ."""
    rest = [name for name in table if name != KEY]
    old, new = (", ".join(f"{side}.{name}" for name in rest) for side in ("orders", "excluded"))
    return _staged(table, file, f"{_statement(table)} WHERE ({old}) IS DISTINCT FROM ({new})")


def _copy(table: Mapping[str, str], file: Path) -> list[str]:
    """Straight into the table."""
    return [f"\\copy orders ({', '.join(table)}) FROM '{file}' {FORMAT}"]


def _statement(table: Mapping[str, str]) -> str:
    """The upsert itself."""
    names = ", ".join(table)
    changes = ", ".join(f"{name} = excluded.{name}" for name in table if name != KEY)
    return (
        f"INSERT INTO orders ({names}) SELECT DISTINCT ON ({KEY}) {names} FROM orders_new ORDER BY {KEY}, ctid DESC"
        f" ON CONFLICT ({KEY}) DO UPDATE SET {changes}, processed_at = now()"
    )


def _staged(table: Mapping[str, str], file: Path, statement: str) -> list[str]:
    return [
        "SET work_mem = '256MB'",
        f"CREATE UNLOGGED TABLE orders_new ({', '.join(f'{name} {kind}' for name, kind in table.items())})",
        f"\\copy orders_new FROM '{file}' {FORMAT}",
        statement,
        "DROP TABLE orders_new",
    ]


def _python(*words: str) -> Command:
    return lambda place, file: [sys.executable, *words, str(file)]


def _in_venv(name: str, script: str) -> Command:
    return lambda place, file: [str(python_of(name, place.folder / "venvs", PINS)), str(HERE / script)]


def _pgloader(place: Place, file: Path) -> list[str]:
    if not shutil.which("pgloader"):
        raise Absent("not installed: apt-get install pgloader")
    return [sys.executable, str(HERE / "pgloader.py")]


MILLRACE = Peer("millrace", "Millrace, whole DAG run", _python(*RUN), "dirty")  # the engine alone does small tries
PROFILE = Peer("profile", "the engine in one process", _python("-m", "bench.profile"), "dirty")
EXPERT = Peer("expert", "psql: COPY, DISTINCT ON, ON CONFLICT", _psql(_upsert))
GUARDED = Peer("guarded", "the same, unchanged rows left alone", _psql(_guarded))
COPY = Peer("copy", "psql: \\copy into the table", _psql(_copy), "unique")
TICKET = Peer("ticket", "the ticket's script: pandas, Pool(4), to_sql", _python(str(HERE / "ticket.py")), "unique")
OTHERS = (
    Peer("dlt", "dlt, merge", _in_venv("dlt", "dlt_merge.py"), table="bench_dlt.orders"),
    Peer("polars", "Polars, ADBC, ON CONFLICT", _in_venv("polars", "polars_adbc.py")),
    Peer("duckdb", "DuckDB, ON CONFLICT", _in_venv("duckdb", "duckdb_upsert.py")),
    Peer("pgloader", "pgloader", _pgloader, "unique"),
)


def traits_of(peer: Peer, place: Place) -> Row:
    """What a contender can do, found out by trying it on tiny files. Raises Absent."""
    first, second, bad = (place.work / f"tiny-{name}.csv" for name in ("first", "second", "bad"))
    first.write_text(_lines(range(1, ROWS + 1), amount="1.50"))
    second.write_text(_lines(range(ROWS, ROWS + 2), amount="2.50"))
    bad.write_text(_lines(range(1, ROWS + 1), amount="1.50").replace("7,1007,", "7,twelve,", 1))
    place.fresh_target(PEERS)
    peer.load(place, first)
    notes = _read(place, peer, "note", 2)
    peer.load(place, second)
    changed = _read(place, peer, "amount::text::numeric = 2.5", ROWS) == [True]
    upserted = changed and place.count(PEERS, peer.table) == ROWS + 1
    place.fresh_target(PEERS)
    peer.load(place, bad)
    survived = _read(place, peer, "order_id", ROWS) == [ROWS] and not _read(place, peer, "order_id", 7)
    found = {"upserts": upserted, "survives a bad row": survived, "quoted newlines": notes == [NOTE]}
    return {name: "yes" if able else "no" for name, able in found.items()}


def _lines(ids: range, amount: str) -> str:
    rows = [
        f"{i},{i + 1000},2026-03-0{i % 9 + 1}T10:00:00Z,paid,EUR,{amount},1,SKU-1,a@example.com,true,2026-03-10,"
        + ("plain" if i % 2 else f'"{NOTE}"')
        for i in ids
    ]
    return "\n".join([HEADER, *rows, ""])


def _read(place: Place, peer: Peer, what: str, order_id: int) -> list[object]:
    table = sql.Identifier(*peer.table.split("."))
    with psycopg.connect(place.dsn(PEERS)) as connection:
        try:
            query = sql.SQL("SELECT {} FROM {} WHERE order_id = %s").format(sql.SQL(what), table)
            return [value for (value,) in connection.execute(query, [order_id])]
        except psycopg.errors.UndefinedTable:
            return []
