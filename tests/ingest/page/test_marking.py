"""Where the bad value of a record is marked; Python's own csv module says where its fields are."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.ingest.dataset.columns import CsvFormat
from include.ingest.report.marking import Marked, marked, spans

PLAIN = CsvFormat.model_validate({})
CELLS = st.lists(st.text(alphabet="ab,;\"' \n7", max_size=6), min_size=2, max_size=6)


@pytest.mark.parametrize(
    ("raw", "value", "place", "expected"),
    [
        ("7,7,x", "7", 1, ("7,", "7", ",x")),
        ('1,"12,50",x', "12,50", 1, ("1,", '"12,50"', ",x")),
        ('1,"say ""no""",x', 'say "no"', 1, ("1,", '"say ""no"""', ",x")),
        ("1,,x\r\n", None, 1, ("1,", "", ",x\r\n")),
        ("1, -3 ,x", "-3", 1, ("1,", " -3 ", ",x")),
        ("1,2", "only here", 5, ("1,2", "", "")),
        ("1,twice,twice", "twice", None, ("1,twice,twice", "", "")),
        ("1,once,2", "once", None, ("1,", "once", ",2")),
        ("1,moved,2", "moved", 2, ("1,", "moved", ",2")),
        ("1,2", None, None, ("1,2", "", "")),
    ],
)
def test_the_bad_value_is_marked(raw: str, value: str | None, place: int | None, expected: tuple[str, ...]) -> None:
    assert marked(raw, value, place, PLAIN) == Marked(*expected)


def test_an_escape_keeps_a_quote_within_its_field() -> None:
    dialect = CsvFormat.model_validate({"escape": "\\"})
    raw = '1,"a\\",b",x'
    assert [raw[start:end] for start, end in spans(raw, dialect)] == ["1", '"a\\",b"', "x"]


def test_a_file_without_quotes() -> None:
    dialect = CsvFormat.model_validate({"quote": None, "delimiter": ";"})
    assert marked('1;"a;b', '"a', 1, dialect) == Marked("1;", '"a', ";b")


@given(CELLS)
def test_fields_are_where_another_reader_finds_them(cells: list[str]) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    raw = written.getvalue()
    fields = [raw[start:end] for start, end in spans(raw, PLAIN)]
    alone = [list(csv.reader(io.StringIO(field, newline=""), strict=True)) for field in fields]
    assert [rows[0][0] if rows else "" for rows in alone] == cells


@given(CELLS, st.integers(0, 7))
def test_nothing_of_the_record_is_lost(cells: list[str], place: int) -> None:
    raw = ",".join(cells)
    found = marked(raw, cells[0], place, PLAIN)
    assert found.before + found.bad + found.after == raw
