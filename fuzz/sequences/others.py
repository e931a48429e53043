"""The writes of others: each does to the table what it does to the model."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg
from psycopg import Connection, Cursor, sql

from fuzz.sequences.changes import PLPGSQL, change
from fuzz.sequences.place import Place
from fuzz.sequences.script import Write

PUBLISH = (
    "CREATE PUBLICATION fuzz FOR ALL TABLES",
    "CREATE PUBLICATION fuzz FOR TABLES IN SCHEMA public",
    "CREATE PUBLICATION fuzz FOR TABLE {table}",
)
TRIGGER = """
CREATE FUNCTION public.looks() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER looks BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.looks();
"""
DUMPED = sql.Identifier("public", "dumped")


class Others:
    """Another program's connections, and the transactions that it has open."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection[Any] = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
        self._open: dict[int, Connection[Any]] = {}

    def close(self) -> None:
        """Give up all connections; what is open is rolled back."""
        for connection in (self._connection, *self._open.values()):
            connection.close()

    def do(self, write: Write, place: Place) -> None:
        """Do it, and tell the model. A write to a table that is not there is left out."""
        if write.kind == "open":
            self._begin(write)
        elif write.kind == "unlink":
            if place.last_file is not None:
                place.last_file.unlink(missing_ok=True)
        elif self._exists(place) or write.kind == "remake":
            getattr(self, "_" + write.kind.replace(" ", "_"))(write, place)

    def _exists(self, place: Place) -> bool:
        row = self._connection.execute("SELECT to_regclass(%s)", [f"public.{place.name}"]).fetchone()
        return row is not None and row[0] is not None

    def _run(self, place: Place, *texts: str) -> None:
        for text in texts:
            self._connection.execute(sql.SQL(text).format(table=place.table))

    # Rows.

    def _change(self, write: Write, place: Place) -> None:
        if not place.misfit:
            change(self._connection, write, place)

    def _begin(self, write: Write) -> None:
        """A transaction that is open from now on, with an id of its own or of a subtransaction."""
        if write.slot in self._open:
            return
        connection = self._open[write.slot] = psycopg.connect(self._dsn, autocommit=True)
        connection.execute("BEGIN")
        if write.manner == "savepoint":
            connection.execute("SAVEPOINT early")
        insert = "INSERT INTO public.elsewhere VALUES (1);"
        connection.execute(PLPGSQL.format(insert) if write.manner == "plpgsql" else insert)

    def _finish(self, write: Write, place: Place) -> None:
        """The open transaction writes the table at last and ends."""
        connection = self._open.pop(write.slot, None)
        if connection is None:
            return
        with closing(connection):
            if not place.misfit:
                change(connection, write, place)
                connection.execute("COMMIT")

    def _truncate(self, write: Write, place: Place) -> None:
        self._run(place, "TRUNCATE {table}")
        place.model.remove(place.model.rows)

    # The whole table.

    def _drop(self, write: Write, place: Place) -> None:
        self._run(place, "DROP TABLE {table} CASCADE")
        place.model.drop()
        place.misfit = False

    def _remake(self, write: Write, place: Place) -> None:
        """Drop it and make it anew, empty, as somebody would who knows nothing of Millrace's own columns."""
        if self._exists(place):
            self._drop(write, place)
        place.model.drop()
        self._create(place)

    def _create(self, place: Place) -> None:
        columns = [
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(place.type_of(name, kind)))
            for name, kind in (*place.shape.key_columns, *place.shape.value_columns)
        ]
        if place.shape.mode != "append":
            names = [sql.Identifier(name) for name, _ in place.shape.key_columns]
            columns.append(sql.SQL("PRIMARY KEY ({})").format(sql.SQL(", ").join(names)))
        self._connection.execute(sql.SQL("CREATE TABLE {} ({})").format(place.table, sql.SQL(", ").join(columns)))

    def _swap(self, write: Write, place: Place) -> None:
        """Put a copy in the table's place, in which a row may differ."""
        if place.misfit:
            return
        copy = Place("copy", place.shape, place.model, place.inbox)
        with self._connection.transaction():
            self._copy_rows(place, copy)
            self._run(place, "DROP TABLE {table} CASCADE")
            self._connection.execute(
                sql.SQL("ALTER TABLE {} RENAME TO {}").format(copy.table, sql.Identifier(place.name))
            )
        place.model.replace_table(place.model.rows)
        if write.slot:
            change(self._connection, write, place)

    def _copy_rows(self, place: Place, copy: Place) -> None:
        self._connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(copy.table, place.table))
        self._connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(copy.table, place.table))

    def _dump(self, write: Write, place: Place) -> None:
        """Keep the rows as COPY prints them."""
        if not place.misfit:
            self._run(place, "DROP TABLE IF EXISTS public.dumped")
            self._copy_rows(place, Place("dumped", place.shape, place.model, place.inbox))
            place.dump = dict(place.model.rows)

    def _restore_data(self, write: Write, place: Place) -> None:
        """Empty the table and read the dump into it, or what the table holds now."""
        if place.misfit:
            return
        rows, source = dict(place.model.rows), place.table
        if write.slot and place.dump is not None and self._alike(place):
            rows, source = place.dump, DUMPED
        before = list(place.model.rows)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            text = _copy_out(cursor, source)
            cursor.execute(sql.SQL("TRUNCATE {}").format(place.table))
            with cursor.copy(sql.SQL("COPY {} FROM STDIN").format(place.table)) as copy:
                copy.write(text)
        place.model.remove(before)
        for key, row in rows.items():
            place.model.put(key, row.values, row.source)
        place.model.unsure = True

    def _alike(self, place: Place) -> bool:
        """Whether the table still has the columns of the dump."""
        query = (
            "SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute WHERE attnum > 0 AND attrelid = %s::regclass"
        )
        names = [f"public.{place.name}", "public.dumped"]
        mine, its = (self._connection.execute(query, [name]).fetchone() for name in names)
        return mine == its

    def _restore_table(self, write: Write, place: Place) -> None:
        """Drop the table and make it anew with its rows, as pg_restore --clean does."""
        if place.misfit:
            return
        with self._connection.transaction(), self._connection.cursor() as cursor:
            text = _copy_out(cursor, place.table)
            copy_of = sql.Identifier("public", "restored")
            cursor.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(copy_of, place.table))
            cursor.execute(sql.SQL("DROP TABLE {} CASCADE").format(place.table))
            cursor.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(copy_of, sql.Identifier(place.name)))
            with cursor.copy(sql.SQL("COPY {} FROM STDIN").format(place.table)) as copy:
                copy.write(text)
        place.model.replace_table(place.model.rows)

    # What changes no row.

    def _vacuum_full(self, write: Write, place: Place) -> None:
        self._run(place, "VACUUM FULL {table}")

    def _freeze(self, write: Write, place: Place) -> None:
        self._run(place, "VACUUM (FREEZE) {table}")

    def _analyze(self, write: Write, place: Place) -> None:
        self._run(place, "ANALYZE {table}")

    def _add_column(self, write: Write, place: Place) -> None:
        kind = ("int", "int DEFAULT 5", "uuid DEFAULT gen_random_uuid()")[write.slot % 3]
        self._run(place, f"ALTER TABLE {{table}} ADD COLUMN IF NOT EXISTS added_{write.slot} {kind}")
        place.model.unsure = True

    def _trigger(self, write: Write, place: Place) -> None:
        self._run(place, "DROP FUNCTION IF EXISTS public.looks CASCADE", TRIGGER)

    def _publish(self, write: Write, place: Place) -> None:
        if place.shape.mode != "append":  # without a key its rows could not be changed any more
            self._run(place, "DROP PUBLICATION IF EXISTS fuzz", PUBLISH[write.slot % 3])

    def _retype(self, write: Write, place: Place) -> None:
        """A column gets a wider type, and the dataset file follows."""
        kinds = dict((*place.shape.key_columns, *place.shape.value_columns))
        wider = {"integer": "bigint", "numeric(12,2)": "numeric(14,2)", "numeric(8,2)": "numeric(10,2)"}
        column = ("id", "amount")[write.slot % 2]
        if place.misfit or kinds[column] not in wider:
            return
        place.types[column] = wider[kinds[column]]
        self._run(place, f"ALTER TABLE {{table}} ALTER COLUMN {column} TYPE {place.types[column]}")
        place.model.unsure = True
        if column == "id":
            place.model.retyped = place.model.newest[1]

    def _rename(self, write: Write, place: Place) -> None:
        """A column is renamed; the next time, back again."""
        names = ("renamed", "amount") if place.misfit else ("amount", "renamed")
        self._run(place, "ALTER TABLE {{table}} RENAME COLUMN {} TO {}".format(*names))
        place.misfit = not place.misfit
        place.model.unsure = True


def _copy_out(cursor: Cursor[Any], table: sql.Identifier) -> bytes:
    with cursor.copy(sql.SQL("COPY {} TO STDOUT").format(table)) as copy:
        return b"".join(bytes(part) for part in copy)
