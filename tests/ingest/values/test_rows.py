"""From bytes to typed rows and located rejects: the same for every chunk size, and as Python's `csv` reads them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.ingest.cast.rows import Reader, Reject, read_rows
from include.ingest.csv.records import read_blocks
from include.ingest.csv.scan import RecordNotEnded, scan_file
from include.ingest.dataset.definition import Dataset, RejectLimit
from include.ingest.plan import dialect_of
from include.ingest.source.local import LocalFile
from tests.ingest.loading import HEADER, ITEMS, ingest, make_dataset, rejected, rows

TEXTS = """
name: texts
source: x
target: public.texts
mode: append
csv: {header: false, nulls: []}
columns:
  a: {type: text}
  b: {type: text}
"""
NO_LIMIT = RejectLimit(rows=None, ratio=None)
PIECES = st.sampled_from(
    ["a", "é", " ", ",", ";", '"', '""', "\n", "\r\n", "\r", "\\", "a,b\n", 'x,"y\nz"\r\n', "\ufeff"]
)


def parse(
    file: Path, dataset: Dataset, chunk_bytes: int, block_bytes: int = 1 << 20
) -> tuple[list[tuple[int, tuple[Any, ...]]], list[Reject]]:
    """All rows with their lines, and all rejects, of a file cut into chunks."""
    dialect = dialect_of(dataset)
    reader = Reader(dataset, dialect, len(dataset.columns), tuple(range(len(dataset.columns))))
    good: list[tuple[int, tuple[Any, ...]]] = []
    bad: list[Reject] = []
    for chunk in scan_file(LocalFile(file), dialect, header=bool(dataset.csv.header), chunk_bytes=chunk_bytes).chunks:
        for block in read_blocks(LocalFile(file), dialect, chunk, block_bytes=block_bytes):
            found = read_rows(block, reader)
            good += zip(found.lines.tolist(), (tuple(row.values()) for row in found.table.to_pylist()), strict=True)
            bad += found.rejects
    return good, bad


def python_rows(data: bytes, dataset: Dataset) -> list[list[str]]:
    """What Python's own reader makes of the file; blank lines are no rows."""
    quote, escape = dataset.csv.quote, dataset.csv.escape
    escape = None if escape == quote else escape
    text = data.removeprefix(b"\xef\xbb\xbf").decode()
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=dataset.csv.delimiter, quotechar=quote, doublequote=escape is None,
        escapechar=escape,
    )  # fmt: skip
    return [row for row in reader if row]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.lists(PIECES, max_size=40).map("".join),
    delimiter=st.sampled_from([",", ";"]),
    escape=st.sampled_from(['"', "\\"]),
    chunk_bytes=st.integers(1, 60),
    block_bytes=st.integers(1, 60),
)
def test_rows_do_not_depend_on_the_cut(
    tmp_path: Path, text: str, delimiter: str, escape: str, chunk_bytes: int, block_bytes: int
) -> None:
    more = f"\ncsv: {{header: false, nulls: [], delimiter: '{delimiter}', escape: '{escape}'}}"
    dataset = make_dataset(tmp_path, TEXTS.replace("\ncsv: {header: false, nulls: []}", more))
    data = text.encode()
    file = tmp_path / "texts.csv"
    file.write_bytes(data)
    if python_rows(data + b"\nlast", dataset)[-1] != ["last"]:  # what is added belongs to a field that never ends
        with pytest.raises(RecordNotEnded):
            parse(file, dataset, chunk_bytes, block_bytes)
        return
    whole = parse(file, dataset, 1 << 30)
    assert parse(file, dataset, chunk_bytes, block_bytes) == whole
    expected = python_rows(data, dataset)
    assert [list(row) for _, row in whole[0]] == [row for row in expected if len(row) == 2]
    assert len(whole[1]) == sum(len(row) != 2 for row in expected)
    for reject in whole[1]:
        assert data[reject.byte_offset :].decode().startswith(reject.raw.rstrip("\r\n")[:1])


BAD = (
    b"id,label,price\n"  # 1
    b'1,"two\nlines",1.00\n'  # 2
    b"x1,not a number,1\n"  # 4
    b"99999999999999999999,overflow,1\n"  # 5
    b"6,nul\0,1\n"  # 6
    b"7,\xff\xfe,1\n"  # 7
    b"8,too,many,fields\n"  # 8
    b"9\n"  # 9
    b'10,"another\r\nquoted",-1\n'  # 10
    b"12,scale,1.005\n"  # 12
    b"13,range,1234567.00\n"  # 13
    b",missing,1\n"  # 14
    b"15,good,\n"  # 15
)


