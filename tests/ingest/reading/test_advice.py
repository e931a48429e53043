"""What an error says of a file that is of another form than its dataset, and that following it helps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.ingest.errors import HeaderMismatch, IngestError, RejectLimitExceeded
from tests.ingest.loading import ingest, make_dataset, rows

NAMES = ["Nummer", "Fälligkeit", "Straße", "Betrag"]
INVOICES = """
name: invoices
source: "{{ inbox }}/any.csv"
target: public.invoices
key: [number]
columns:
  number: {type: bigint, source: Nummer}
  due: {type: date, source: Fälligkeit}
  street: {type: text, source: Straße}
  amount: {type: "numeric(8,2)", source: Betrag}
"""
RECORDS = [["1", "2026-03-01", "Öder Weg 1", "2.50"], ["2", "2026-03-02", "Am Tor", "3.00"]]
PLAIN = """
name: plain
source: "{{ inbox }}/any.csv"
target: public.plain
mode: append
columns:
  a: {type: integer}
  b: {type: text}
  c: {type: text}
"""


def text(delimiter: str = ",", *, above: str = "", header: list[list[str]] | None = None) -> str:
    lines = [*([NAMES] if header is None else header), *RECORDS]
    return above + "".join(delimiter.join(line) + "\n" for line in lines)


def said_of(
    connection: psycopg.Connection, folder: Path, data: str | bytes, csv: str = "", dataset: str = INVOICES
) -> str:
    with pytest.raises(IngestError) as caught:
        ingest(connection, make_dataset(folder, f"{dataset}csv: {{{csv}}}\n"), data, folder)
    return str(caught.value)


TWO = [["", "Fälligkeit", "", "Betrag"], ["Nummer", "", "Straße", ""]]
FORMS: list[Any] = [
    (text(above="a\nb,c\n\nd\n").encode(), "", ":1: the header lacks Nummer, Fälligkeit, Straße, Betrag; it holds"
     " 1 field, none with the name of a column. Line 5 holds all 4 columns: set `csv.skip_lines: 4` or `csv.header:"
     " search`."),
    (text(";").encode(), "", 'The header has one column and three `;`: set `csv.delimiter: ";"`.'),
    (text("\t").encode(), "", 'The header has one column and three `\\t`: set `csv.delimiter: "\\t"`.'),
    (text().encode("cp1252"), "", "It reads right as windows-1252: set `csv.encoding: windows-1252`."),
    (text().encode("cp850"), "", "It reads right as cp850: set `csv.encoding: cp850`."),
    (text().encode("cp850"), "encoding: latin-1", "It reads right as cp850: set `csv.encoding: cp850`."),
    (text().encode(), "encoding: latin-1", "It reads right as utf-8: set `csv.encoding: utf-8`."),
    (text(header=TWO).encode(), "", "Line 1 and the one after it, joined, hold all 4 columns: set"
     " `csv.header_lines: 2`."),
    (text().encode(), "header_lines: 2", "Line 1 holds all 4 columns: set `csv.header_lines: 1`."),
    (text().encode(), "skip_lines: 1", "Line 1 holds all 4 columns: set `csv.skip_lines: 0` or `csv.header: search`."),
    (text().encode(), "skip_lines: 1, header: search", "Line 1 holds all 4 columns: set `csv.skip_lines: 0`."),
    (text(";", above="x\n").encode("cp1252"), "", "It reads right as windows-1252, where line 2 holds all 4 columns:"
     ' set `csv.skip_lines: 1`, `csv.encoding: windows-1252`, `csv.delimiter: ";"`.'),
    (text(";", above='"x\n').encode(), "header: search",
     'The header has one column and three `;`: set `csv.delimiter: ";"`.'),
]  # fmt: skip


@pytest.mark.parametrize(("data", "csv", "said"), FORMS, ids=range(len(FORMS)))
def test_what_to_set_is_said_and_helps(
    warehouse: psycopg.Connection, tmp_path: Path, data: bytes, csv: str, said: str
) -> None:
    message = said_of(warehouse, tmp_path, data, csv)
    assert said in message
    assert "csv.header: false" not in message
    told = dict(re.findall(r"`csv\.(\w+): ([^`]+)`", message.rpartition("set ")[2].split(" or ")[0]))
    before = dict(part.split(": ") for part in csv.split(", ") if part)
    form = ", ".join(f"{name}: {value}" for name, value in {**before, **told}.items())
    ingest(warehouse, make_dataset(tmp_path, f"{INVOICES}csv: {{{form}}}\n"), data, tmp_path)
    assert rows(warehouse, "number, street", "invoices") == [(1, "Öder Weg 1"), (2, "Am Tor")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("1,x,y\n", "It reads as a row of the dataset: where the files have no header, set `csv.header: false`."),
        ("x,y,z\n", "Set `source:` of a column in plain.yaml to its name in the file."),  # no row: x is no integer
        ("1,b,c\n", "Set `source:` of a column in plain.yaml to its name in the file."),  # two names are there
        ("a;b;d\n", "The header has one column and two `;`: is ';' its `csv.delimiter` rather than ','?"),
        (b"a,b,\xe9\n", "It is no utf-8; as windows-1252 it reads: a,b,é. Set `source:`"),
        ("a,a,b,c\n", "the header names a twice; it holds: a, a, b, c. Name each column once"),
    ],
)  # fmt: skip
def test_what_else_may_be_wrong_with_a_header(
    warehouse: psycopg.Connection, tmp_path: Path, data: str | bytes, said: str
) -> None:
    assert said in said_of(warehouse, tmp_path, data, dataset=PLAIN)


def test_a_row_for_a_header_is_only_said_to_be_one_where_it_is(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    for data in ("1,x\n", "1,x,y,z\n", "a,b,d\n", "\n"):
        with pytest.raises(HeaderMismatch) as caught:
            ingest(warehouse, make_dataset(tmp_path, PLAIN), data, tmp_path)
        assert ("where the files have no header" in str(caught.value)) is False


@pytest.mark.parametrize(
    ("data", "csv", "said"),
    [
        ("Müller,x\n".encode("cp1252") * 3, "header: false",
         "Most of them are no utf-8, and all are text as windows-1252: if they read right so, set"
         " `csv.encoding: windows-1252`."),
        (b"\xff\xfe\x81\x8d,x\n", "header: false, encoding: euc_kr", "Most of them are no euc_kr, and all are text as"),
        ("a;b\n" * 5 + "c\n", "header: false", "Most of them have fewer fields than the header: `csv.short_rows"),
        ("a;b\n" * 5, "header: false", 'Most of them have 2 fields where `csv.delimiter` is ";": set it so.'),
        ("a\tb\n" * 5, "header: false", 'Most of them have 2 fields where `csv.delimiter` is "\\t": set it so.'),
        ("x,y\na\nb\n", "", "Most of them have fewer fields than the header: `csv.short_rows: fill`"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("limit", ["rows: 0", "rows: null, ratio: 0.9"])  # seen while a chunk loads, or at its merge
def test_a_limit_that_is_passed_names_the_likely_cause(
    warehouse: psycopg.Connection, tmp_path: Path, data: str | bytes, csv: str, said: str, limit: str
) -> None:
    dataset = PLAIN.replace("  a: {type: integer}\n  b", "  x").replace("  c", "  y")
    message = said_of(warehouse, tmp_path, data, csv, f"{dataset}reject_limit: {{{limit}}}\n")
    assert said in message
    assert message.index(said) < message.index("Nothing was changed in the target.")


def test_other_faults_are_no_matter_of_the_form(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, PLAIN + "reject_limit: {rows: 0}\n")
    with pytest.raises(RejectLimitExceeded) as caught:
        ingest(warehouse, dataset, "a,b,c\nx,1,1\ny,1,1\n1\n", tmp_path)
    assert "Most of them" not in str(caught.value)
