"""The name of a table, in queries and as text."""

from __future__ import annotations

from psycopg import sql


class TableName(sql.Identifier):
    """A table's schema and name. A query takes it as the identifier that it is."""

    def __init__(self, schema: str, table: str) -> None:
        super().__init__(schema, table)
        self.schema, self.table = schema, table
