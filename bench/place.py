"""Where the benchmark runs: a stack of its own, in `.millrace/bench/`, with the settings of the stack that users start.

Millrace writes to `public.orders` of database `warehouse`, its contenders to `public.orders` of database `bench`, on
the same server. A stack of its own, because the benchmark drops tables and unpauses a DAG: never in a user's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import psycopg
from psycopg import sql

from bench.airflow import Airflow
from bench.measure import Pick, Snapshot, descendants
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset_file import load_dataset
from samples.orders import Shape, write
from stack import commands
from stack.errors import StackError
from stack.postgres import PostgresServer
from stack.processes import Register
from stack.settings import REPOSITORY, Settings, state_folder

WARM_ROWS = 2000
WAREHOUSE, PEERS = "warehouse", "bench"
COMPONENTS = ("scheduler", "api-server", "dag-processor", "triggerer")


class Place:
    """The running stack. Use it as a context; a stack that it started ends with it unless `keep`."""

    def __init__(self, *, keep: bool = False, settle_seconds: float = 2.0) -> None:
        self.folder = state_folder() / "bench"
        self.work = self.folder / "work"
        self.keep, self.settle_seconds = keep, settle_seconds
        self.dataset: Dataset = load_dataset(REPOSITORY / "include" / "datasets" / "orders.yaml")
        self._exits = ExitStack()

    def __enter__(self) -> Place:
        (self.folder / "stack").mkdir(parents=True, exist_ok=True)
        with ExitStack() as exits:
            lock = exits.enter_context((self.folder / "lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError("another benchmark runs already") from None
            self.work.mkdir(exist_ok=True)
            exits.callback(shutil.rmtree, self.work, ignore_errors=True)
            exits.enter_context(patch.dict(os.environ, MILLRACE_STATE=str(self.folder / "stack")))
            self.was_up = commands.is_up(Settings.load())
            if not self.keep and not self.was_up:
                exits.callback(commands.down)
            self._start()
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _start(self) -> None:
        self.settings = commands.up()
        self.server = PostgresServer(self.settings.data_dir)
        self.admin = psycopg.connect(self.server.dsn(), autocommit=True)
        self._watch_wal = psycopg.connect(self.server.dsn(), autocommit=True)
        if not self.admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [PEERS]).fetchone():
            self.admin.execute(sql.SQL("CREATE DATABASE {} OWNER ingest").format(sql.Identifier(PEERS)))
        self.warm_file = serve_the_schedule(self.settings.inbox, WARM_ROWS)
        Airflow(self.settings).await_dag("audit_memory", paused=True)  # it would come in between every ten minutes

    def dsn(self, database: str) -> str:
        """The connection URL of a database, as its owner."""
        known = self.settings.database_url("warehouse")
        return known if database == WAREHOUSE else f"{known.rpartition('/')[0]}/{database}"

    def fresh_target(self, database: str) -> None:
        """An empty `public.orders` with its primary key, after a checkpoint and a moment of rest."""
        self.drop_all(database)
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            connection.execute(target_ddl(self.dataset))
        self.settle()

    def drop_all(self, database: str) -> None:
        """Remove what runs have left, to give the disk back."""
        shutil.rmtree(self.work / "dlt", ignore_errors=True)
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS bench_dlt CASCADE")
            connection.execute("DROP SCHEMA IF EXISTS bench_dlt_staging CASCADE")
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (name,) in tables:
                connection.execute(sql.SQL("DROP TABLE public.{} CASCADE").format(sql.Identifier(name)))

    def keep_copy(self) -> None:
        """Set a copy of the contenders' table aside."""
        with psycopg.connect(self.dsn(PEERS), autocommit=True) as connection:
            connection.execute("CREATE TABLE orders_kept (LIKE orders INCLUDING DEFAULTS)")
            connection.execute("INSERT INTO orders_kept SELECT * FROM orders")
            connection.execute("ALTER TABLE orders_kept ADD PRIMARY KEY (order_id)")
        self.settle()

    def restore_copy(self) -> None:
        """Put the copy in the table's place."""
        with psycopg.connect(self.dsn(PEERS), autocommit=True) as connection:
            connection.execute("DROP TABLE orders")
            connection.execute("ALTER TABLE orders_kept RENAME TO orders")
        self.settle()

    def settle(self) -> None:
        """Write out what earlier work left in memory, so that the next run does not pay for it."""
        self.admin.execute("CHECKPOINT")
        time.sleep(self.settle_seconds)

    def count(self, database: str, table: str = "public.orders") -> int:
        """Rows in a table."""
        name = sql.Identifier(*table.split("."))
        with psycopg.connect(self.dsn(database)) as connection:
            ((rows,),) = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name))
        return int(rows)

    def wal(self) -> int:
        """Bytes of WAL written since the server was made."""
        ((written,),) = self._watch_wal.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
        return int(written)

    def backends(self, database: str) -> Pick:
        """The server's processes that work for a database, parallel workers included; for "" those for none.

        PostgreSQL gives them titles: `postgres: role database address activity`.
        """
        server, known = self.server.pid or 0, dict[tuple[int, int], str]()

        def of(processes: Snapshot, pid: int) -> str:
            identity, words = (pid, processes[pid].started), list[str]()
            if identity not in known:
                with suppress(OSError):
                    words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").split()
                if not words or words[0] != "postgres:":
                    return "?"  # too young to have its title
                if words[1:4] == ["parallel", "worker", "for"]:
                    leader = int(words[-1])
                    known[identity] = of(processes, leader) if leader in processes else "?"
                else:
                    known[identity] = words[2] if len(words) > 3 and "(" in words[3] else ""
            return known[identity]

        return lambda processes: [
            pid for pid in descendants(processes, server, depth=1) if of(processes, pid) == database
        ]

    def tasks(self) -> Pick:
        """Airflow's task processes: what the executor's workers, children of the scheduler, fork."""
        scheduler = self.component("scheduler")
        return lambda processes: descendants(processes, scheduler, depth=2)

    def airflow(self) -> Pick:
        """All other processes of Airflow."""
        tasks, roots = self.tasks(), [self.component(name) for name in COMPONENTS]
        return lambda processes: {pid for root in roots for pid in descendants(processes, root)} - set(tasks(processes))

    def component(self, name: str) -> int:
        """The pid of one of the stack's processes. Raises StackError when it does not run."""
        entry = Register(self.settings.state / "processes.json").alive(name)
        if entry is None:
            raise StackError(f"{name} does not run")
        return entry.pid


