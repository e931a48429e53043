"""How bytes become records and cells: what PostgreSQL's COPY, or a person, makes of the same file."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest import ledger
from include.ingest.csv.records import RecordTooLong
from include.ingest.csv.scan import RecordNotEnded
from include.ingest.dataset.definition import RejectLimit
from include.ingest.errors import HeaderMismatch, IngestError, SourceDamaged, SourceMissing
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
    data = '\n\nid,note\n\n\n1,a\n\n2,b\n3,\n\n\n4,"c"\n\n5,"d\n\n"\n\n6,e\n\n\n'.replace("\n", end)
    wanted = [("1", "a"), ("2", "b"), ("3", None), ("4", "c"), ("5", f"d{end}{end}"), ("6", "e")]
    for chunk, block in [(BIG, BIG), (1, BIG), (7, 9), (BIG, 1)]:
        found = load(warehouse, tmp_path, data, text, form=form, chunk_bytes=chunk, block_bytes=block)
        assert found == wanted, (chunk, block)


@ENDS
@pytest.mark.parametrize("form", ["promote", "merge"])
def test_a_blank_line_in_a_file_of_one_column_is_no_record(
    warehouse: psycopg.Connection, tmp_path: Path, end: str, form: str
) -> None:
    data = 'id\n\na\n\n\nb\n"c"\n\n'.replace("\n", end)
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


NOTHING = {
    "no bytes": b"",
    "a byte order mark": b"\xef\xbb\xbf",
    "a blank line": b"\n",
    "blank lines": b"\r\n\n",
    "gzip of nothing": gzip.compress(b""),
}


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
@pytest.mark.parametrize("data", NOTHING.values(), ids=NOTHING)
def test_a_file_without_its_header_is_refused(
    warehouse: psycopg.Connection, tmp_path: Path, mode: str, data: bytes
) -> None:
    text = NOTES if mode == "append" else KEYED + f"mode: {mode}\n"
    dataset, file = make_dataset(tmp_path, text), tmp_path / "nothing.csv"
    file.write_bytes(data)
    for number in (1, 2):  # without a table, and with rows in it
        with pytest.raises(HeaderMismatch, match=r"nothing\.csv:1: the file is empty: it lacks the header"):
            ingest(warehouse, dataset, file, tmp_path)
        ingest(warehouse, dataset, "id,note\n1,a\n", tmp_path)
        assert rows(warehouse, "id", "notes") == [("1",)] * (number if mode == "append" else 1)


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
def test_the_longest_record_is_a_field_of_the_dataset(warehouse: psycopg.Connection, tmp_path: Path, mode: str) -> None:
    text = NOTES if mode == "append" else KEYED
    data = 'id,note\n1,a\n2,"' + "b\n" * 1000 + '"\n'
    with pytest.raises(RecordTooLong, match=r"\.csv:3: .* longer than 1,024 bytes \(max_record_bytes\)"):
        load(warehouse, tmp_path, data, text + "max_record_bytes: 1024\n", block_bytes=100)
    found = load(warehouse, tmp_path, data, text + "max_record_bytes: 2048\n", block_bytes=100)
    assert [len(note) for _, note in found] == [1, 2000]


def refused(warehouse: psycopg.Connection, folder: Path, data: bytes, text: str = NOTES) -> str:
    """Why a file is refused, as a person and the ledger are told."""
    with pytest.raises(IngestError) as caught:
        load(warehouse, folder, data, text)
    assert not getattr(caught.value, "__notes__", ()), "a second fault"
    return str(caught.value)


WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("header", ["true", "false"])
@pytest.mark.parametrize("encoding", WIDE)
def test_utf_16_is_named(warehouse: psycopg.Connection, tmp_path: Path, encoding: str, header: str) -> None:
    for own in ("utf-8", "latin-1"):
        said = refused(
            warehouse, tmp_path, "id,note\n1,a\n2,é\n".encode(encoding),
            f"{NOTES}csv: {{encoding: {own}, header: {header}}}\n",
        )  # fmt: skip
        assert f".csv is {encoding[:6].upper()}, " in said
        assert f"iconv -f {encoding[:6]} -t utf-8" in said


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"id\0,note", r"lacks id; it holds: id\x00, note"),
        (b"id;note", 'The header has one column and one `;`: set `csv.delimiter: ";"`.'),
        (b"id\tnote", r'The header has one column and one `\t`: set `csv.delimiter: "\t"`.'),
        (b"\xff,note", "lacks id; it holds: \ufffd, note"),
    ],
)
def test_what_is_wrong_with_a_header_is_said(
    warehouse: psycopg.Connection, tmp_path: Path, header: bytes, said: str
) -> None:
    assert said in refused(warehouse, tmp_path, header + b"\n1,a\n")


def test_a_column_that_is_ignored_may_hold_anything(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    data = b"id,\0\xff,note\n1,\xff\0,a\n"
    assert load(warehouse, tmp_path, data) == [("1", "a")]
    assert load(warehouse, tmp_path, data, KEYED, form="merge") == [("1", "a")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(gzip.compress(b"id,note\n")), "unpacked, is compressed twice"),
        (gzip.compress(b"PK\x03\x04" + bytes(50)), "unpacked, is zip"),
        (gzip.compress(b"a.csv".ljust(257, b"\0") + b"ustar" + bytes(250)), "unpacked, is tar"),
        (b"PK\x03\x04" + bytes(50), r"is zip, which is not read: deliver it uncompressed"),
        (b"BZh91AY&SY" + bytes(50), "is bzip2"),
        (b"PAR1\x15\x04", "is Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a workbook of Excel"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",  # gzip's time would be another in each worker
)
def test_what_is_no_text_is_named(warehouse: psycopg.Connection, tmp_path: Path, data: bytes, said: str) -> None:
    assert said in refused(warehouse, tmp_path, data)


def test_a_header_may_begin_like_the_mark_of_another_form(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    for name in ("PAR1", "BZh9", "Rar!", "ustar"):
        text = NOTES.replace("id: {type: text}", f"id: {{type: text, source: {name}}}")
        assert load(warehouse, tmp_path, f"{name},note\n1,a\n", text) == [("1", "a")]


@pytest.mark.parametrize("mode", [NOTES, KEYED])
def test_names_of_files_need_not_be_utf_8(warehouse: psycopg.Connection, tmp_path: Path, mode: str) -> None:
    folder = tmp_path / os.fsdecode(b"in\xe9")
    folder.mkdir()
    for number, name in enumerate((b"a\xff [1].csv", b"b\xe9.csv")):
        (folder / os.fsdecode(name)).write_text(f"id,note\n{number},a\n{number},b,c\n")
    dataset = make_dataset(tmp_path, mode, reject_limit=RejectLimit(rows=None, ratio=None))
    account = ingest(warehouse, dataset, folder, tmp_path)
    assert counts(account) == {"read": 4, "inserted": 2, "rejected": 2}
    assert account.file.endswith("/in%E9")
    files = warehouse.execute("SELECT file, line_number FROM millrace.rejected_row ORDER BY file").fetchall()
    assert [(file.rpartition("/")[2], line) for file, line in files] == [("a%FF%20%5B1%5D.csv", 3), ("b%E9.csv", 3)]
    again = ingest(warehouse, dataset, folder / os.fsdecode(b"b\xe9.csv"), tmp_path)
    assert again.status == "done"
    with pytest.raises(SourceMissing, match=r"c%E9\.csv is not there"):
        ingest(warehouse, dataset, folder / os.fsdecode(b"c\xe9.csv"), tmp_path)


def test_what_is_no_file_is_named(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(SourceDamaged, match=r"pipe\.csv is neither a file nor a folder"):
        ingest(warehouse, make_dataset(tmp_path, NOTES), tmp_path / "pipe.csv", tmp_path)
    with pytest.raises(SourceMissing, match=r"pipe\.csv/a\.csv is not there"):
        ingest(warehouse, make_dataset(tmp_path, NOTES), tmp_path / "pipe.csv" / "a.csv", tmp_path)


@pytest.mark.parametrize("reason", ["a NUL \0", "half \udcff of a pair", "é"])
def test_a_reason_can_always_be_written(warehouse: psycopg.Connection, reason: str) -> None:
    with warehouse.cursor() as cursor:
        ledger.fail_run(cursor, uuid4(), reason)
        ledger.note_reason(cursor, uuid4(), reason)


def test_a_fault_is_not_hidden_by_one_that_follows(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    warehouse.execute("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'")
    warehouse.execute(
        "CREATE TRIGGER t BEFORE UPDATE ON millrace.ingest_run FOR EACH ROW WHEN (new.status = 'failed')"
        " EXECUTE FUNCTION no()"
    )
    with pytest.raises(HeaderMismatch) as caught:
        ingest(warehouse, make_dataset(tmp_path, NOTES), "other\n", tmp_path)
    assert "could not be marked as failed" in caught.value.__notes__[0]
