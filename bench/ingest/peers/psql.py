"""What an expert types into psql.

The server's defaults but for work_mem; an unlogged staging table; the later row of a repeated key wins by
its place in staging (`ctid`: one COPY into a new table keeps the file's order), which spares a column of line numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

KEY = "order_id"
FORMAT = "WITH (FORMAT csv, HEADER true)"


def upsert(table: Mapping[str, str], file: Path) -> list[str]:
    """Stage and upsert, rewriting every row that is there already."""
    return _staged(table, file, statement(table))


def guarded(table: Mapping[str, str], file: Path) -> list[str]:
    """Stage and upsert, rewriting only rows that differ."""
    rest = [name for name in table if name != KEY]
    old, new = (", ".join(f"{side}.{name}" for name in rest) for side in ("orders", "excluded"))
    return _staged(table, file, f"{statement(table)} WHERE ({old}) IS DISTINCT FROM ({new})")


def copy(table: Mapping[str, str], file: Path) -> list[str]:
    """Straight into the table."""
    return [f"\\copy orders ({', '.join(table)}) FROM {_quoted(file)} {FORMAT}"]


def statement(table: Mapping[str, str]) -> str:
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
        f"\\copy orders_new FROM {_quoted(file)} {FORMAT}",
        statement,
        "DROP TABLE orders_new",
    ]


def _quoted(file: Path) -> str:
    return "'" + str(file).replace("'", "''") + "'"
