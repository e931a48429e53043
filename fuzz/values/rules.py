"""`min`, `max` and `allowed` against PostgreSQL's own comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from fuzz.values.cells import Kind
from fuzz.values.postgres import reader_of
from include.ingest.cast import cast_column
from include.ingest.dataset.columns import Column

OPERATORS = {"min": ">=", "max": "<=", "allowed": "="}
UNORDERED = ("text", "varchar", "uuid")  # which only `allowed` is for
WITHOUT = ("json", "jsonb", "bytea", "boolean")
FLOATS = ("real", "double precision")


def check_rule(connection: psycopg.Connection[Any], kind: Kind, good: Sequence[bytes], chance: Random) -> list[str]:
    """Hold the good cells of a column to a rule made of some of them; what Millrace and PostgreSQL differ on, told."""
    if kind.base in WITHOUT or not good:
        return []
    rule = "allowed" if kind.base in UNORDERED else chance.choice(list(OPERATORS))
    given = [cell.decode() for cell in chance.choices(good, k=3 if rule == "allowed" else 1)]
    options = {"timezone": kind.timezone} if kind.base == "timestamptz" else {}
    wanted: list[str] | str = given if rule == "allowed" else given[0]
    column = Column.model_validate({"type": kind.name, "nullable": True, rule: wanted, **options})
    _, faults = cast_column(pa.array(good, pa.binary()), column, [])
    refused = {int(row) for fault in faults for row in fault.rows}
    query = sql.SQL(
        "SELECT EXISTS (SELECT FROM unnest(%s::bytea[]) g(raw)"
        "  WHERE ({reader}(c.raw)).value {operator} ({reader}(g.raw)).value)"
        " FROM unnest(%s::bytea[]) WITH ORDINALITY c(raw, n) ORDER BY c.n"
    ).format(reader=reader_of(kind), operator=sql.SQL(OPERATORS[rule]))
    connection.execute("SELECT set_config('timezone', %s, false)", [kind.timezone])
    found = connection.execute(query, [[text.encode() for text in given], list(good)]).fetchall()
    return [
        f"{kind.name} with {rule}: {wanted!r}: {cell!r}: PostgreSQL finds it {'within' if fits else 'outside'}"
        for row, (cell, (fits,)) in enumerate(zip(good, found, strict=True))
        if fits == (row in refused) and not _nan_bound(kind, rule, [cell.decode(), *given])
    ]


def _nan_bound(kind: Kind, rule: str, texts: Sequence[str]) -> bool:
    """`docs/fuzz.md`: NaN is within no bounds, and PostgreSQL takes it for the greatest number."""
    return kind.base in FLOATS and rule != "allowed" and any(text.lower() == "nan" for text in texts)
