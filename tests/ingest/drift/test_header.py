"""What a header may lack, bring, rename and repeat, by what the dataset says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest.errors import DatasetError, HeaderMismatch
from include.ingest.plan import Order
from include.ingest.run import run
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, make_dataset, rejected, rows

RENAMED = ITEMS.replace("nullable: true}", "nullable: true, source: [label, Label Text, name]}", 1)
NULL = ITEMS + "missing_columns: null\n"


def refused(connection: psycopg.Connection[Any], folder: Path, dataset: str, header: str) -> str:
    """The message of a run that fails before anything is touched."""
    with pytest.raises(HeaderMismatch) as raised:
        ingest(connection, make_dataset(folder, dataset), header + "\n1,2,3\n", folder)
    assert connection.execute("SELECT to_regclass('items')").fetchone() == (None,)
    return str(raised.value)


@pytest.mark.parametrize(
    ("dataset", "header", "words"),
    [
        (ITEMS, "id,price", "the header lacks label; it holds: id, price. Set `source:`"),
        (ITEMS + "missing_columns: fail\n", "id,price", "the header lacks label;"),
        (NULL, "label,price", "the header lacks id;"),
        (NULL.replace("label: {type: text, nullable: true}", "label: {type: text}"), "id,price", "lacks label;"),
        (
            NULL + "version: price\n".replace("price", "at"),
            "id,label,price",
            "lacks at;",
        ),
        (RENAMED, "id,price", "the header lacks label or Label Text or name;"),
        (
            RENAMED,
            "id,price,name,label",
            "the header holds both label and name, which are names of one column, label; it holds: id, price, name,"
            " label. Take all but one from its `source:` in items.yaml.",
        ),
        (RENAMED, "id,price,name,name", "the header names name twice;"),
        (
            ITEMS + "unknown_columns: fail\n",
            "id,label,price,b,,a",
            "the header holds columns that the dataset does not name: b, (no name), a; it holds: id, label, price, b,"
            " , a. Name them under `columns` in items.yaml, or set `unknown_columns` there to ignore, warn, add or"
            " rescue.",
        ),
        (
            ITEMS + "unknown_columns: fail\n",
            "id,label,b",
            "the header lacks price; it holds columns that the dataset does not name: b;",
        ),
        (
            ITEMS + "unknown_columns: rescue\nrescue_column: other\n",
            "id,label,price,a,a",
            "the header names a twice; it holds: id, label, price, a, a. `unknown_columns: rescue` in items.yaml needs",
        ),
    ],
)
def test_a_header_that_does_not_fit(
    warehouse: psycopg.Connection[Any], tmp_path: Path, dataset: str, header: str, words: str
) -> None:
    text = dataset
    if "version: at" in dataset:
        text = dataset.replace("reject_limit", "  at: {type: date, default: 2026-01-01}\nreject_limit")
    assert words in refused(warehouse, tmp_path, text, header)


def test_append_needs_one_column_at_least(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    text = NULL.replace("key: [id]", "mode: append").replace("{type: bigint}", "{type: bigint, nullable: true}")
    assert "the header lacks id, label, price;" in refused(warehouse, tmp_path, text, "a,b,c")
    ingest(warehouse, make_dataset(tmp_path, text), "a,price,c\n1,2,3\n", tmp_path)
    assert warehouse.execute("SELECT id, label, price::text FROM items").fetchall() == [(None, None, "2.00")]


def test_the_first_name_that_the_header_holds(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, RENAMED)
    names = ["label", "Label Text", "name", "label"]
    accounts = [
        ingest(warehouse, dataset, f"price,{name},id\n1,{name},1\n", tmp_path, version=DAY + timedelta(days=day))
        for day, name in enumerate(names)
    ]
    assert [account.renamed_columns for account in accounts] == [{}, {"label": "Label Text"}, {"label": "name"}, {}]
    assert [account.columns_come for account in accounts] == [[], ["Label Text"], ["name"], ["label"]]
    assert [account.columns_gone for account in accounts] == [[], ["label"], ["Label Text"], ["name"]]
    assert rows(warehouse, "id, label") == [(1, "label")]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("body", ["1,1\n2,2\n", '1,1\n2,"2"\n'])
def test_a_missing_column_is_null_or_its_default(
    warehouse: psycopg.Connection[Any], tmp_path: Path, there: bool, body: str
) -> None:
    """Not the default of the table's own column, by which way soever a record goes."""
    if there:
        warehouse.execute(
            "CREATE TABLE items (id bigint PRIMARY KEY, label text DEFAULT 'mine', price numeric(8,2),"
            " grade integer NOT NULL DEFAULT 9)"
        )
    dataset = make_dataset(tmp_path, NULL)
    account = ingest(warehouse, dataset, "price,id\n" + body, tmp_path)
    assert rows(warehouse, "id, label") == [(1, None), (2, None)]
    assert (account.missing_columns, account.reason) == (["label"], None)
    ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,2\n", tmp_path)
    ingest(warehouse, dataset, "price,id\n" + body, tmp_path, version=DAY + timedelta(days=1))
    assert rows(warehouse, "id, label") == [(1, None), (2, None)], "the newest file says what a row is"
    if not there:
        warehouse.execute("ALTER TABLE items ADD COLUMN grade integer NOT NULL DEFAULT 9")
    graded = NULL.replace("reject_limit", '  grade: {type: integer, default: "8", min: 1}\nreject_limit')
    ingest(warehouse, make_dataset(tmp_path, graded), "price,id\n" + body, tmp_path, version=DAY + timedelta(days=2))
    assert rows(warehouse, "id, grade") == [(1, 8), (2, 8)]


