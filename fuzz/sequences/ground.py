"""The ground a sequence is played on: a warehouse in a PostgreSQL, what is seen of it, and its connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, sql

from fuzz.sequences.model import NEVER, Account, Values
from fuzz.sequences.shapes import Shape
from include.warehouse import migrate

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# A lock that is never let go is a difference, not a standstill.
BOUNDED = "-c lock_timeout=20s -c statement_timeout=60s -c timezone=UTC -c client_min_messages=error"
PLAYED = 60  # sequences that share a database: its catalogue grows by what they leave behind
COUNTS = ("read", "inserted", "updated", "unchanged", "superseded", "stale", "rejected", "deleted")
Seen = dict[Any, tuple[Values, int]]


def instant(version: int) -> datetime:
    """The start of the interval of that number."""
    return EPOCH + timedelta(days=version)


class Ground:
    """Databases of its own on a server: a new one after some sequences, cleaned in between."""

    def __init__(self, dsn: str) -> None:
        self._server, self._played, self._name = dsn, 0, ""
        self._prefix = f"sequences_{id(self):x}"
        self.dsn = ""
        with psycopg.connect(dsn, autocommit=True) as connection:
            self._create(connection, "template", "template1")
        with psycopg.connect(self._address("template"), autocommit=True) as connection:
            migrate.apply(connection)
            connection.execute("CREATE TABLE public.elsewhere (id int)")
        self._kept: Connection[Any] | None = None

    def _address(self, name: str) -> str:
        values = {"dbname": f"{self._prefix}_{name}", "options": BOUNDED}
        return psycopg.conninfo.make_conninfo(self._server, **values)

    def _create(self, connection: Connection[Any], name: str, template: str) -> None:
        names = sql.Identifier(f"{self._prefix}_{name}"), sql.Identifier(template)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))

    def clean(self) -> None:
        """Make it as it was before the first sequence."""
        self._played += 1
        if self._name and self._played % PLAYED:
            self._wipe()
            return
        self._drop()
        self._name = f"ground{self._played}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            self._create(connection, self._name, f"{self._prefix}_template")
        self.dsn = self._address(self._name)

    def _wipe(self) -> None:
        watcher = self.watcher
        for (name,) in watcher.execute("SELECT pubname FROM pg_publication").fetchall():
            watcher.execute(sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(name)))
        left = watcher.execute(
            "SELECT relnamespace::regnamespace::text, relname FROM pg_class WHERE relkind = 'r' AND"
            " (relnamespace = 'millrace_staging'::regnamespace"
            " OR relnamespace = 'public'::regnamespace AND relname <> 'elsewhere')"
        ).fetchall()
        for name in left:
            watcher.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(*name)))
        # The ledger's tables are few rows: DELETE costs less than TRUNCATE, which makes new files.
        ledger = watcher.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'millrace'::regnamespace AND relkind = 'r'"
            " AND relname <> 'schema_migration' ORDER BY relname = 'ingest_run'"
        ).fetchall()
        for (name,) in ledger:
            watcher.execute(sql.SQL("DELETE FROM millrace.{}").format(sql.Identifier(name)))

    @property
    def watcher(self) -> Connection[Any]:
        """A connection that stays open."""
        if self._kept is None or self._kept.closed:
            # Not prepared, as tables come and go under it.
            self._kept = psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None)
        return self._kept

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept.close()
        if self._name:
            with psycopg.connect(self._server, autocommit=True) as connection:
                name = sql.Identifier(f"{self._prefix}_{self._name}")
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            self._name = ""

    def close(self) -> None:
        """Drop the databases."""
        self._drop()
        with psycopg.connect(self._server, autocommit=True) as connection:
            name = sql.Identifier(f"{self._prefix}_template")
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    # What is seen.

    def rows(self, name: str, shape: Shape) -> Seen | None:
        """The table's rows by key, or by a number in mode append; None when there is no table."""
        exists = self.watcher.execute("SELECT to_regclass(%s)", [f"public.{name}"]).fetchone()
        if exists is None or exists[0] is None:
            return None
        found = self.watcher.execute(sql.SQL("SELECT * FROM public.{}").format(sql.Identifier(name))).pgresult
        assert found is not None
        place = {(found.fname(at) or b"").decode(): at for at in range(found.nfields)}
        rows: Seen = {}
        for number, row in enumerate(_texts(found)):
            values = tuple(row[place.get(column, place.get("renamed", 0))] for column in shape.names)
            keys = len(shape.key_columns)
            key, rest = (number, values) if shape.mode == "append" else (values[:keys], values[keys:])
            rows[key] = (rest, _version(row[place["source_version"]]) if "source_version" in place else NEVER)
        return rows

    def account(self, run: UUID) -> tuple[str, Account] | None:
        """Status and account of a run, as the ledger has them."""
        names = sql.SQL(", ").join(map(sql.Identifier, COUNTS))
        query = sql.SQL("SELECT status, {} FROM millrace.ingest_run WHERE run_id = {}").format(names, sql.Literal(run))
        row = self.watcher.execute(query).fetchone()
        return None if row is None else (row[0], Account(*(count or 0 for count in row[1:])))

    def left_behind(self) -> list[str]:
        """Staging tables, though no run is under way."""
        query = "SELECT relname FROM pg_class WHERE relnamespace = 'millrace_staging'::regnamespace AND relkind = 'r'"
        return [name for (name,) in self.watcher.execute(query)]

    def rejected_rows(self, run: UUID) -> int:
        """The number of rejected rows that are kept of a run."""
        query = "SELECT count(*) FROM millrace.rejected_row WHERE run_id = %s"
        row = self.watcher.execute(query, [run]).fetchone()
        assert row is not None
        return int(row[0])


def _texts(found: Any) -> Iterator[list[str | None]]:
    """The rows as PostgreSQL prints them."""
    for row in range(found.ntuples):
        values = (found.get_value(row, column) for column in range(found.nfields))
        yield [None if value is None else value.decode() for value in values]


def _version(text: str | None) -> int:
    return NEVER if text is None else (datetime.fromisoformat(text) - EPOCH).days


@contextmanager
def connected(dsn: str, kind: type[Connection[Any]] = Connection) -> Iterator[Any]:
    """A connection for one step, which may already be dead at the end."""
    connection = kind.connect(dsn, autocommit=True)
    try:
        yield connection
    finally:
        connection.close()
