from __future__ import annotations

import json
import random
import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Connection, sql

from include.ingest.cast import cast_column, check_column
from include.ingest.dataset.columns import Column
from include.ingest.dataset.sql_types import ValueFault, read_value

Outcome = tuple[list[Any], dict[int, str]]


def column(kind: str, **options: Any) -> Column:
    return Column.model_validate({"type": kind, **options})


def cast(cells: Sequence[str | bytes], given: Column, nulls: Sequence[str] = ("",)) -> Outcome:
    """The values, and the broken rule by row."""
    raw = [cell if isinstance(cell, bytes) else cell.encode() for cell in cells]
    values, faults = cast_column(pa.array(raw, pa.binary()), given, nulls)
    values.validate(full=True)
    assert values.type == given.sql_type.arrow
    assert len(values) == len(cells)
    rules: dict[int, str] = {}
    for fault in faults:
        assert fault.rows.dtype == np.int64
        assert fault.reason
        for row in fault.rows.tolist():
            assert row not in rules
            assert values[row].as_py() is None
            rules[row] = fault.rule
    return values.to_pylist(), rules


def one(cell: str | bytes, given: Column) -> Any:
    """The value of a cell that fits, or the rule that it breaks."""
    values, rules = cast([cell], given, nulls=[])
    return f"! {rules[0]}" if rules else values[0]


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("integer", "007", 7),
        ("integer", "+7", 7),
        ("integer", "-0", 0),
        ("integer", "0" * 30 + "5", 5),
        ("integer", "2147483647", 2147483647),
        ("integer", "-2147483648", -2147483648),
        ("integer", "2147483648", "! range"),
        ("integer", "-2147483649", "! range"),
        ("integer", "9" * 5000, "! range"),
        ("smallint", "32767", 32767),
        ("smallint", "32768", "! range"),
        ("smallint", "0xFFFF", "! type"),
        ("bigint", "9223372036854775807", 2**63 - 1),
        ("bigint", "9223372036854775808", "! range"),
        *(
            ("integer", cell, "! type")
            for cell in (" 1", "1 ", "1e5", "1.0", "0x10", "0X1", "1_000", "", "-", "twelve", "\u0661")
        ),
        ("numeric(12,2)", "1234567890.99", Decimal("1234567890.99")),
        ("numeric(12,2)", "-.5", Decimal("-0.50")),
        ("numeric(12,2)", "1.", Decimal("1.00")),
        ("numeric(12,2)", "1e3", Decimal("1000.00")),
        ("numeric(12,2)", "+1E-2", Decimal("0.01")),
        ("numeric(12,2)", "1.23000", Decimal("1.23")),
        ("numeric(12,2)", "1." + "0" * 60, Decimal("1.00")),
        ("numeric(12,2)", "0e100", Decimal("0.00")),
        ("numeric(12,2)", "1.234", "! range"),
        ("numeric(12,2)", "1e-3", "! range"),
        ("numeric(12,2)", "12345678901.00", "! range"),
        ("numeric(12,2)", "1e10", "! range"),
        ("numeric(12,2)", "1e999999999999999999999", "! range"),
        ("numeric(38,0)", "9" * 38, Decimal("9" * 38)),
        ("numeric(38,0)", "9" * 39, "! range"),
        ("numeric(38,38)", "0." + "9" * 38, Decimal("0." + "9" * 38)),
        ("numeric(38,38)", "1", "! range"),
        ("numeric(38,10)", "9989999999999999999999999999999999999", "! range"),
        ("numeric(38,10)", "1e30", "! range"),
        ("numeric(38,30)", "-12345678.5", Decimal("-12345678.5")),
        *(
            ("numeric(12,2)", cell, "! type")
            for cell in ("12.5.0", "", ".", "1 ", "NaN", "inf", "0x1", "1,5", "--1", "1e")
        ),
        ("double precision", "1e5", 1e5),
        ("double precision", "+.5", 0.5),
        ("double precision", "5e-324", 5e-324),
        ("double precision", "-Infinity", float("-inf")),
        ("double precision", "inf", float("inf")),
        ("double precision", "0e999", 0.0),
        ("double precision", "-0.0", -0.0),
        ("double precision", "1e999", "! range"),
        ("double precision", "1e-999", "! range"),
        ("real", "16777217", 16777216.0),
        ("real", "3.5e38", "! range"),
        ("real", "1e-60", "! range"),
        *(
            ("double precision", cell, "! type")
            for cell in ("nan(1)", "-nan", "0x10", " 1", "1d5", "1e", ".", "", "1,5")
        ),
        ("boolean", "TRUE", True),
        ("boolean", "oN", True),
        ("boolean", "y", True),
        ("boolean", "1", True),
        ("boolean", "False", False),
        ("boolean", "OFF", False),
        ("boolean", "n", False),
        ("boolean", "0", False),
        *(("boolean", cell, "! type") for cell in ("ja", "", " true", "2", "tru")),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("date", "0001-01-01", date(1, 1, 1)),
        ("date", "9999-12-31", date.max),
        *(
            ("date", cell, "! type")
            for cell in ("2026-02-31", "2023-02-29", "0000-01-01", "2026-2-1", "20260101", "10000-01-01")
        ),
        *(
            ("date", cell, "! type")
            for cell in ("2026-01-01 ", "2026-13-01", "2026-01-00", "2026/01/01", "2026-01-01T00:00", "")
        ),
        ("time", "12:34", time(12, 34)),
        ("time", "12:34:56", time(12, 34, 56)),
        ("time", "23:59:59.999999", time.max),
        ("time", "12:34:56.5000000", time(12, 34, 56, 500000)),
        *(
            ("time", cell, "! type")
            for cell in ("24:00:00", "23:59:60", "12", "1:02:03", "12:60", "12:34:56Z", "12:34:56.1234567")
        ),
        ("timestamp", "2026-02-28T10:00:00", datetime(2026, 2, 28, 10)),
        ("timestamp", "2026-02-28 10:00", datetime(2026, 2, 28, 10)),
        ("timestamp", "2026-02-28", datetime(2026, 2, 28)),
        ("timestamp", "2026-02-28t10:00:00.1234560", datetime(2026, 2, 28, 10, 0, 0, 123456)),
        *(
            ("timestamp", cell, "! type")
            for cell in ("2026-02-28 10", "2026-02-28 24:00:00", "2026-02-28 23:59:60", "now")
        ),
        *(
            ("timestamp", cell, "! type")
            for cell in ("2026-02-28 10:00:00Z", "2026-02-28 10:00:00+02:00", "2026-02-31 10:00:00")
        ),
        *(
            ("timestamp", cell, "! type")
            for cell in ("2026-02-28 10:00:00.1234567", "0000-01-01 00:00:00", "infinity", "")
        ),
        ("timestamptz", "2026-02-28T10:00:00Z", datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ("timestamptz", "2026-02-28 10:00:00+02:00", datetime(2026, 2, 28, 8, tzinfo=UTC)),
        ("timestamptz", "2026-02-28 10:00:00.5-0230", datetime(2026, 2, 28, 12, 30, 0, 500000, tzinfo=UTC)),
        ("timestamptz", "2026-02-28 10:00+01", datetime(2026, 2, 28, 9, tzinfo=UTC)),
        ("timestamptz", "2026-02-28 10:00:00 +0100", datetime(2026, 2, 28, 9, tzinfo=UTC)),
        ("timestamptz", "2026-02-28 10:00:00 UTC", datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ("timestamptz", "2026-02-28 10:00:00", datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ("timestamptz", "2026-02-28", datetime(2026, 2, 28, tzinfo=UTC)),
        ("timestamptz", "2026-02-28 10:00:00+15:59", datetime(2026, 2, 27, 18, 1, tzinfo=UTC)),
        ("timestamptz", "0001-01-01T00:00:00+05:00", "! range"),
        ("timestamptz", "9999-12-31T23:00:00-05:00", "! range"),
        *(
            ("timestamptz", f"2026-02-28 10:00:00{zone}", "! type")
            for zone in ("+16:00", "-1600", "+16", "+02:60", "+2", "+02:00:30")
        ),
        *(
            ("timestamptz", cell, "! type")
            for cell in ("2026-02-31T10:00:00Z", "2026-02-28 10Z", "2026-02-28Z", "2026-02-28 10+02", "")
        ),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").bytes),
        ("uuid", "a0eebc999c0b4ef8bb6d6bb9bd380a11", UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").bytes),
        *(
            ("uuid", cell, "! type")
            for cell in ("{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
        ),
        *(
            ("uuid", cell, "! type")
            for cell in ("", "a0eebc99-9c0b4ef8-bb6d-6bb9bd380a1111", "urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
        ),
        (
            "jsonb",
            ' {"a": [1, 2.5e3, null, "\\u00e9\\ud83d\\ude00"]} ',
            ' {"a": [1, 2.5e3, null, "\\u00e9\\ud83d\\ude00"]} ',
        ),
        ("json", "1" + "0" * 5000, "1" + "0" * 5000),
        ("json", r'"\\u0000"', r'"\\u0000"'),
        *(
            (kind, cell, "! type")
            for kind in ("json", "jsonb")
            for cell in ("{", "", "NaN", "[Infinity]", "{'a': 1}", "[" * 100_000, "[" * 501 + "]" * 501)
        ),
        *(("jsonb", cell, "! type") for cell in ('"\\ud800"', '"\\udc00\\ud800"')),
        *(("jsonb", f'"\\ud83d{part}\\ude00"', "! type") for part in (r"\/", r"\"", r"\\", r"\n", " ", r"\u0041")),
        *(("json", cell, cell) for cell in ('"\\ud800"', r'"\u0000"', "1e99999", "[" * 500 + "]" * 500)),
        ("jsonb", r'"\u0000"', "! nul"),
        *(("jsonb", cell, cell) for cell in ("1" * 131_072, "0." + "1" * 16_383, "1." + "1" * 16_384 + "e1")),
        *(("jsonb", cell, "! range") for cell in ("1" * 131_073, "[0." + "0" * 16_384 + "]")),
        ("jsonb", "1." + "1" * 16_383 + "e-1", "! range"),
        ("jsonb", "1" * 131_072 + "e1", "! range"),
        ("json", '"a\0"', "! nul"),
        ("numeric(5,0)", "0e1073741823", "! range"),
        ("numeric(5,0)", "0e1073741822", Decimal(0)),
        *(("boolean", cell, "! type") for cell in ("o\ufb00", "\u017f")),
        ("jsonb", "1e100000", "! range"),
        ("bytea", r"\x", b""),
        ("bytea", r"\x00fF", b"\x00\xff"),
        *(("bytea", cell, "! type") for cell in ("", r"\x0", r"\xgg", "00ff", r"\x00 ff", r"\X00", "\\")),
        ("text", " a ", " a "),
        ("text", "a\0b", "! nul"),
        ("text", b"\xff", "! encoding"),
        ("integer", b"1\xff", "! encoding"),
        ("varchar(3)", "äöü", "äöü"),
        ("varchar(3)", "äöüß", "! length"),
        ("varchar(3)", "a   ", "! length"),
    ],
)
def test_a_cell_is_read_exactly_or_located(kind: str, cell: str | bytes, value: Any) -> None:
    got = one(cell, column(kind))
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("kind", ["real", "double precision"])
def test_allowed_floats_are_equal_as_in_postgresql(kind: str) -> None:
    cells = ["0", "-0", "NaN", "1", "0.1"]
    assert cast(cells, column(kind, allowed=[0, "NaN"]))[1].keys() == {3, 4}
    assert cast(cells, column(kind, allowed=["-0.0", 0.1]))[1].keys() == {2, 3}


def test_nan_is_a_double() -> None:
    assert np.isnan(one("NaN", column("double precision")))
    assert np.isnan(one("nan", column("real")))


def test_bad_cells_do_not_disturb_the_good_ones_around_them() -> None:
    for size in (1, 2, 17, 4095, 4096, 4097, 20_000):
        cells = [str(number) for number in range(size)]
        bad = {0: "x", size // 2: "9" * 12, size - 1: "", size // 3: "0x1"}
        for row, cell in bad.items():
            cells[row] = cell
        values, rules = cast(cells, column("integer"), nulls=[])
        assert set(rules) == set(bad)
        assert [value for row, value in enumerate(values) if row not in bad] == [
            row for row in range(size) if row not in bad
        ]


def test_a_slice_of_a_larger_column_is_cast_alike() -> None:
    whole = pa.array([b"x", b"1", b"", b"3", b"y"], pa.binary())
    values, faults = cast_column(whole.slice(1, 3), column("integer", nullable=True), [""])
    assert (values.to_pylist(), faults) == ([1, None, 3], [])
    values, faults = cast_column(whole.slice(2, 3), column("text"), [""])
    assert values.to_pylist() == [None, "3", "y"]
    assert [(fault.rows.tolist(), fault.rule) for fault in faults] == [([0], "required")]


@pytest.mark.parametrize("kind", ["smallint", "numeric(5,2)", "text", "boolean", "date", "time", "timestamptz"])
def test_no_cells_give_no_values(kind: str) -> None:
    assert cast([], column(kind)) == ([], {})


@pytest.mark.parametrize(
    "kind", ["integer", "numeric(5,2)", "real", "boolean", "date", "time", "timestamp", "timestamptz"]
)
def test_a_column_of_nulls(kind: str) -> None:
    assert cast(["", "NULL"], column(kind, nullable=True), ["", "NULL"]) == ([None, None], {})
    assert cast(["", "NULL"], column(kind), ["", "NULL"]) == ([None, None], {0: "required", 1: "required"})


@pytest.mark.parametrize("kind", ["uuid", "json", "jsonb", "bytea", "text", "varchar(5)"])
def test_a_column_of_null_words(kind: str) -> None:
    assert cast(["", "NULL"], column(kind, nullable=True), ["", "NULL"]) == ([None, None], {})


def test_null_markers_are_whole_cells() -> None:
    given = column("text", nullable=True)
    assert cast(["", "NULL", "NULLS", " NULL", "\\N", "nil"], given, ["NULL", "\\N"])[0] == [
        "",
        None,
        "NULLS",
        " NULL",
        None,
        "nil",
    ]


def test_trim_comes_before_nulls_and_knows_unicode_space() -> None:
    given = column("text", nullable=True, trim=True)
    assert cast(["  ", "\u00a0a b\u2003", "\ta\n", "é ", "b"], given) == ([None, "a b", "a", "é", "b"], {})
    assert cast([" 1", "2\u00a0"], column("integer", trim=True)) == ([1, 2], {})


def test_a_default_stands_in_for_null_and_is_cast() -> None:
    assert cast(["", "2", "NULL"], column("integer", default=7), ["", "NULL"]) == ([7, 2, 7], {})
    assert cast(["", "a"], column("text", default="none")) == (["none", "a"], {})
    assert cast([b"\xff", ""], column("text", default="none")) == ([None, "none"], {0: "encoding"})


@pytest.mark.parametrize(
    ("given", "cell", "rule"),
    [
        (column("integer", min=1, max=1000), "0", "min"),
        (column("integer", min=1, max=1000), "1001", "max"),
        (column("numeric(12,2)", min=0), "-0.01", "min"),
        (column("numeric(12,2)", max="9.99"), "10", "max"),
        (column("double precision", min=0), "NaN", "min"),
        (column("double precision", max=1e3), "inf", "max"),
        (column("date", min="2020-01-01"), "2019-12-31", "min"),
        (column("time", max="18:00"), "18:00:01", "max"),
        (column("timestamp", min="2020-01-01"), "2019-12-31 23:59:59", "min"),
        (column("timestamptz", max="2020-01-01T00:00:00Z"), "2020-01-01T00:00:00-01:00", "max"),
        (column("text", min_length=2), "ä", "length"),
        (column("text", max_length=2), "äöü", "length"),
        (column("bytea", max_length=2), r"\x010203", "length"),
        (column("bytea", min_length=2), r"\x01", "length"),
        (column("varchar(5)", max_length=2), "abc", "length"),
        (column("text", pattern="[A-Z]{3}"), "EURO", "pattern"),
        (column("text", pattern="a|b"), "ab", "pattern"),
        (column("text", pattern="(?m)^a$"), "a\na", "pattern"),
        (column("text", allowed=["new", "paid"]), "lost", "allowed"),
        (column("text", allowed=[1]), "01", "allowed"),
        (column("integer", allowed=[1, 2]), "3", "allowed"),
        (column("numeric(5,2)", allowed=[0.1]), "0.2", "allowed"),
        (column("boolean", allowed=[True]), "no", "allowed"),
        (column("uuid", allowed=["a0eebc999c0b4ef8bb6d6bb9bd380a11"]), "a0eebc999c0b4ef8bb6d6bb9bd380a12", "allowed"),
    ],
)
def test_each_rule_is_located(given: Column, cell: str, rule: str) -> None:
    assert one(cell, given) == f"! {rule}"


@pytest.mark.parametrize(
    ("given", "cell"),
    [
        (column("integer", min=1, max=1000), "1"),
        (column("integer", min=1, max=1000), "1000"),
        (column("numeric(12,2)", min=0), "0.00"),
        (column("text", min_length=2, max_length=2), "äö"),
        (column("bytea", min_length=2, max_length=2), r"\x0102"),
        (column("text", pattern="[A-Z]{3}"), "EUR"),
        (column("text", allowed=["new", "paid"]), "paid"),
        (column("numeric(5,2)", allowed=[0.1]), "0.10"),
        (column("date", allowed=["2026-01-01"]), "2026-01-01"),
    ],
)
def test_a_value_at_the_rules_edge_fits(given: Column, cell: str) -> None:
    assert not str(one(cell, given)).startswith("!")


def test_the_first_rule_broken_wins_and_null_breaks_none() -> None:
    given = column("varchar(3)", nullable=True, pattern="[a-z]+", allowed=["abc"])
    assert cast(["abcd", "ABC", "abd", "", "abc", b"\xff", "\0"], given) == (
        [None, None, None, None, "abc", None, None],
        {0: "length", 1: "pattern", 2: "allowed", 5: "encoding", 6: "nul"},
    )


def test_a_pattern_is_matched_alike_where_texts_repeat() -> None:
    cells = ["EUR", "USD", "usd"] * 1000
    values, rules = cast(cells, column("varchar(3)", pattern="[A-Z]{3}"))
    assert rules == dict.fromkeys(range(2, 3000, 3), "pattern")
    assert values[:3] == ["EUR", "USD", None]


def test_reasons_name_the_limit() -> None:
    _, faults = cast_column(pa.array([b"40000", b"0"], pa.binary()), column("smallint", min=1), [])
    assert [(fault.rule, fault.reason) for fault in faults] == [
        ("range", "outside smallint, which holds -32768 to 32767"),
        ("min", "less than 1"),
    ]


@pytest.mark.parametrize(
    ("options", "cell", "value"),
    [
        ({"decimal_mark": ","}, "1234,50", Decimal("1234.50")),
        ({"decimal_mark": ",", "thousands_mark": "."}, "1.234.567,5", Decimal("1234567.50")),
        ({"decimal_mark": ",", "thousands_mark": "."}, "-1.234", Decimal("-1234.00")),
        ({"decimal_mark": ",", "thousands_mark": "."}, "12345,00", Decimal("12345.00")),
        ({"decimal_mark": ",", "thousands_mark": "."}, "12.34", "! type"),
        ({"decimal_mark": ",", "thousands_mark": "."}, "1234.567", "! type"),
        ({"decimal_mark": ",", "thousands_mark": "."}, ".123", "! type"),
        ({"decimal_mark": ",", "thousands_mark": "."}, "1,234.567", "! type"),
        ({"decimal_mark": ","}, "1.50", "! type"),
        ({"decimal_mark": ","}, "1,2,3", "! type"),
        ({"thousands_mark": ","}, "1,234.50", Decimal("1234.50")),
        ({"thousands_mark": "'"}, "1'234", Decimal("1234.00")),
        ({"thousands_mark": "\u202f"}, "1\u202f234", Decimal("1234.00")),
        ({"thousands_mark": ","}, "1,,234", "! type"),
        ({"thousands_mark": ","}, "1,234,", "! type"),
    ],
)
def test_marks(options: dict[str, str], cell: str, value: Decimal | str) -> None:
    assert one(cell, column("numeric(12,2)", **options)) == value


def test_marks_in_integers_and_among_nulls() -> None:
    given = column("integer", thousands_mark=",", nullable=True)
    assert cast(["1,234", "", "12,34", "5"], given) == ([1234, None, None, 5], {2: "type"})


@pytest.mark.parametrize(
    ("kind", "form", "cell", "value"),
    [
        ("date", "%d.%m.%Y", "28.02.2026", date(2026, 2, 28)),
        ("date", "%d.%m.%Y", "1.3.2026", date(2026, 3, 1)),
        ("date", "%d.%m.%Y", "31.02.2026", "! type"),
        ("date", "%d.%m.%Y", "28-02-2026", "! type"),
        ("date", "%d.%m.%Y", "28.02.26", "! type"),
        ("date", "%d.%m.%Y", "28.02.20266", "! type"),
        ("date", "%d.%m.%Y", "01.01.0000", "! type"),
        ("date", "%Y%m%d", "20260228", date(2026, 2, 28)),
        ("date", "%d/%m/%y", "28/02/26", date(2026, 2, 28)),
        ("date", "%d/%m/%y", "31/02/26", "! type"),
        ("date", "%d %b %Y", "28 Feb 2026", date(2026, 2, 28)),
        ("date", "%d %b %Y", "31 Feb 2026", "! type"),
        ("date", "%d %b %Y", "3 Mar 2026", date(2026, 3, 3)),
        ("date", "%Y-%j", "2026-059", date(2026, 2, 28)),
        ("date", "%Y-%m-%d %H:%M:%S", "2026-02-28 10:00:00", date(2026, 2, 28)),
        ("time", "%H%M", "0930", time(9, 30)),
        ("time", "%H%M", "2400", "! type"),
        ("time", "%I:%M %p", "12:30 AM", time(0, 30)),
        ("time", "%I:%M %p", "13:30 PM", "! type"),
        ("timestamp", "%d.%m.%Y %H:%M:%S.%f", "28.02.2026 10:11:12.123456", datetime(2026, 2, 28, 10, 11, 12, 123456)),
        ("timestamp", "%d.%m.%Y %H:%M:%S", "28.02.2026 10:11:60", "! type"),
        ("timestamp", "%m/%d/%Y %I:%M:%S %p", "2/28/2026 1:02:03 PM", datetime(2026, 2, 28, 13, 2, 3)),
        ("timestamp", "%m/%d/%Y %I:%M:%S %p", "02/31/2026 01:02:03 PM", "! type"),
        ("timestamp", "%m/%d/%Y %I:%M:%S %p", "02/28/2026 01:02:60 PM", "! type"),
        ("timestamptz", "%d.%m.%Y %H:%M%z", "28.02.2026 10:00+0200", datetime(2026, 2, 28, 8, tzinfo=UTC)),
        ("timestamptz", "%d.%m.%Y %H:%M", "28.02.2026 10:00", datetime(2026, 2, 28, 10, tzinfo=UTC)),
    ],
)
def test_formats(kind: str, form: str, cell: str, value: Any) -> None:
    given = column(kind, formats=[form])
    assert one(cell, given) == value
    values, rules = cast([cell] * 3, given)
    assert (values[2] if 2 not in rules else f"! {rules[2]}") == value


def test_formats_are_tried_in_order() -> None:
    given = column("date", formats=["%d/%m/%Y", "%m/%d/%Y"], nullable=True)
    cells = ["01/02/2026", "3/4/2026", "02/28/2026", "", "30/30/2026"]
    assert cast(cells, given) == (
        [date(2026, 2, 1), date(2026, 4, 3), date(2026, 2, 28), None, None],
        {4: "type"},
    )


def test_local_times_take_the_columns_zone_and_the_clocks_change_is_located() -> None:
    given = column("timestamptz", timezone="Europe/Berlin")
    cells = [
        "2026-01-15 12:00",
        "2026-07-15 12:00",
        "2026-03-29 02:30",
        "2026-10-25 02:30",
        "2026-10-25 01:59",
        "2026-03-29 03:00",
    ]
    values, rules = cast([*cells, "2026-07-15 12:00Z"], given)
    assert rules == {2: "type", 3: "type"}
    assert values[:2] == [datetime(2026, 1, 15, 11, tzinfo=UTC), datetime(2026, 7, 15, 10, tzinfo=UTC)]
    assert values[4:] == [
        datetime(2026, 10, 24, 23, 59, tzinfo=UTC),
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 7, 15, 12, tzinfo=UTC),
    ]
    assert cast(cells[:2] * 3000, given)[0] == values[:2] * 3000
    by_format = column("timestamptz", timezone="Europe/Berlin", formats=["%Y-%m-%d %H:%M"])
    assert cast(cells, by_format) == (values[:6], {2: "type", 3: "type"})


def test_check_column_applies_the_rules_to_typed_values() -> None:
    def rules(values: pa.Array, given: Column) -> list[tuple[list[int], str]]:
        return [(fault.rows.tolist(), fault.rule) for fault in check_column(values, given)]

    assert rules(pa.array([5, None, 0], pa.int32()), column("integer", min=1)) == [([1], "required"), ([2], "min")]
    assert rules(pa.array(["ab", "a\0", "abcd"]), column("varchar(3)")) == [([1], "nul"), ([2], "length")]
    assert rules(pa.array(["{}", "{"]), column("jsonb")) == [([1], "type")]
    assert rules(pa.array([0, 3_000_000], pa.int32()).cast(pa.date32()), column("date")) == [([1], "range")]
    assert rules(pa.array([], pa.string()), column("text")) == []


# The fast way against the slow one

LETTERS = "0123456789+-.:eExXTZ /,ainfNI\\ \u0661\u00e9"
SEEDS = {
    "integer": ["123", "-5", "0x1f", "+3"],
    "bigint": ["9223372036854775807"],
    "numeric(12,2)": ["1234.50", "1e5", "-.5", "12345678901"],
    "numeric(38,10)": ["9" * 28 + "." + "9" * 10, "9" * 37],
    "numeric(38,38)": ["0.5", ".123"],
    "numeric(20,0)": ["12345678901234567890", "1e19"],
    "double precision": ["1.5e-300", "Infinity", "0e5"],
    "date": ["2026-02-28", "2024-02-29"],
    "time": ["12:34:56.123456", "12:34"],
    "timestamp": ["2026-02-28 10:11:12.5", "2026-02-28T10:11"],
    "timestamptz": ["2026-02-28T10:11:12Z", "2026-02-28 10:11:12+02:00", "2026-02-28 10:11-0530"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"],
    "bytea": ["\\x00ff", "\\x"],
}


def spoiled(text: str, chance: random.Random) -> str:
    letters = list(text)
    for _ in range(chance.randrange(3)):
        at = chance.randrange(len(letters) + 1)
        letters[at : at + chance.randrange(2)] = chance.choice(LETTERS) if chance.random() < 0.8 else ""
    return "".join(letters)


@pytest.mark.parametrize("kind", SEEDS)
def test_a_column_is_cast_as_its_cells_are_read_one_by_one(kind: str) -> None:
    given, chance = column(kind), random.Random(kind)
    for size in [1] * 100 + [40] * 10 + [5000]:
        share = 1 if size < 5000 else 0.02
        cells = [
            spoiled(chance.choice(SEEDS[kind]), chance) if chance.random() < share else SEEDS[kind][0]
            for _ in range(size)
        ]
        expected: list[Any] = [None] * size
        broken: dict[int, str] = {}
        for row, cell in enumerate(cells):
            try:
                expected[row] = read_value(cell, given.sql_type)
            except ValueFault as fault:
                broken[row] = fault.rule
        assert cast(cells, given, []) == (pa.array(expected, given.sql_type.arrow).to_pylist(), broken)


# Against Python's own types


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-(2**31) - 5, 2**31 + 5)))
def test_integers_equal_pythons(numbers: list[int]) -> None:
    values, rules = cast([str(number) for number in numbers], column("integer"), [])
    inside = [-(2**31) <= number < 2**31 for number in numbers]
    assert values == [number if fits else None for number, fits in zip(numbers, inside, strict=True)]
    assert rules == {row: "range" for row, fits in enumerate(inside) if not fits}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=3)))