def serve_the_schedule(inbox: Path, rows: int, first_id: int = 1) -> Path:
    """Small files for the scheduled runs, which would otherwise wait for theirs and hold up the benchmark's; one."""
    folder = inbox / "orders"
    folder.mkdir(parents=True, exist_ok=True)
    for days in (0, 1):
        path = folder / f"orders_{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}.csv"
        if not path.exists():
            with path.with_suffix(".new").open("wb") as out:
                write(out, Shape(rows, bad=0.0, seed=days + 90, first_id=first_id))
            path.with_suffix(".new").rename(path)
    return path


def target_ddl(dataset: Dataset) -> sql.Composed:
    """The table that everybody loads: the dataset's columns, `processed_at`, and the key."""
    columns = [
        sql.SQL("{} {}{}").format(sql.Identifier(name), sql.SQL(column.sql_type.name), sql.SQL(null))
        for name, column in dataset.columns.items()
        for null in ["" if column.nullable else " NOT NULL"]
    ]
    key = sql.SQL(", ").join(map(sql.Identifier, dataset.key))
    return sql.SQL("CREATE TABLE public.orders ({}, {}, PRIMARY KEY ({}))").format(
        sql.SQL(", ").join(columns), sql.SQL("processed_at timestamptz NOT NULL DEFAULT now()"), key
    )
