"""Staged rows in a gap between two neighbouring keys of the target: they are new, and need not be looked up.

A file of new orders has higher ids than all that the target holds; a file that comes late fills a gap. Where the
statistics of staging say that many rows stand in one, its two ends are read from the target's index.
"""

from __future__ import annotations

from psycopg import Cursor, sql
from pyarrow import types

from include.ingest.dataset.definition import Dataset
from include.ingest.table import target as targets
from include.ingest.table.name import TableName

LEAST_SHARE = 0.1  # of the staged rows: to count and to insert them apart reads staging twice more

_HAS_INDEX = """
SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = %s::regclass AND a.attname = %s AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'
"""

# The gap that the greatest staged key known to the statistics stands in; none where the target holds that key.
_FIND = """
WITH stats AS (
    SELECT
        most_common_vals::text::{kind}[] AS common, most_common_freqs AS shares,
        histogram_bounds::text::{kind}[] AS bounds
    FROM pg_stats WHERE schemaname = {schema} AND tablename = {rows} AND attname = {name} AND NOT inherited
), sample AS (
    SELECT unnest(common) AS key, unnest(shares) AS share FROM stats
    UNION ALL
    SELECT
        unnest(bounds),
        (1 - coalesce((SELECT sum(share) FROM unnest(shares) AS share), 0)) / array_length(bounds, 1)
    FROM stats
), gap AS (
    SELECT
        (SELECT t.{key} FROM {target} t WHERE t.{key} <= last.key ORDER BY 1 DESC LIMIT 1) AS low,
        (SELECT t.{key} FROM {target} t WHERE t.{key} > last.key ORDER BY 1 LIMIT 1) AS high
    FROM (SELECT key FROM sample ORDER BY 1 DESC LIMIT 1) last
)
SELECT low::text, high::text FROM gap WHERE {least} <= (
    SELECT sum(share) FROM sample WHERE coalesce(key > low, true) AND coalesce(key < high, true))
"""


def find_gap(cursor: Cursor, dataset: Dataset, rows: TableName) -> sql.Composable:
    """SQL condition on a staged row `s`: its key stands in the gap. False where there is none that is worth it.

    `rows` has been analysed, and nobody writes to the target.
    """
    name = dataset.key[0]
    kind = sql.SQL(dataset.columns[name].sql_type.name)
    ends = [
        sql.SQL("s.{} {} {}::{}").format(sql.Identifier(name), sql.SQL(sign), sql.Literal(end), kind)
        for sign, end in zip("><", _ends(cursor, dataset, rows), strict=True)
        if end is not None
    ]
    return sql.SQL(" AND ").join(ends) if ends else sql.SQL("false")


def _ends(cursor: Cursor, dataset: Dataset, rows: TableName) -> tuple[str | None, str | None]:
    """The target's keys on both sides of the gap, as text; none on a side where the target ends, and none at all where
    there is no gap. Text is left alone: the two tables may sort it differently.
    """
    name, target = dataset.key[0], targets.identifier(dataset)
    kind = dataset.columns[name].sql_type
    if types.is_string(kind.arrow) or not cursor.execute(_HAS_INDEX, [target.as_string(cursor), name]).fetchone():
        return None, None
    schema, table = sql.Literal(rows.schema), sql.Literal(rows.table)
    statement = sql.SQL(_FIND).format(
        kind=sql.SQL(kind.name), schema=schema, rows=table, name=sql.Literal(name), key=sql.Identifier(name),
        target=target, least=sql.Literal(LEAST_SHARE),
    )  # fmt: skip
    return cursor.execute(statement).fetchone() or (None, None)