def test_decimals_equal_pythons(numbers: list[Decimal]) -> None:
    values, rules = cast([str(number) for number in numbers], column("numeric(12,2)"), [])
    for row, number in enumerate(numbers):
        fits = abs(number) < 10**10 and number == round(number, 2)
        assert (row in rules) is not fits
        assert values[row] == (number if fits else None)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(allow_nan=False)))
def test_floats_equal_pythons(numbers: list[float]) -> None:
    values, rules = cast([repr(number) for number in numbers], column("double precision"), [])
    assert not rules
    assert [struct.pack("d", value) for value in values] == [struct.pack("d", number) for number in numbers]


ZONES = st.integers(-15 * 60, 15 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES)), st.sampled_from("T "))
def test_timestamps_with_offsets_equal_pythons(moments: list[datetime], between: str) -> None:
    values, rules = cast([moment.isoformat(between) for moment in moments], column("timestamptz"), [])
    assert (values, rules) == (moments, {})


@settings(deadline=None, max_examples=50)
@given(st.lists(st.datetimes()))
def test_timestamps_dates_and_times_equal_pythons(moments: list[datetime]) -> None:
    assert cast([moment.isoformat() for moment in moments], column("timestamp"), []) == (moments, {})
    days, times = [moment.date() for moment in moments], [moment.time() for moment in moments]
    assert cast([day.isoformat() for day in days], column("date"), []) == (days, {})
    assert cast([clock.isoformat() for clock in times], column("time"), []) == (times, {})


