"""How bytes become records and cells: what PostgreSQL's COPY, or a person, makes of the same file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.ingest.dataset import RejectLimit
from include.ingest.errors import HeaderMismatch
from include.ingest.records import RecordTooLong
from include.ingest.scan import RecordNotEnded
from tests.ingest.loading import DAY, counts, ingest, make_dataset, rows

NOTES = """
name: notes
source: x
target: public.notes
mode: append
columns:
  id: {type: text}
  note: {type: text, nullable: true}
"""
KEYED = NOTES.replace("mode: append", "key: [id]")
ONE = NOTES.replace("  note: {type: text, nullable: true}\n", "")
ENDS = pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
BIG = 1 << 30


def load(
    connection: psycopg.Connection, folder: Path, data: str | bytes, text: str = NOTES, *, form: str = "promote",
    **changes: Any,
) -> list[tuple[Any, ...]]:  # fmt: skip
    """The rows of `notes` in the order of their ids, after `data` was loaded into a new table, or beside a row."""
    columns = "id, note" if "note:" in text else "id"
    dataset = make_dataset(folder, text, reject_limit=RejectLimit(rows=None, ratio=None), **changes)
    connection.execute("DROP TABLE IF EXISTS notes")
    if form == "merge":
        first = "id,note\n~,here\n" if dataset.csv.header else "~,here\n"
        first = first if "note:" in text else "id\n~\n"
        ingest(connection, dataset, first.replace(",", dataset.csv.delimiter), folder)
    ingest(connection, dataset, data, folder, version=DAY.replace(day=2))
    found = rows(connection, columns, "notes")
    return [row for row in found if row[0] != "~"]


@ENDS
@pytest.mark.parametrize("form", ["promote", "merge"])
@pytest.mark.parametrize("text", [NOTES, KEYED], ids=["append", "text key"])
def test_a_line_with_no_bytes_is_no_record_wherever_it_stands(
    warehouse: psycopg.Connection, tmp_path: Path, end: str, form: str, text: str
) -> None:
    data = "\n\nid,note\n\n\n1,a\n\n2,b\n3,\n\n\n4,\"c\"\n\n5,\"d\n\n\"\n\n6,e\n\n\n".replace("\n", end)
    wanted = [("1", "a"), ("2", "b"), ("3", None), ("4", "c"), ("5", f"d{end}{end}"), ("6", "e")]
    for chunk, block in [(BIG, BIG), (1, BIG), (7, 9), (BIG, 1)]:
        found = load(warehouse, tmp_path, data, text, form=form, chunk_bytes=chunk, block_bytes=block)
        assert found == wanted, (chunk, block)


@ENDS
@pytest.mark.parametrize("form", ["promote", "merge"])
def test_a_blank_line_in_a_file_of_one_column_is_no_record(
    warehouse: psycopg.Connection, tmp_path: Path, end: str, form: str
) -> None:
    data = "id\n\na\n\n\nb\n\"c\"\n\n".replace("\n", end)
    for chunk in (1, BIG):
        assert load(warehouse, tmp_path, data, ONE, form=form, chunk_bytes=chunk) == [("a",), ("b",), ("c",)]


def test_newlines_may_be_mixed_around_blank_lines(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    data = "id,note\r\n\n1,a\r\r\n2,b\n\r3,c\r\r\r\n\n4,d\n\r\n"
    assert load(warehouse, tmp_path, data) == [("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")]


@pytest.mark.parametrize("dialect", ["escape: '\\'", "encoding: latin-1", "nulls: ['\"']"])
def test_the_certain_way_knows_no_blank_lines_either(
    warehouse: psycopg.Connection, tmp_path: Path, dialect: str
) -> None:
    text = f"{NOTES}csv: {{{dialect}}}\n"
    assert load(warehouse, tmp_path, "id,note\n1,a\n\n2,b\n\n", text) == [("1", "a"), ("2", "b")]


@pytest.mark.parametrize("form", ["promote", "merge"])
@pytest.mark.parametrize(
    ("dialect", "data", "wanted"),
    [
        ("quote: null", '1,"a\n2,b"\n3,x"y"z\n4,""\n', [("1", '"a'), ("2", 'b"'), ("3", 'x"y"z'), ("4", '""')]),
        ("quote: \"'\"", "1,'a,''b'\n2,\"c\n3,d\"\"\n", [("1", "a,'b"), ("2", '"c'), ("3", 'd""')]),
        ("quote: \"'\", escape: null", "1,'a''b'\n2,\"c\"\n", [("1", "a'b"), ("2", '"c"')]),
        ("quote: \"'\", escape: \"'\"", "1,'a''b'\n2,\"c\"\n", [("1", "a'b"), ("2", '"c"')]),
        ("quote: '|'", "1,|a||,b|\n2,\"\n", [("1", "a|,b"), ("2", '"')]),
        ("escape: null", '1,"a""b"\n', [("1", 'a"b')]),
        ("quote: null, escape: '\\'", '1,a\\,b\n2,"c\\\nd"\n3,\\"\n', [("1", "a,b"), ("2", '"c\nd"'), ("3", '"')]),
        ("quote: null, delimiter: \"\\t\"", '1\t"a\n2\tb\\\n', [("1", '"a'), ("2", "b\\")]),
    ],
)  # fmt: skip
def test_only_the_quote_quotes_and_only_the_escape_escapes(
    warehouse: psycopg.Connection, tmp_path: Path, dialect: str, data: str, wanted: list[tuple[str, str]], form: str
) -> None:
    text = f"{NOTES}csv: {{header: false, {dialect}}}\n"
    for chunk in (1, BIG):
        assert load(warehouse, tmp_path, data, text, form=form, chunk_bytes=chunk) == wanted


NOTHING = [b"", b"\xef\xbb\xbf", b"\n", b"\r\n\n", gzip.compress(b"")]


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
@pytest.mark.parametrize("data", NOTHING)
def test_a_file_without_its_header_is_refused(
    warehouse: psycopg.Connection, tmp_path: Path, mode: str, data: bytes
) -> None:
    text = NOTES if mode == "append" else KEYED + f"mode: {mode}\n"
    dataset, file = make_dataset(tmp_path, text), tmp_path / "nothing.csv"
    file.write_bytes(data)
    for _ in range(2):  # without a table, and with rows in it
        with pytest.raises(HeaderMismatch, match=r"nothing\.csv:1: the file is empty: it lacks the header"):
            ingest(warehouse, dataset, file, tmp_path)
        ingest(warehouse, dataset, "id,note\n1,a\n", tmp_path)
        assert rows(warehouse, "id", "notes") == [("1",)]


def test_a_header_without_rows_is_no_fault(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    account = ingest(warehouse, make_dataset(tmp_path, KEYED), "id,note\n", tmp_path)
    assert (account.status, counts(account)) == ("done", {})


def test_a_folder_of_which_one_file_is_empty_is_refused(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("id,note\n1,a\n")
    (tmp_path / "in" / "b.csv").write_text("")
    with pytest.raises(HeaderMismatch, match=r"in/b\.csv:1: the file is empty"):
        ingest(warehouse, make_dataset(tmp_path, KEYED), tmp_path / "in", tmp_path)


def test_files_without_headers_may_be_empty(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    assert load(warehouse, tmp_path, "", NOTES + "csv: {header: false}\n") == []


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_a_quote_that_is_never_closed_fails_the_run_before_anything_is_touched(
    warehouse: psycopg.Connection, tmp_path: Path, mode: str, header: bool
) -> None:
    text = (NOTES if mode == "append" else KEYED + f"mode: {mode}\n") + f"csv: {{header: {str(header).lower()}}}\n"
    first = "id,note\n" if header else "id,\n"
    dataset = make_dataset(tmp_path, text, chunk_bytes=8)
    ingest(warehouse, dataset, first + "1,a\n", tmp_path)
    before = rows(warehouse, "id, note, xmin::text", "notes")
    with pytest.raises(RecordNotEnded, match=r"\.csv:3: unterminated quoted field: the quote at byte \d+ is never"):
        ingest(warehouse, dataset, first + '1,b\n2,"c\n3,d\n4,e\n', tmp_path)
    assert rows(warehouse, "id, note, xmin::text", "notes") == before


def test_a_quote_that_is_never_closed_is_found_in_each_file(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text('id,note\n1,"a\n2,b\n')
    (tmp_path / "in" / "b.csv").write_text('id,note\n"3",c\n4,"\n')
    with pytest.raises(RecordNotEnded, match=r"in/a\.csv:2: "):
        ingest(warehouse, make_dataset(tmp_path, KEYED), tmp_path / "in", tmp_path)


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_the_longest_record_is_a_field_of_the_dataset(
    warehouse: psycopg.Connection, tmp_path: Path, mode: str
) -> None:
    text = NOTES if mode == "append" else KEYED
    data = "id,note\n1,a\n2,\"" + "b\n" * 1000 + '"\n'
    with pytest.raises(RecordTooLong, match=r"\.csv:3: .* longer than 1,024 bytes \(max_record_bytes\)"):
        load(warehouse, tmp_path, data, text + "max_record_bytes: 1024\n", block_bytes=100)
    found = load(warehouse, tmp_path, data, text + "max_record_bytes: 2048\n", block_bytes=100)
    assert [len(note) for _, note in found] == [1, 2000]
