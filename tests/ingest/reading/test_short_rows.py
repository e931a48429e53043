"""Records with fewer fields than the header: rejected, or filled with nulls where the dataset says so."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, known, make_dataset, rejected, rows

FILL = f"{ITEMS}csv: {{short_rows: fill}}\n"
TEXT = HEADER + '1,a,1\n2\n3,"c\n"\n4,d,4,x\n5,"e",\n6,""\n\n7,g,7\n'


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_missing_cells_are_null(warehouse: psycopg.Connection, tmp_path: Path, chunk_bytes: int) -> None:
    account = ingest(warehouse, make_dataset(tmp_path, FILL, chunk_bytes=chunk_bytes), TEXT, tmp_path)
    # COPY of the same records in tables of as many columns.
    warehouse.execute("CREATE TABLE judged (id bigint, label text, price numeric)")
    for columns, text in (
        ("id, label, price", '1,a,1\n5,"e",\n7,g,7\n'),
        ("id", "2\n"),
        ("id, label", '3,"c\n"\n6,""\n'),
    ):
        with warehouse.cursor() as cursor:
            names = f"({columns}) FROM STDIN (FORMAT csv, FORCE_NULL ({columns}))"
            with cursor.copy(f"COPY judged {names}".encode()) as copy:
                copy.write(text)
    assert rows(warehouse) == rows(warehouse, table="judged")
    assert rejected(warehouse, account) == [(6, None, None, "fields")]
    assert counts(account) == {"read": 7, "inserted": 6, "rejected": 1}


def test_by_default_they_are_rejected(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    account = ingest(warehouse, make_dataset(tmp_path), TEXT, tmp_path)
    assert [line for line, *_ in rejected(warehouse, account)] == [3, 4, 6, 8]
    assert [row[0] for row in rows(warehouse)] == [1, 5, 7]


def test_a_missing_cell_is_no_empty_text(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    """Null whatever stands for null in the file, a default where there is one, at fault where a value is needed."""
    text = FILL.replace("fill}", "fill, nulls: ['NULL']}").replace("label: {", "label: {default: none, ")
    text = text.replace("price: {", "flag: {type: text}\n  price: {")
    account = ingest(warehouse, make_dataset(tmp_path, text), "id,flag,price,label\n1,x,1,\n2,x\n3,x,\n4\n", tmp_path)
    assert rows(warehouse) == [(1, "", 1), (2, "none", None)]
    assert rejected(warehouse, account) == [(4, "price", "", "type"), (5, "flag", None, "required")]


def test_short_rows_in_all_modes(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    """A key that is missing, repeated keys among short rows, deleted rows, and a file that builds on the last one."""
    text = FILL.replace("key: [id]", "key: [label]\nmode: MODE\nduplicates: first").replace("nullable: true}", "}", 1)
    text = text.replace("id: {type: bigint}", "id: {type: bigint, nullable: true}")
    lines = [f"{number},l{number}\n" for number in range(300)]
    for mode in ("upsert", "replace"):
        dataset = make_dataset(tmp_path, text.replace("MODE", mode))
        data = HEADER + "".join(lines) + "300\n301,l1,9\n302,l302,9\n"
        account = ingest(warehouse, dataset, data, tmp_path)
        assert counts(account) == {"read": 303, "inserted": 301, "superseded": 1, "rejected": 1}
        later = ingest(warehouse, dataset, data.replace("7,l7\n", "7,l7,1\n"), tmp_path, version=DAY + timedelta(1))
        assert counts(later)["updated"] > 0
        assert known(warehouse, later) == (0 if mode == "replace" else later.unchanged)
        assert len(rows(warehouse)) == 301
        warehouse.execute("DROP TABLE items")
