from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from include.ingest import dataset_file as module
from include.ingest.dataset.columns import CsvFormat
from include.ingest.dataset.definition import Dataset, RejectLimit, fingerprint
from include.ingest.dataset.encodings import _keeps_ascii, _tried, usable_encoding
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import DatasetError

DATASETS = Path(__file__).parents[2] / "include" / "datasets"
GOOD = """\
name: orders
source: "{{ inbox }}/orders_{{ ds }}.csv"
target: orders
key: [order_id]
columns:
  order_id: {type: bigint}
  amount: {type: "numeric(12,2)", min: 0}
  note: {type: text, nullable: true}
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Dataset]:
    def write_and_load(text: str) -> Dataset:
        path = tmp_path / "orders.yaml"
        path.write_text(text, encoding="utf-8")
        return load_dataset(path)

    return write_and_load


def faults(load: Callable[[str], Dataset], text: str) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        load(text)
    return [re.sub(r"^.*?/(?=orders\.yaml:)", "", line) for line in str(caught.value).splitlines()]


def column(text: str) -> str:
    """A dataset whose line 9 is one more column with these options."""
    return f"{GOOD}  extra: {{{text}}}\n"


def test_a_small_file_gets_the_defaults(load: Callable[[str], Dataset]) -> None:
    dataset = load(GOOD)
    assert (dataset.schema_name, dataset.table_name) == ("public", "orders")
    assert (dataset.mode, dataset.duplicates, dataset.version) == ("upsert", "last", "data_interval")
    assert (dataset.chunk_bytes, dataset.block_bytes, dataset.parallel) == (1 << 30, 8 << 20, 2)
    assert (dataset.schedule, dataset.start_date, dataset.catchup) == ("@daily", date(2026, 1, 1), False)
    assert (dataset.owner, dataset.postgres_conn_id, dataset.wait_timeout_seconds) == ("data", "warehouse", 21600)
    assert (dataset.csv.delimiter, dataset.csv.quote, dataset.csv.nulls) == (",", '"', [""])
    assert list(dataset.columns) == ["order_id", "amount", "note"]
    assert dataset.columns["amount"].sql_type.name == "numeric(12,2)"
    assert dataset.reject_limit == RejectLimit(rows=1000, ratio=0.01)


def test_the_orders_dataset_is_good_and_names_the_samples_columns() -> None:
    from samples.orders import COLUMNS

    dataset = load_dataset(DATASETS / "orders.yaml")
    assert tuple(dataset.columns) == COLUMNS
    assert dataset.reject_limit == RejectLimit(rows=None, ratio=0.01)
    assert (dataset.target, dataset.key) == ("public.orders", ["order_id"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD.replace("numeric(12,2)", "numeric"), "orders.yaml:7: columns.amount.type: numeric needs a precision"),
        (GOOD.replace("target: orders", "target: a.b.c"), "orders.yaml:3: target: "),
        (GOOD.replace("key: [order_id]", "kye: [order_id]"), "orders.yaml:4: kye: unknown field; did you mean key?"),
        (
            column("type: text, nulable: true"),
            "orders.yaml:9: columns.extra.nulable: unknown field; did you mean nullable?",
        ),
        (GOOD + "csv: {delimeter: ;}\n", "orders.yaml:9: csv.delimeter: unknown field; did you mean delimiter?"),
        (GOOD.replace("target: orders\n", ""), "orders.yaml:1: target: is missing"),
        (column("nullable: true"), "orders.yaml:9: columns.extra.type: is missing"),
        (GOOD + "name: orders\n", "orders.yaml:9: name: appears twice, first at line 1"),
        (column("type: text, type: date"), "orders.yaml:9: columns.extra.type: appears twice, first at line 9"),
        (
            GOOD.replace("[order_id]", "[ordr_id]"),
            "orders.yaml:4: key.0: ordr_id is not one of the columns; did you mean order_id?",
        ),
        (GOOD.replace("[order_id]", "[note]"), "orders.yaml:4: key.0: note is nullable"),
        (GOOD.replace("[order_id]", "[order_id, order_id]"), "orders.yaml:4: key.1: order_id stands twice"),
        (GOOD.replace("[order_id]", "[]"), "orders.yaml:4: key: mode upsert needs"),
        (GOOD.replace("key: [order_id]", "mode: replace"), "orders.yaml:1: key: mode replace needs"),
        (GOOD + "mode: append\n", "orders.yaml:4: key: mode append takes no key"),
        (GOOD + "mode: merge\n", "orders.yaml:9: mode: "),
        (
            GOOD + "version: amonut\n",
            "orders.yaml:9: version: amonut is neither data_interval nor a column; did you mean amount?",
        ),
        (GOOD + "version: note\n", "orders.yaml:9: version: note is nullable"),
        (column("type: uuid") + "version: extra\n", "orders.yaml:10: version: extra is uuid"),
        (GOOD.replace("name: orders", "name: file"), "orders.yaml:1: name: file is reserved: ingest_file is the DAG"),
        (GOOD.replace("note:", "processed_at:"), "orders.yaml:8: columns.processed_at: the name is reserved"),
        (GOOD.replace("note:", "source_version:"), "orders.yaml:8: columns.source_version: the name is reserved"),
        (GOOD.replace("note:", "'a b':"), "orders.yaml:8: columns.a b: a column's name is"),
        (GOOD.replace("name: orders", "name: order"), "orders.yaml:1: name: order is not the file's name, orders"),
        (GOOD.replace("name: orders", "name: 1orders"), "orders.yaml:1: name: "),
        (GOOD.replace("{{ ds }}", "{{ ds }"), "orders.yaml:2: source: not a template"),
        (GOOD.replace("{{ ds }}", "{{ dz }}"), "orders.yaml:2: source: {{ dz }} is unknown; did you mean ds?"),
        (GOOD.replace("{{ ds }}", "{{ ds | dss }}"), "orders.yaml:2: source: not a template: No filter named 'dss'"),
        (GOOD.replace("{{ ds }}", "{{ dag_run.run_id }}"), "orders.yaml:2: source: {{ dag_run }} belongs to one run"),
        (GOOD + "schedule: daily\n", "orders.yaml:9: schedule: must be a cron expression"),
        (GOOD + "schedule: 99 0 * * *\n", "orders.yaml:9: schedule: [99 0 * * *] is not acceptable"),
        (GOOD + "schedule: 0 0 30 2 *\n", "orders.yaml:9: schedule: 0 0 30 2 * names no date that there is"),
        (GOOD + "clean: my_module\n", "orders.yaml:9: clean: "),
        (GOOD + "chunk_bytes: 0\n", "orders.yaml:9: chunk_bytes: "),
        (GOOD + "block_bytes: 1000\n", "orders.yaml:9: block_bytes: "),
        (GOOD + "parallel: 65\n", "orders.yaml:9: parallel: "),
        (GOOD + "reject_limit: {ratio: 2}\n", "orders.yaml:9: reject_limit.ratio: "),
        (GOOD + "csv:\n  quote: '\"'\n  delimiter: ab\n", "orders.yaml:11: csv.delimiter: must be one printable ASCII"),
        (GOOD + "csv: {delimiter: '\"'}\n", "orders.yaml:9: csv.delimiter: must differ from quote"),
        (GOOD + "csv: {quote: null, escape: ','}\n", "orders.yaml:9: csv.delimiter: must differ from quote and escape"),
        (GOOD + "csv: {encoding: utf-16}\n", "orders.yaml:9: csv.encoding: in utf-16, a byte below 0x80"),
        (GOOD + "csv: {encoding: utf-99}\n", "orders.yaml:9: csv.encoding: utf-99 is not a known encoding"),
        (GOOD + "target: pg_catalog.x\n", "orders.yaml:9: target: appears twice"),
        (GOOD.replace("target: orders", "target: millrace.run"), "orders.yaml:3: target: schema millrace is reserved"),
        ("- a\n", "orders.yaml:1: must hold a mapping"),
        ("", "orders.yaml:1: must hold a mapping"),
        (GOOD + "tags: [a\n", "orders.yaml:10: not YAML: "),
        (
            column("type: integer, min: a"),
            "orders.yaml:9: columns.extra.min: 'a' does not fit integer: not a whole number",
        ),
        (column("type: integer, min: 5, max: 4"), "orders.yaml:9: columns.extra.max: is less than min"),
        (column("type: date, max: 2026-02-31"), "orders.yaml:9: columns.extra.max: '2026-02-31' does not fit date"),
        (column("type: text, min: 1"), "orders.yaml:9: columns.extra.min: makes no sense for text"),
        (column("type: integer, pattern: a"), "orders.yaml:9: columns.extra.pattern: makes no sense for integer"),
        (column("type: integer, formats: ['%Y']"), "orders.yaml:9: columns.extra.formats: makes no sense for integer"),
        (column("type: timestamp, timezone: UTC"), "orders.yaml:9: columns.extra.timezone: makes no sense"),
        (column("type: integer, decimal_mark: ','"), "orders.yaml:9: columns.extra.decimal_mark: makes no sense"),
        (column("type: text, true_words: [a]"), "orders.yaml:9: columns.extra.true_words: makes no sense for text"),
        (column("type: date, min_length: 1"), "orders.yaml:9: columns.extra.min_length: makes no sense for date"),
        (column("type: jsonb, allowed: [a]"), "orders.yaml:9: columns.extra.allowed: makes no sense for jsonb"),
        (column("type: integer, allowed: [1, x]"), "orders.yaml:9: columns.extra.allowed.1: 'x' does not fit integer"),
        (column("type: text, allowed: []"), "orders.yaml:9: columns.extra.allowed: "),
        (column("type: text, pattern: '(?=a)'"), "orders.yaml:9: columns.extra.pattern: not an RE2 pattern"),
        (column("type: timestamptz, timezone: Mars/Base"), "orders.yaml:9: columns.extra.timezone: Mars/Base is not"),
        (column("type: date, formats: ['%d.%m']"), "orders.yaml:9: columns.extra.formats.0: needs a year"),
        (column("type: time, formats: ['%M']"), "orders.yaml:9: columns.extra.formats.0: needs an hour"),
        (column("type: timestamp, formats: ['%Y-%m-%d%z']"), "orders.yaml:9: columns.extra.formats.0: %z is for"),
        (column("type: date, formats: ['%Q']"), "orders.yaml:9: columns.extra.formats.0: not a format"),
        (
            column("type: 'numeric(5,2)', thousands_mark: '.'"),
            "orders.yaml:9: columns.extra.thousands_mark: is the decimal",
        ),
        (
            column("type: 'numeric(5,2)', thousands_mark: '1'"),
            "orders.yaml:9: columns.extra.thousands_mark: must be one",
        ),
        (
            column("type: boolean, true_words: [No]"),
            "orders.yaml:9: columns.extra.false_words: no is in true_words",
        ),
        (column("type: text, min_length: 3, max_length: 2"), "orders.yaml:9: columns.extra.max_length: is less than"),
        (
            column("type: integer, default: none"),
            "orders.yaml:9: columns.extra.default: 'none' does not fit the column",
        ),
        (
            column("type: integer, min: 1, default: 0"),
            "orders.yaml:9: columns.extra.default: '0' does not fit the column",
        ),
    ],
)
def test_a_fault_names_file_line_and_field(load: Callable[[str], Dataset], text: str, fault: str) -> None:
    said = faults(load, text)
    assert len(said) == 1
    assert said[0].startswith(fault)


def test_every_fault_is_told_in_the_order_of_the_file(load: Callable[[str], Dataset]) -> None:
    text = GOOD.replace("numeric(12,2)", "numeric").replace("type: bigint", "typ: bigint")
    said = [line.split(" ")[:2] for line in faults(load, text + "parallel: many\n")]
    assert sorted(said) == [
        ["orders.yaml:6:", "columns.order_id.typ:"],
        ["orders.yaml:6:", "columns.order_id.type:"],
        ["orders.yaml:7:", "columns.amount.type:"],
        ["orders.yaml:9:", "parallel:"],
    ]
    assert [line for line, _ in said] == sorted(line for line, _ in said)


def test_a_missing_or_unreadable_file_is_a_dataset_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="can't be read"):
        load_dataset(tmp_path / "orders.yaml")
    (tmp_path / "orders.yaml").write_bytes(b"name: \xff")
    with pytest.raises(DatasetError, match="can't be read"):
        load_dataset(tmp_path / "orders.yaml")


def test_plain_words_stay_words(load: Callable[[str], Dataset]) -> None:
    text = column("type: boolean, true_words: [yes, on, true, 1], false_words: [no, off, false, 0]")
    dataset = load(text)
    assert dataset.columns["extra"].true_words == ["yes", "on", "true", "1"]
    assert dataset.columns["extra"].false_words == ["no", "off", "false", "0"]
    assert load(column("type: time, min: 08:30")).columns["extra"].min == "08:30"
    assert load(column("type: text, allowed: [no, 1, 1.5]")).columns["extra"].allowed == ["no", 1, 1.5]


def test_bounds_and_allowed_values_have_the_columns_type(load: Callable[[str], Dataset]) -> None:
    day = load(column("type: date, min: 2020-01-01, max: 2020-12-31")).columns["extra"]
    assert {rule: bound.as_py() for rule, bound in day.bounds.items()} == {
        "min": date(2020, 1, 1),
        "max": date(2020, 12, 31),
    }
    number = load(column("type: 'numeric(5,2)', allowed: [0.1, 2]")).columns["extra"]
    assert number.allowed_values is not None
    assert [str(value) for value in number.allowed_values.to_pylist()] == ["0.10", "2.00"]


@pytest.mark.parametrize(
    "name", ["utf-8", "UTF8", "latin-1", "cp1252", "iso-8859-15", "koi8-r", "euc-jp", "euc-kr", "ascii"]
)
def test_encodings_that_keep_ascii_are_accepted(name: str) -> None:
    assert "é".encode(usable_encoding(name), "replace")


@pytest.mark.parametrize("name", ["cp1252", "iso8859-15", "mac-roman", "cp037", "cp1026", "hp-roman8"])
def test_a_table_of_characters_says_what_a_trial_says(name: str) -> None:
    assert _keeps_ascii(name) is _tried(name)


@pytest.mark.parametrize(
    "name",
    [
        "utf-16",
        "utf-32",
        "utf-7",
        "shift_jis",
        "cp932",
        "gbk",
        "gb18030",
        "big5",
        "cp949",
        "johab",
        "iso-2022-jp",
        "hz",
        "cp037",
        "idna",
        "punycode",
        "unicode_escape",
        "raw_unicode_escape",
    ],
)
def test_encodings_that_hide_ascii_in_other_characters_are_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(ValueError, match="iconv -f"):
        usable_encoding(name)


@pytest.mark.parametrize(
    ("rows", "ratio", "read", "rejected", "said"),
    [
        (1000, 0.01, 1_000_000, 1000, None),
        (1000, None, 90_000, 1204, "1,204 of 90,000 rows were rejected: over the limit of 1,000 rows"),
        (None, 0.01, 100, 1, None),
        (None, 0.01, 100, 2, "2 of 100 rows were rejected: over the limit of 1 %"),
        (0, None, 5, 1, "1 of 5 rows were rejected: over the limit of 0 rows"),
        (10, 0.5, 10, 6, "6 of 10 rows were rejected: over the limit of 50 %"),
        (None, None, 10, 10, None),
        (0, 0.0, 0, 0, None),
    ],
)
def test_the_reject_limit(rows: int | None, ratio: float | None, read: int, rejected: int, said: str | None) -> None:
    assert RejectLimit(rows=rows, ratio=ratio).exceeded(read, rejected) == said


def test_the_committed_schema_is_current() -> None:
    assert module.SCHEMA_FILE.read_text(encoding="utf-8") == module.schema_text(), (
        "run `python -m include.ingest.dataset_file --write-schema`"
    )


def test_the_schema_accepts_the_committed_datasets_and_refuses_an_unknown_field() -> None:
    for path in DATASETS.glob("*.yaml"):
        values: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), module._Loader)
        jsonschema.validate(values, module.json_schema())
        with pytest.raises(jsonschema.ValidationError, match="kye"):
            jsonschema.validate({**values, "kye": []}, module.json_schema())


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"schedule": None}, True),
        ({"owner": "me"}, True),
        ({"description": "other"}, True),
        ({"reject_limit": RejectLimit(rows=1, ratio=None)}, True),
        ({"chunk_bytes": 1}, True),
        ({"parallel": 4}, True),
        ({"target": "public.orders"}, True),
        ({"target": "shop.orders"}, False),
        ({"duplicates": "first"}, False),
        ({"mode": "replace"}, False),
        ({"version": "amount"}, False),
        ({"clean": "my.module:clean"}, False),
        ({"key": ["order_id", "amount"]}, False),
    ],
)
def test_the_fingerprint_follows_what_shapes_the_rows(
    load: Callable[[str], Dataset], change: dict[str, Any], same: bool
) -> None:
    dataset = load(GOOD)
    assert (fingerprint(dataset.model_copy(update=change)) == fingerprint(dataset)) is same


def test_the_fingerprint_follows_columns_and_their_order(load: Callable[[str], Dataset]) -> None:
    lines = GOOD.splitlines(keepends=True)
    texts = [GOOD, "".join([*lines[:6], lines[7], lines[6]]), GOOD.replace("min: 0", "min: 1"), column("type: text")]
    assert len({fingerprint(load(text)) for text in texts}) == 4
    assert fingerprint(load(GOOD)) == fingerprint(load("# a comment\n" + GOOD))


@pytest.mark.parametrize("mark", ["~", " ", "!", "|", "\t", ";", "^"])
@pytest.mark.parametrize("field", ["delimiter", "quote", "escape"])
def test_every_printable_character_may_have_a_meaning(field: str, mark: str) -> None:
    assert getattr(CsvFormat.model_validate({field: mark}), field) == mark


@pytest.mark.parametrize("mark", ["", "||", "\x1f", "\x7f", "\n", "\r", "\0", "é", "“"])
@pytest.mark.parametrize("field", ["delimiter", "quote", "escape"])
def test_what_is_not_one_printable_ascii_character_has_none(field: str, mark: str) -> None:
    with pytest.raises(ValidationError, match="must be one printable ASCII character or a tab"):
        CsvFormat.model_validate({field: mark})


@pytest.mark.parametrize(("marks", "accepted"), [
    ({"delimiter": '"'}, False),
    ({"delimiter": ";", "quote": ";"}, False),
    ({"delimiter": "\\", "escape": "\\"}, False),
    ({"delimiter": ";", "quote": "'", "escape": "'"}, True),
    ({"quote": None, "delimiter": "|"}, True),
])  # fmt: skip
def test_marks_that_would_be_taken_for_one_another_are_refused(marks: dict[str, str | None], accepted: bool) -> None:
    if accepted:
        CsvFormat.model_validate(marks)
    else:
        with pytest.raises(ValidationError):
            CsvFormat.model_validate(marks)
