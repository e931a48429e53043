"""Changes of rows by others: in a transaction, a savepoint, a plpgsql block, or taken back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection, sql

from fuzz.sequences.model import Key, Row, Table, Values
from fuzz.sequences.place import Place
from fuzz.sequences.script import Write

PLPGSQL = "DO $do$ BEGIN BEGIN {} EXCEPTION WHEN division_by_zero THEN NULL; END; END $do$"


class _Undo(Exception):
    """The transaction is rolled back."""


def change(connection: Connection[Any], write: Write, place: Place) -> None:
    """Change rows in one of the ways that programs do, and tell the model."""
    statements = list(_statements(write, place))
    if write.manner == "undone":
        try:
            with _transaction(connection), connection.transaction():
                for statement in statements:
                    connection.execute(statement)
                raise _Undo
        except _Undo:
            return
    if write.manner == "plpgsql":
        body = sql.SQL("; ").join(statements).as_string(connection)
        connection.execute(PLPGSQL.format(f"{body or 'NULL'};"))
    elif write.manner in ("transaction", "savepoint"):
        with _transaction(connection):
            for statement in statements:
                if write.manner == "savepoint":
                    with connection.transaction():
                        connection.execute(statement)
                else:
                    connection.execute(statement)
    else:
        for statement in statements:
            connection.execute(statement)
    for what, key, values in write.changes:
        _tell(place, what, key, values)


@contextmanager
def _transaction(connection: Connection[Any]) -> Iterator[None]:
    """A transaction, or nothing more where one is open."""
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        yield
        return
    with connection.transaction():
        yield


def _statements(write: Write, place: Place) -> Iterator[sql.Composed]:
    keys = [name for name, _ in place.shape.key_columns]
    others = [name for name, _ in place.shape.value_columns]
    for what, key, values in write.changes:
        where = _pairs(" AND ", keys, key)
        if what in ("delete", "anew"):
            yield sql.SQL("DELETE FROM {} WHERE {}").format(place.table, where)
        if what in ("insert", "anew"):
            names = sql.SQL(", ").join(map(sql.Identifier, [*keys, *others]))
            cells = sql.SQL(", ").join(map(sql.Literal, [*key, *values]))
            yield sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(place.table, names, cells)
        if what == "update":
            yield sql.SQL("UPDATE {} SET {} WHERE {}").format(place.table, _pairs(", ", others, values), where)
        if what == "rekey":
            new = _pairs(" AND ", keys, values)
            yield sql.SQL("UPDATE {0} SET {1} WHERE {2} AND NOT EXISTS (SELECT FROM {0} WHERE {3})").format(
                place.table, _pairs(", ", keys, values), where, new
            )


def _pairs(between: str, names: Iterable[str], values: Iterable[str | None]) -> sql.Composed:
    pairs = zip(names, values, strict=True)
    return sql.SQL(between).join(sql.SQL("{} = {}").format(sql.Identifier(n), sql.Literal(v)) for n, v in pairs)


def _tell(place: Place, what: str, key: Key, values: Values) -> None:
    """The model's part of a change."""
    model, width = place.model, len(key)
    if place.shape.mode == "append":
        _tell_append(model, what, key, values, width)
        return
    row = model.rows.get(key)
    if what in ("delete", "anew"):
        model.remove([key])
    if what in ("insert", "anew") and (what == "anew" or row is None):
        model.put(key, values)
    if what == "update" and row is not None:
        model.put(key, values)
    if what == "rekey" and row is not None and values not in model.rows:
        model.remove([key])
        model.put(values, row.values, row.source)
        new = model.rows[values]
        model.rows[values] = Row(new.values, new.source, new.low, max(new.high, row.high))


def _tell_append(model: Table, what: str, key: Key, values: Values, width: int) -> None:
    hit = [number for number, row in model.rows.items() if row.values[:width] == key]
    if what in ("delete", "anew"):
        model.remove(hit)
    if what in ("insert", "anew"):
        model.put(model.next_number(), (*key, *values))
    for number in hit if what == "update" else []:
        model.put(number, (*key, *values))
    taken = any(row.values[:width] == values for row in model.rows.values())
    for number in hit if what == "rekey" and not taken else []:
        model.put(number, (*values, *model.rows[number].values[width:]))
