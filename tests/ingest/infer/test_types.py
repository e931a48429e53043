"""What `init` says of columns: types, formats, marks, null words and odd values, and that PostgreSQL takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.ingest.infer.command import look
from include.ingest.infer.compose import announced, doubts_of, warnings_of
from include.ingest.infer.inspect import Found
from include.ingest.infer.said import Said
from include.ingest.infer.values import Column
from tests.ingest.infer.judging import judge, problems

FILLER = 40  # rows, so that one odd value is a small share of none


def look_at(folder: Path, text: str | bytes, key: Sequence[str] = ()) -> Found:
    """What is found in a file with that text."""
    file = folder / "file.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return look(str(file), Said(key))


def column(folder: Path, values: Sequence[str], delimiter: str = "|") -> Column:
    """What is found of a column with these values, beside one that numbers the rows."""
    lines = [f"{number}{delimiter}{value}" for number, value in enumerate(values, 1)]
    found = look_at(folder, "\n".join([f"nr{delimiter}value", *lines]) + "\n")
    assert found.names == ["nr", "value"]
    return found.columns[1]


def said(folder: Path, values: Sequence[str], delimiter: str = "|") -> tuple[str, dict[str, Any]]:
    """Type and options of a column with these values."""
    it = column(folder, values, delimiter)
    return it.type, dict(it.options)


COMMA = {"decimal_mark": ","}
EUROPEAN = {"decimal_mark": ",", "thousands_mark": "."}
TYPES: list[tuple[Sequence[str], str, dict[str, Any]]] = [
    (["1", "22", "-333"], "integer", {}),
    (["1", "40000"], "integer", {}),
    (["1", "9223372036854775700"], "bigint", {}),
    (["1", "12345678901234567890123"], "numeric(38,0)", {}),
    (["00123", "00456"], "text", {}),
    (["+4915112345678", "+4915112345679"], "text", {}),
    (["1.50", "22.75", "3"], "numeric(12,2)", {}),
    (["1,50", "22,75"], "numeric(12,2)", COMMA),
    (["1.234,50", "22,75"], "numeric(12,2)", EUROPEAN),
    (["1,234.50", "22.75"], "numeric(12,2)", {"thousands_mark": ","}),
    (["1,234,567", "22"], "integer", {"thousands_mark": ","}),
    (["1'234.50", "22.75"], "numeric(12,2)", {"thousands_mark": "'"}),
    (["1 234,50", "22,75"], "numeric(12,2)", {"decimal_mark": ",", "thousands_mark": " "}),
    (["0.12345678901", "1.5"], "double precision", {}),
    (["1.5e-3", "2"], "double precision", {}),
    (["true", "false"], "boolean", {}),
    (["TRUE", "False"], "boolean", {}),
    (["ja", "nein", "Ja"], "boolean", {"true_words": ["ja"], "false_words": ["nein"]}),
    (["2026-02-28", "2024-02-29"], "date", {}),
    (["2026-2-8", "2024-12-29"], "date", {"formats": ["%Y-%m-%d"]}),
    (["28.02.2026", "29.02.2024"], "date", {"formats": ["%d.%m.%Y"]}),
    (["02/28/2026", "01/02/2026"], "date", {"formats": ["%m/%d/%Y"]}),
    (["28/02/2026", "01/02/2026"], "date", {"formats": ["%d/%m/%Y"]}),
    (["28-Feb-2026", "01-Mar-2026"], "date", {"formats": ["%d-%b-%Y"]}),
    (["February 28, 2026", "March 1, 2026"], "date", {"formats": ["%B %d, %Y"]}),
    (["28.02.26", "31.12.99"], "date", {"formats": ["%d.%m.%y"]}),
    (["20260228", "20261231"], "date", {"formats": ["%Y%m%d"]}),
    (["10:30", "23:59"], "time", {}),
    (["9:30 AM", "11:59 PM"], "time", {"formats": ["%I:%M %p"]}),
    (["2026-02-28 10:30:00", "2026-03-01 00:00:00"], "timestamp", {}),
    (["2026-02-28T10:30:00.123", "2026-03-01T00:00:00.5"], "timestamp", {}),
    (["28.02.2026 10:30", "01.03.2026 9:05"], "timestamp", {"formats": ["%d.%m.%Y %H:%M"]}),
    (["2026-02-28T10:30:00Z", "2026-03-01T00:00:00+02:00"], "timestamptz", {}),
    (["123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174001"], "uuid", {}),
    (['{"a": 1}', "[1, 2, null]"], "jsonb", {}),
    (['{"a": 1', "[1, 2]"], "text", {}),
    (["10.0.0.1", "10.0.0.2"], "text", {}),
    (["1.2.3", "1.2.4"], "text", {}),
    (["25:30", "36:10"], "text", {}),
    (["2026-02-30", "2026-02-31"], "text", {}),
    (["alder", "birch"], "text", {}),
]


@pytest.mark.parametrize(("values", "wanted", "options"), TYPES, ids=[str(case[0])[:40] for case in TYPES])
def test_types_and_how_values_are_written(
    tmp_path: Path, values: Sequence[str], wanted: str, options: dict[str, Any]
) -> None:
    assert said(tmp_path, list(values) * FILLER) == (wanted, options)


def test_postgresql_takes_every_type_as_it_was_found(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    head = "|".join(["nr", *(f"c{number}" for number in range(len(TYPES)))])
    rows = [
        "|".join([str(row), *(values[row % len(values)].replace('"', "'") for values, *_ in TYPES if values)])
        for row in range(60)
    ]
    text = "\n".join([head, *rows]) + "\n"
    judged = judge(warehouse, tmp_path, text.encode())
    assert problems(judged) == []
    assert judged.account.inserted == 60


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["01/02/2026", "03/04/2026"], "'01/02/2026' may be day first or month first, and no value decides"),
        (["01-02-03", "04-05-06"], "may be day first or"),
        (["1.234", "5.678"], "'.' in '1.234' may part thousands or be the decimal mark, and no value decides"),
        (["1,234", "5,678"], "',' in '1,234' may part thousands or be the decimal mark, and no value decides"),
        (["2026-02-28T10:30:00Z", "2026-03-01T00:00:00"], "40 values have no offset from UTC"),
    ],
)
def test_what_is_ambiguous_is_said(tmp_path: Path, values: list[str], wanted: str) -> None:
    (doubt,) = column(tmp_path, values * FILLER).doubts
    assert wanted in doubt


def test_another_column_may_decide(tmp_path: Path) -> None:
    rows = [
        f"{n}|{n % 12 + 1:02}/{n % 12 + 1:02}/2026|{n % 28 + 1}/{n % 12 + 1}/2026|1.234|5.{n % 90 + 10}"
        for n in range(50)
    ]
    found = look_at(tmp_path, "nr|due|paid|sum|price\n" + "\n".join(rows) + "\n")
    assert found.columns[1].options == {"formats": ["%d/%m/%Y"]}
    assert (found.columns[3].type, found.columns[3].doubts) == ("numeric(12,3)", ())
    assert doubts_of(found) == []


@pytest.mark.parametrize("word", ["NULL", "n/a", "k.A.", "-", "NaN", "?", "\\N"])
def test_null_words_where_they_would_break_a_type(tmp_path: Path, word: str) -> None:
    it = column(tmp_path, ["1.5", word, "2.5"] * FILLER)
    assert (it.type, it.null_words, it.nullable) == ("numeric(12,1)", (word,), True)
    text = column(tmp_path, ["alder", word, "birch"] * FILLER)
    assert (text.type, text.null_words, text.nullable) == ("text", (), False)


def test_a_null_word_is_the_whole_files(tmp_path: Path) -> None:
    rows = [f"{n}|{'-' if n % 3 else n / 2}|{'-' if n % 4 else 'x'}" for n in range(40)]
    found = look_at(tmp_path, "nr|amount|mark\n" + "\n".join(rows) + "\n")
    assert [one.nullable for one in found.columns] == [False, True, True]


def test_an_odd_value_is_named_with_its_line_and_the_type_is_proposed(tmp_path: Path) -> None:
    rows = [f"{n}|{n / 4:.2f}" for n in range(1, 501)]
    rows[320] = "321|n/a?"
    found = look_at(tmp_path, "nr|amount\n" + "\n".join(rows) + "\n")
    assert found.columns[1].type == "numeric(12,2)"
    assert warnings_of(found) == ["amount: 1 row would be rejected, not numeric(12,2): 'n/a?' on line 322"]
    assert announced(found) == 1


def test_where_rows_are_few_the_type_is_text_and_why_is_said(tmp_path: Path) -> None:
    it = column(tmp_path, ["1.5", "oops", "2.5", "3.5"])
    assert it.type == "text"
    assert it.notes == ("text only because of 'oops' on line 3; all else is numeric(12,1)",)


def test_a_line_is_the_physical_one_also_after_quoted_line_ends(tmp_path: Path) -> None:
    rows = [f'{n},"a\nb",{n}' for n in range(1, 400)]
    rows[300] = '301,"a\nb",twelve'
    found = look_at(tmp_path, "id,note,count\n" + "\n".join(rows) + "\n")
    assert "'twelve' on line 602" in warnings_of(found)[0]
    lines = (tmp_path / "file.csv").read_text().split("\n")
    assert lines[601:603] == ['301,"a', 'b",twelve']


def test_white_space_around_values_is_trimmed_where_the_type_needs_it(tmp_path: Path) -> None:
    it = column(tmp_path, [" 1", "2 ", "3"] * FILLER)
    assert (it.type, it.options) == ("integer", {"trim": True})


def test_empty_columns_and_empty_cells(tmp_path: Path) -> None:
    assert column(tmp_path, ["", "", ""]).nullable
    assert column(tmp_path, ["1", "", "3"] * FILLER).nullable
    assert not column(tmp_path, ["1", "2", "3"] * FILLER).nullable