@pytest.mark.parametrize("chunk_bytes", [1, 30, 10_000])
def test_bad_rows_are_located(warehouse: psycopg.Connection, tmp_path: Path, chunk_bytes: int) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=chunk_bytes)
    account = ingest(warehouse, dataset, BAD, tmp_path)
    assert rejected(warehouse, account) == [
        (4, "id", "x1", "type"),
        (5, "id", "99999999999999999999", "range"),
        (6, "label", "nul\\x00", "nul"),
        (7, "label", "\\xff\\xfe", "encoding"),
        (8, None, None, "fields"),
        (9, None, None, "fields"),
        (10, "price", "-1", "min"),
        (12, "price", "1.005", "range"),
        (13, "price", "1234567.00", "range"),
        (14, "id", "", "required"),
    ]
    places = warehouse.execute("SELECT byte_offset, raw FROM millrace.rejected_row ORDER BY byte_offset").fetchall()
    for offset, raw in places:
        assert BAD[offset:].decode(errors="backslashreplace").replace("\0", "\\x00").startswith(raw)
    assert rows(warehouse, "id, label") == [(1, "two\nlines"), (15, "good")]


EVERY_TYPE = {
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "7"],
    "bigint": ["9223372036854775807", "-9223372036854775808"],
    "numeric(38,10)": ["1234567890123456789012345678.0123456789", "-0.0000000001"],
    "numeric(5,0)": ["99999", "0"],
    "numeric(12,2)": ["10000", "1234567890.10"],
    "double precision": ["1e308", "-0.1"],
    "real": ["0.1", "-3.5"],
    "text": ["ü €", "NULL"],
    "varchar(4)": ["ébcd", ""],
    "boolean": ["true", "off"],
    "date": ["2024-02-29", "0001-01-01"],
    "time": ["23:59:59.999999", "00:00"],
    "timestamp": ["2026-03-29 02:30:00.000001", "1969-12-31T23:59:59"],
    "timestamptz": ["2026-03-29 02:30:00+05:30", "2026-01-01T00:00:00Z"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"],
    "json": ['{"b": 1,  "a": [1.50]}', "null"],
    "jsonb": ['{"b": 1,  "a": [1.50]}', '"x"'],
    "bytea": ["\\x00ff", "\\x"],
}


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_each_type_arrives_as_postgresql_reads_it(warehouse: psycopg.Connection, tmp_path: Path, kind: str) -> None:
    text = 'name: typed\nsource: x\ntarget: typed\nmode: append\ncsv: {nulls: ["-"]}\ncolumns:\n  id: {type: integer}\n'
    dataset = make_dataset(tmp_path, text + f'  value: {{type: "{kind}", nullable: true}}\n')
    out = io.StringIO()
    csv.writer(out).writerows([["id", "value"], *enumerate(EVERY_TYPE[kind]), [9, "-"]])
    for _ in range(2):  # promoted, then inserted
        account = ingest(warehouse, dataset, out.getvalue(), tmp_path, force=True)
        assert account.inserted == 3, rejected(warehouse, account)
    found = warehouse.execute("SELECT DISTINCT id, value::text FROM typed ORDER BY id").fetchall()
    expected = [
        (number, warehouse.execute(f"SELECT (%s::{kind})::text", [value]).fetchone()[0])  # type: ignore[index]
        for number, value in enumerate(EVERY_TYPE[kind])
    ]
    assert found == [*expected, (9, None)]


def test_another_encoding_and_dialect(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dialect = "csv: {delimiter: ';', escape: '\\', encoding: cp1252}\n"
    dataset = make_dataset(tmp_path, ITEMS + dialect, reject_limit=NO_LIMIT)
    data = 'id;label;price\r\n1;"a \\"€\\";\r\nb";1\r\n2;'.encode("cp1252") + b"\x81" + b";1\r\n"
    account = ingest(warehouse, dataset, data, tmp_path)
    assert rows(warehouse, "id, label") == [(1, 'a "€";\r\nb')]
    assert rejected(warehouse, account) == [(4, "label", "\\x81", "encoding")]


def test_the_header_finds_columns_by_name(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ITEMS.replace("label: {type: text,", "label: {type: text, source: Name of it,"))
    ingest(warehouse, dataset, "price,extra,Name of it,id\n1,x,one,1\n", tmp_path)
    assert [(i, label) for i, label, _ in rows(warehouse)] == [(1, "one")]


def test_libraries_print_nothing_of_rows_that_are_not_utf8(
    warehouse: psycopg.Connection, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = HEADER.encode() + b"1,good,1\n2,\xff,too,many\n3,\xfe,1\n4,\xe9t\xe9\n"
    account = ingest(warehouse, make_dataset(tmp_path), data, tmp_path)
    assert [row[0] for row in rejected(warehouse, account)] == [3, 4, 5]
    assert rows(warehouse, "id") == [(1,)]
    assert capfd.readouterr().err == ""