@settings(deadline=None, max_examples=50)
@given(st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))))
def test_formats_equal_strptime(moments: list[datetime]) -> None:
    for form in ("%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d %b %y %H:%M"):
        texts = [moment.strftime(form) for moment in moments]
        given = column("timestamp", formats=[form])
        assert cast(texts, given, []) == ([datetime.strptime(text, form) for text in texts], {})


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.uuids(), st.booleans())))
def test_uuids_equal_pythons(uuids: list[tuple[UUID, bool]]) -> None:
    cells = [uuid.hex if plain else str(uuid) for uuid, plain in uuids]
    assert cast(cells, column("uuid"), []) == ([uuid.bytes for uuid, _ in uuids], {})
    assert cast([str(uuid) for uuid, _ in uuids], column("uuid"), []) == ([uuid.bytes for uuid, _ in uuids], {})


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary()))
def test_bytes_equal_pythons(values: list[bytes]) -> None:
    assert cast(["\\x" + value.hex() for value in values], column("bytea"), []) == (values, {})


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=8)))
def test_text_is_what_utf8_says(cells: list[bytes]) -> None:
    values, rules = cast(cells, column("text"), [])
    for row, cell in enumerate(cells):
        try:
            text = cell.decode()
        except UnicodeDecodeError:
            assert rules[row] == "encoding"
        else:
            assert (values[row], rules.get(row)) == ((None, "nul") if "\0" in text else (text, None))


PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PLAIN,
    lambda part: st.lists(part) | st.dictionaries(PLAIN, part),
)


@settings(deadline=None, max_examples=50)
@given(JSON, st.booleans())
def test_json_that_python_writes_is_accepted(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert one(text, column("jsonb")) == text


# Against PostgreSQL itself

CORPUS = {
    "smallint": ["+1", "-0", "0032", "32768", "0x10", "1_0", " 1"],
    "numeric(12,2)": [
        "1e3",
        "-.5",
        "1.",
        "1.230",
        "1.235",
        "0e100",
        "1e10",
        "1" + "0" * 50,
        "1." + "0" * 50,
        "+1E-2",
        "123e-2",
    ],
    "numeric(38,10)": ["9" * 28 + "." + "9" * 10, "9" * 39, "1e-10", "1e27", "-0.0"],
    "real": ["1e-45", "16777217", "3.4028235e38", "3.4028236e38", "nan", "-inf", "1e-46", "0.1"],
    "double precision": ["1e308", "1e309", "5e-324", "2e-324", "+Infinity", "0.1", "1.7976931348623157e308", ".5e1"],
    "boolean": ["t", "YES", "on", "0", "F", "No", "oFf", "tru"],
    "date": ["2024-02-29", "2023-02-29", "0001-01-01", "0000-01-01", "9999-12-31", "2026-13-01"],
    "time": ["12:34", "00:00:00", "23:59:59.999999", "12:34:56.1000000", "12", "24:00:00"],
    "timestamp": [
        "2026-02-28 10:00",
        "2026-02-28t10:00:00",
        "0001-01-01 00:00",
        "2026-02-28",
        "2026-02-28 10:00:00.1234560",
    ],
    "timestamptz": [
        f"2026-02-28{between}10:00:00{fraction}{zone}"
        for between in "T "
        for fraction in ("", ".5", ".123456")
        for zone in ("", "Z", "z", "+02", "-02:30", "+0530", " +01:00", "+15:59", "+16:00", " UTC")
    ]
    + ["2026-02-28", "2026-02-28 10:00", "1890-01-01 00:00:00"],
    "uuid": ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"],
    "jsonb": [' {"a": [1e5, "\\ud83d\\ude00", {}]}', "1e-999", '"\\\\u0000"', "[]", "-0", "01", '"\t"', "nul"],
    "json": ['{"a":1,"a":2}', '"\\ud83d"', "1.", "\u00a01"],
    "bytea": ["\\x", "\\x00fF"],
    "varchar(3)": ["äöü", "a"],
}


@pytest.mark.parametrize("kind", CORPUS)
def test_what_is_accepted_is_what_postgresql_reads(warehouse: Connection[Any], kind: str) -> None:
    given = column(kind)
    values, rules = cast(CORPUS[kind], given, [])
    warehouse.execute("SET timezone = 'UTC'")
    as_text = sql.SQL("::text" if kind == "json" else "")
    same = sql.SQL("SELECT %s::text::{0}{1} = %s::{0}{1}").format(sql.SQL(given.sql_type.name), as_text)
    accepted = [row for row in range(len(values)) if row not in rules]
    assert accepted
    for row in accepted:
        value = UUID(bytes=values[row]) if kind == "uuid" else values[row]
        if kind in ("real", "double precision", "jsonb"):
            value = str(value) if kind == "jsonb" else repr(value)
        found = warehouse.execute(same, [CORPUS[kind][row], value])
        assert found.fetchone() == (True,), CORPUS[kind][row]


ODD = {
    "integer": (["12", "-7", "2147483647"], ["x", "1-", "--1", "2147483648", "99999999999", "1.0", "0x1F"]),
    "numeric(12,2)": (
        ["1.50", "-0.01", "3"],
        ["1.2.3", "12345678901234.00", "1.005", "-", ".", "1-2", "12345678901.5"],
    ),
    "date": (["2026-01-31", "2024-02-29"], ["2026-02-31", "2026-13-01", "2026-1-01", "2026-01-00", "20260101", "x"]),
    "timestamptz": (
        ["2026-01-31T10:00:00Z", "2024-02-29T23:59:59Z"],
        ["2026-02-30T10:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T10:60:00Z", "2026-01-31T10:00:00", "soon"],
    ),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("every", [2, 500, 5000])
def test_few_or_many_odd_cells_are_read_as_each_alone(kind: str, every: int) -> None:
    good, bad = ODD[kind]
    cells = [
        bad[number // every % len(bad)] if number % every == every - 1 else good[number % len(good)]
        for number in range(20_000)
    ]
    column = Column.model_validate({"type": kind})
    values, faults = cast_column(pa.array([cell.encode() for cell in cells], pa.binary()), column)
    found = {row: fault.rule for fault in faults for row in fault.rows.tolist()}
    alone: dict[str, tuple[object, str | None]] = {}
    for cell in {*good, *bad}:
        one, wrong = cast_column(pa.array([cell.encode()], pa.binary()), column)
        alone[cell] = (one[0].as_py(), wrong[0].rule if wrong else None)
    assert values.to_pylist() == [alone[cell][0] for cell in cells]
    assert found == {row: alone[cell][1] for row, cell in enumerate(cells) if alone[cell][1]}