def test_what_is_known_of_unknown_columns(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    """In the account, in the ledger, and with `warn` in the warning; a run that is skipped says it, too."""
    wide = tmp_path / "wide.csv"
    wide.write_text("id,label,b,price,a\n1,x,9,1,9\n")
    ignoring = make_dataset(tmp_path)
    account = ingest(warehouse, ignoring, wide, tmp_path)
    assert (account.unknown_columns, account.unknown_policy) == (["b", "a"], "ignore")
    assert account.warning() is account.reason is None
    skipped = ingest(warehouse, ignoring, wide, tmp_path)
    assert (skipped.status, skipped.unknown_columns, skipped.columns_come) == ("skipped", ["b", "a"], [])
    warning = make_dataset(tmp_path, ITEMS + "unknown_columns: warn\n")
    account = ingest(warehouse, warning, wide, tmp_path, force=True)
    assert account.warning() is not None
    assert "ignored columns of the file, which the dataset does not name: b, a" in str(account.warning())
    account = ingest(warehouse, warning, "id,label,price,b\n1,y,1,9\n", tmp_path)
    assert account.reason == account.warning() == "ignored columns of the file, which the dataset does not name: b"
    row = warehouse.execute(
        "SELECT header, unknown_columns, unknown_policy, missing_columns, renamed_columns, columns_come, columns_gone,"
        " added_columns FROM millrace.ingest_run WHERE run_id = %s",
        [account.run_id],
    ).fetchone()
    assert row == (["id", "label", "price", "b"], ["b"], "warn", [], {}, [], ["a"], [])
    first = warehouse.execute("SELECT columns_come FROM millrace.ingest_run ORDER BY started_at LIMIT 1").fetchone()
    assert first == (None,), "there was none to compare with"


def test_a_file_without_header_has_no_names(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ITEMS + "csv: {header: false}\n")
    account = ingest(warehouse, dataset, "1,a,1\n", tmp_path)
    assert (account.unknown_columns, account.columns_come) == ([], [])
    assert warehouse.execute("SELECT header FROM millrace.ingest_run").fetchall() == [(None,)]


@pytest.mark.parametrize("how", ["ignore", "add", "rescue\nrescue_column: other"])
def test_files_of_one_run(warehouse: psycopg.Connection[Any], tmp_path: Path, how: str) -> None:
    """They have their columns in the same places; the names may be others, where they make no difference."""
    folder = tmp_path / "files"
    folder.mkdir()
    dataset = make_dataset(tmp_path, RENAMED + f"unknown_columns: {how}\n")
    (folder / "1.csv").write_text("id,label,price,x\n1,a,1,X\n")
    (folder / "2.csv").write_text("id,name,price,x\n2,b,2,X\n")
    account = run(warehouse, dataset, Order(uuid4(), folder, DAY))
    assert (account.renamed_columns, account.unknown_columns) == ({"label": "name"}, ["x"])
    assert rows(warehouse, "id, label") == [(1, "a"), (2, "b")]
    (folder / "2.csv").write_text("id,name,price,y\n2,c,2,Y\n")
    if how == "ignore":
        account = run(warehouse, dataset, Order(uuid4(), folder, DAY))
        assert (account.unknown_columns, account.columns_come) == (["x", "y"], ["y"])
        return
    with pytest.raises(HeaderMismatch, match="its columns do not stand as in"):
        run(warehouse, dataset, Order(uuid4(), folder, DAY))
    assert rows(warehouse, "id, label") == [(1, "a"), (2, "b")]


RESCUE = ITEMS + "unknown_columns: rescue\nrescue_column: other\n"


def test_unknown_cells_are_rescued(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, RESCUE + "csv: {nulls: ['', '-']}\n")
    account = ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path)
    found = warehouse.execute(
        "SELECT data_type, is_nullable FROM information_schema.columns WHERE column_name = 'other'"
    )
    assert found.fetchall() == [("jsonb", "YES")]
    text = 'id,x "1",label,price,Ü,\n1,é,a,1,,\n2,"q"" \\ {}\n",b,2,-,z\n3,,c,3,-,\n4,1.0,d,4,null,true\n'
    account = ingest(warehouse, dataset, text, tmp_path, version=DAY + timedelta(days=1))
    assert (account.unknown_columns, account.missing_columns) == (['x "1"', "Ü", ""], [])
    assert rows(warehouse, "id, other") == [
        (1, {'x "1"': "é"}),
        (2, {'x "1"': 'q" \\ {}\n', "": "z"}),
        (3, None),
        (4, {'x "1"': "1.0", "Ü": "null", "": "true"}),
    ]
    again = HEADER + "1,a,1\n3,c,3\n"
    account = ingest(warehouse, dataset, again, tmp_path, version=DAY + timedelta(days=2))
    assert counts(account) == {"read": 2, "updated": 1, "unchanged": 1}


