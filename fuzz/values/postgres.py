"""The judge of a cell: PostgreSQL reads it, and says whether what Millrace loaded is the same value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from fuzz.values.cells import Kind

# A value is assigned to a variable, as COPY would: a cast by `::` cuts a text that is too long for its type.
READER = """
CREATE FUNCTION {name}(raw bytea, OUT valid boolean, OUT value {kind}, OUT why text) LANGUAGE plpgsql AS $body$
DECLARE given {kind};
BEGIN
    given := convert_from(raw, 'UTF8');
    value := given;
    valid := true;
EXCEPTION WHEN OTHERS THEN
    valid := false;
    why := SQLERRM;
END $body$
"""
JUDGE = """
SELECT r.valid, left(coalesce(r.value::text, r.why), 200), m.n IS NOT NULL, left(m.v::text, 200),
    m.v::text IS NOT DISTINCT FROM r.value::text AND {equal}
FROM unnest(%s::bytea[]) WITH ORDINALITY c(raw, n) CROSS JOIN LATERAL {reader}(c.raw) r
LEFT JOIN {table} m ON m.n = c.n ORDER BY c.n
"""


class Verdict(NamedTuple):
    """What became of a cell at PostgreSQL's and at Millrace's."""

    valid: bool  # PostgreSQL takes it
    theirs: str | None  # the value as PostgreSQL prints it, or why it refuses the cell
    taken: bool  # Millrace loaded it
    ours: str | None
    same: bool


def reader_of(kind: Kind) -> sql.Identifier:
    """The function that reads a cell of the type."""
    return sql.Identifier("read " + kind.name)


def prepare(connection: psycopg.Connection[Any], kinds: Sequence[Kind]) -> None:
    """Make the functions that read cells."""
    for name in {kind.name: kind for kind in kinds}:
        kind = Kind(name)
        connection.execute(sql.SQL(READER).format(name=reader_of(kind), kind=sql.SQL(name)))


def judge(
    connection: psycopg.Connection[Any], kind: Kind, cells: Sequence[bytes], table: sql.Identifier
) -> list[Verdict]:
    """A verdict a cell. `table` (n, v) holds what Millrace loaded of them; n counts from 1."""
    equal = sql.SQL("true" if kind.base == "json" else "m.v IS NOT DISTINCT FROM r.value")  # json has no equality
    connection.execute("SELECT set_config('timezone', %s, false)", [kind.timezone])
    query = sql.SQL(JUDGE).format(equal=equal, reader=reader_of(kind), table=table)
    return [Verdict(*row) for row in connection.execute(query, [list(cells)])]
