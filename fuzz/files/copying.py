"""COPY, the judge: what PostgreSQL makes of records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from fuzz.files.case import COPY_ENCODINGS, FIELDS, TEXT, Form, Row

NO_NULL = "\x02\x03"  # where no cell is null
UNUSED = "\x01"  # a quote for files that have none


class Refusal(Exception):
    """COPY refuses: why, and the line that it names."""

    def __init__(self, why: str, line: int | None) -> None:
        super().__init__(why)
        self.why, self.line = why, line


class Copy:
    """Tables of text columns, one for each number of them, filled by COPY."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._tables: set[int] = set()
        # Before 18, a line that is \. ended the data of COPY FROM STDIN in format csv too.
        self.end_mark = self._connection.info.server_version < 180000

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def forget(self) -> None:
        """Drop the tables: what they hold is of no use any more."""
        for fields in self._tables:
            self._connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(f"judged_{fields}")))
        self._tables.clear()

    def records(self, raws: Sequence[bytes], form: Form, fields: int) -> tuple[list[Row | str], int | None]:
        """What becomes of each record, all fields; and the line that COPY named when it was given all at once."""
        if not raws:
            return [], None
        try:
            rows = self._copied(b"".join(raws), form, fields)
            if len(rows) == len(raws):
                return list(rows), None
            raise AssertionError(f"COPY makes {len(rows)} rows of {len(raws)} records")
        except Refusal as refusal:
            line = refusal.line
        alone = [self._alone(raw, form, fields) for raw in raws]
        good = [(raw, row) for raw, row in zip(raws, alone, strict=True) if not isinstance(row, str)]
        together = self._copied(b"".join(raw for raw, _ in good), form, fields) if good else []
        assert together == [row for _, row in good], "COPY reads good records otherwise together than alone"
        return alone, line

    def _alone(self, raw: bytes, form: Form, fields: int) -> Row | str:
        try:
            rows = self._copied(raw, form, fields)
        except Refusal as refusal:
            return refusal.why
        assert len(rows) == 1, f"COPY makes {len(rows)} rows of one record"
        return rows[0]

    def _copied(self, data: bytes, form: Form, fields: int) -> list[Row]:
        table = self._table(fields)
        names = sql.SQL(", ").join(sql.Identifier(f"c{number}") for number in range(fields))
        quote = form.quote or UNUSED
        statement = sql.SQL(
            "COPY {table} ({names}) FROM STDIN (FORMAT csv, DELIMITER {delimiter}, QUOTE {quote}, ESCAPE {escape},"
            " NULL {null}, FORCE_NULL ({names}), ENCODING {encoding})"
        ).format(
            table=table, names=names, delimiter=sql.Literal(form.delimiter), quote=sql.Literal(quote),
            escape=sql.Literal((form.quote and form.escape) or quote),
            encoding=sql.Literal(COPY_ENCODINGS[form.encoding]),
            null=sql.Literal(NO_NULL if form.null is None else form.null),
        )  # fmt: skip
        before = self._last(table)
        try:
            with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(data)
        except psycopg.errors.BadCopyFileFormat as error:
            why = "unended" if "unterminated" in str(error) else FIELDS
            raise Refusal(why, _line(error)) from None
        except (psycopg.errors.CharacterNotInRepertoire, psycopg.errors.UntranslatableCharacter) as error:
            raise Refusal(TEXT, _line(error)) from None
        query = sql.SQL("SELECT {} FROM {} WHERE n > %s ORDER BY n").format(names, table)
        return self._connection.execute(query, [before]).fetchall()

    def _table(self, fields: int) -> sql.Identifier:
        table = sql.Identifier(f"judged_{fields}")
        if fields not in self._tables:
            columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(f"c{n}")) for n in range(fields))
            self._connection.execute(
                sql.SQL("CREATE TEMP TABLE {} (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {})").format(
                    table, columns
                )
            )
            self._tables.add(fields)
        return table

    def _last(self, table: sql.Identifier) -> Any:
        row = self._connection.execute(sql.SQL("SELECT coalesce(max(n), 0) FROM {}").format(table)).fetchone()
        assert row is not None
        return row[0]


def _line(error: psycopg.Error) -> int | None:
    found = re.search(r"\bline (\d+)", error.diag.context or "")
    return int(found[1]) if found else None
