"""The tables of schema `millrace`, from a database to which the migrations were applied."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from stack.reference.markdown import code, page, table

TABLES = """
SELECT c.oid, c.relname, coalesce(obj_description(c.oid, 'pg_class'), '')
FROM pg_class AS c
WHERE c.relnamespace = 'millrace'::regnamespace AND c.relkind = 'r'
ORDER BY c.relname
"""
COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    coalesce(pg_get_expr(d.adbin, d.adrelid), CASE WHEN a.attidentity <> '' THEN 'identity' ELSE '' END),
    coalesce(col_description(a.attrelid, a.attnum), '')
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
KEYS = """
SELECT pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = %s AND contype IN ('p', 'u', 'f', 'c')
ORDER BY array_position('{p,u,f,c}'::"char"[], contype), conname
"""


def write(connection: Connection[Any]) -> str:
    """The page."""
    parts = [part for row in connection.execute(TABLES).fetchall() for part in _part(connection, *row)]
    return page(
        "Tables",
        "Schema `millrace` in the warehouse. Migrations only add to it; roles `ingest` (tasks) and `pages` (the API"
        " server where it only reads) may read all of it.",
        *parts,
    )


def _part(connection: Connection[Any], oid: int, name: str, said: str) -> list[str]:
    rows = [
        [code(column), code(kind), "" if must else "yes", code(default.replace("::text", "")), comment]
        for column, kind, must, default, comment in connection.execute(COLUMNS, [oid]).fetchall()
    ]
    held = "; ".join(code(text.replace("::text", "")) for (text,) in connection.execute(KEYS, [oid]).fetchall())
    return [
        f"## {name}",
        *([said] if said else []),
        table(["column", "type", "null", "default", "meaning"], rows),
        held,
    ]