def test_a_cell_that_can_not_be_rescued(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    data = b"id,label,price,x,y\n1,a,1,\xff,1\n2,b,2,1,\x00\n3,c,3,1,1\n4,d,4\n"
    account = ingest(warehouse, make_dataset(tmp_path, RESCUE), data, tmp_path)
    assert rejected(warehouse, account) == [
        (2, "other", "\\xff", "encoding"), (3, "other", "\\x00", "nul"), (5, None, None, "fields"),
    ]  # fmt: skip
    reason = "SELECT reason FROM millrace.rejected_row WHERE line_number = 3"
    assert "in the file's column y" in str(warehouse.execute(reason).fetchone())
    assert rows(warehouse, "id, other") == [(3, {"x": "1", "y": "1"})]


def test_the_same_bytes_under_another_name_are_other_cells(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, RESCUE)
    body = "".join(f"{number},a,1,v\n" for number in range(30))
    ingest(warehouse, dataset, "id,label,price,x\n" + body, tmp_path)
    account = ingest(warehouse, dataset, "id,label,price,y\n" + body, tmp_path, version=DAY + timedelta(days=1))
    assert counts(account) == {"read": 30, "updated": 30}
    assert rows(warehouse, "DISTINCT other") == [({"y": "v"},)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (ITEMS + "unknown_columns: keep\n", "items.yaml:11: unknown_columns: Input should be 'ignore', 'warn', 'fail'"),
        (ITEMS + "missing_columns: keep\n", "items.yaml:11: missing_columns: must be fail or null (not 'keep')"),
        (ITEMS + "unknown_columns: rescue\n", "items.yaml:11: unknown_columns: rescue needs rescue_column"),
        (ITEMS + "rescue_column: x\n", "items.yaml:11: rescue_column: makes no sense with unknown_columns: ignore"),
        (RESCUE.replace("other", "label"), "items.yaml:12: rescue_column: label is one of the columns"),
        (RESCUE.replace("other", "a b"), "items.yaml:12: rescue_column: a column's name is up to 63 letters"),
        (RESCUE.replace("other", "ctid"), "items.yaml:12: rescue_column: the name ctid is reserved"),
        (ITEMS + "unknown_columns: add\ncsv: {header: false}\n", "items.yaml:11: unknown_columns: makes no sense with"),
        (
            ITEMS + "missing_columns: null\ncsv: {header: false}\n",
            "items.yaml:11: missing_columns: makes no sense with",
        ),
        (RENAMED.replace("name]", "price]"), "items.yaml:9: columns.price.source: price is a name of column label as"),
        (RENAMED.replace("name]", "label]"), "items.yaml:8: columns.label.source: label stands twice"),
        (RENAMED.replace("name]", '" name"]'), "items.yaml:8: columns.label.source: ' name' begins or ends with white"),
        (
            RENAMED.replace("[label, Label Text, name]", "[]"),
            "items.yaml:8: columns.label.source: must be a name or a list",
        ),
        (
            RENAMED.replace("[label, Label Text, name]", "5"),
            "items.yaml:8: columns.label.source: must be a name or a list",
        ),
        (
            RENAMED.replace("[label, Label Text, name]", "[5]"),
            "items.yaml:8: columns.label.source: must be a name or a list",
        ),
    ],
)
def test_faults_of_the_dataset_file(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(DatasetError) as raised:
        make_dataset(tmp_path, text)
    assert fault in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_null_may_be_quoted(tmp_path: Path) -> None:
    assert make_dataset(tmp_path, ITEMS + 'missing_columns: "null"\n').missing_columns is None


def test_two_columns_may_have_one_field(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    text = ITEMS.replace(
        "reject_limit", "  copy: {type: text, nullable: true, trim: true, source: label}\nreject_limit"
    )
    ingest(warehouse, make_dataset(tmp_path, text), HEADER + "1, a,1\n", tmp_path)
    assert rows(warehouse, "label, copy") == [(" a", "a")]
