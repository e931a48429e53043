"""`unknown_columns: add`: the table gets the columns that a file brings, with the rows that bring them or never."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest.dataset.definition import Dataset
from include.ingest.dataset.identifier import identifier_of
from include.ingest.errors import HeaderMismatch, RejectLimitExceeded, TargetMismatch, TargetRefused
from include.ingest.infer.names import column_names
from include.ingest.load import load_chunk
from include.ingest.merge import merge
from include.ingest.plan import Order, Plan, plan
from include.ingest.run import finish
from include.ingest.table import staging
from stack.postgres import PostgresServer
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, known, make_dataset, rows, staging_tables

ADD = ITEMS + "unknown_columns: add\n"
WIDE = "id,label,price,Currency\n"
ALL = "id, label, currency"


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path, ADD)


def columns(connection: psycopg.Connection[Any]) -> list[tuple[str, str, str]]:
    query = (
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_name = 'items' ORDER BY ordinal_position"
    )
    return connection.execute(query).fetchall()


def planned(connection: psycopg.Connection[Any], dataset: Dataset, text: str, folder: Path, days: int = 0) -> Plan:
    """A run that is planned and no more."""
    file = folder / f"{uuid4().hex}.csv"
    file.write_text(text)
    return plan(connection, dataset, Order(uuid4(), file, DAY + timedelta(days=days)))


def test_a_table_that_is_there_gets_the_column_as_text(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path
) -> None:
    ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,2\n", tmp_path)
    before = columns(warehouse)
    account = ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n3,c,3,\n", tmp_path, version=DAY + timedelta(days=1))
    assert columns(warehouse) == [*before, ("currency", "text", "YES")]
    assert rows(warehouse, ALL) == [(1, "a", "EUR"), (2, "b", None), (3, "c", None)]
    assert counts(account) == {"read": 2, "updated": 1, "inserted": 1}
    assert (account.added_columns, account.unknown_columns) == (["currency"], ["Currency"])
    assert account.reason == account.warning() == "added to the table: currency"
    assert (dataset.unknown_columns, list(dataset.columns)) == ("add", ["id", "label", "price"])


@pytest.mark.parametrize("there", [None, "empty", "hung on"])
def test_a_table_that_is_new_or_empty(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path, there: str | None
) -> None:
    if there:
        warehouse.execute("CREATE TABLE items (id bigint PRIMARY KEY, label text, price numeric(8,2))")
    if there == "hung on":
        warehouse.execute("CREATE VIEW seen AS SELECT id FROM items")
    account = ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n2,b,2,\n", tmp_path)
    assert rows(warehouse, ALL) == [(1, "a", "EUR"), (2, "b", None)]
    assert account.added_columns == ["currency"]
    assert {name for name, *_ in columns(warehouse)} == {
        "id", "label", "price", "currency", "processed_at", "source_version",
    }  # fmt: skip
    again = ingest(warehouse, dataset, WIDE + "1,a,1,USD\n", tmp_path, version=DAY + timedelta(days=1))
    assert (again.added_columns, rows(warehouse, ALL)[0]) == ([], (1, "a", "USD"))
    assert staging_tables(warehouse) == []


def test_a_file_with_a_new_column_is_another_content_and_the_next_builds_on_it(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path
) -> None:
    files = [tmp_path / f"{number}.csv" for number in range(4)]
    body = "".join(f"{number},a,1,EUR\n" for number in range(50))
    files[0].write_text(HEADER + body.replace(",EUR", ""))
    for file in files[1:]:
        file.write_text(WIDE + body)
    with files[3].open("a") as more:
        more.write("50,a,1,USD\n")
    days = [DAY + timedelta(days=number) for number in range(4)]
    first = ingest(warehouse, dataset, files[0], tmp_path, version=days[0])
    wide = ingest(warehouse, dataset, files[1], tmp_path, version=days[1])
    same = ingest(warehouse, dataset, files[2], tmp_path, version=days[2])
    more_rows = ingest(warehouse, dataset, files[3], tmp_path, version=days[3])
    assert (known(warehouse, wide), known(warehouse, more_rows)) == (0, 50)
    assert (first.inserted, wide.updated, same.status, more_rows.inserted) == (50, 50, "skipped", 1)
    narrow = ingest(warehouse, dataset, files[0], tmp_path, version=days[3] + timedelta(days=1))
    assert counts(narrow) == {"read": 50, "updated": 50}
    assert (narrow.columns_gone, narrow.missing_columns) == (["Currency"], [])
    found = warehouse.execute("SELECT currency, count(*) FROM items GROUP BY 1 ORDER BY 1").fetchall()
    assert found == [("USD", 1), (None, 50)]


def test_a_run_that_fails_leaves_no_column(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path
) -> None:
    ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path)
    before = columns(warehouse)
    strict = make_dataset(tmp_path, ADD.replace("rows: null", "rows: 0"))
    with pytest.raises(RejectLimitExceeded):
        ingest(warehouse, strict, WIDE + "1,a,-1,EUR\n", tmp_path)
    warehouse.execute("ALTER TABLE items ADD CONSTRAINT short CHECK (length(label) < 5)")
    with pytest.raises(TargetRefused, match="short"):
        ingest(warehouse, dataset, WIDE + "1,too long,1,EUR\n", tmp_path)
    assert columns(warehouse) == before
    assert warehouse.execute("SELECT count(*) FROM millrace.added_column").fetchone() == (0,)
    assert staging_tables(warehouse) == []


def test_two_runs_at_once_that_bring_the_same_column(
    warehouse: psycopg.Connection[Any], dsn: str, dataset: Dataset, tmp_path: Path
) -> None:
    ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,2\n", tmp_path)
    texts = {number: WIDE + f"1,a,1,C{number}\n{number + 10},n,1,EUR\n" for number in range(4)}
    barrier, failed = threading.Barrier(len(texts)), []

    def work(number: int) -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                made = planned(connection, dataset, texts[number], tmp_path, number)
                for chunk in made.chunks:
                    load_chunk(connection, dataset, made, chunk)
                barrier.wait(60)
                merge(connection, dataset, made)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert rows(warehouse, ALL) == [(1, "a", "C3"), (2, "b", None), *((10 + n, "n", "EUR") for n in range(4))]
    added = warehouse.execute("SELECT added_columns FROM millrace.ingest_run WHERE added_columns <> '{}'").fetchall()
    assert added == [(["currency"],)]


@pytest.mark.parametrize("full", [False, True])
def test_a_column_that_comes_between_plan_and_merge_is_null_as_if_it_had_come_before(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path, full: bool
) -> None:
    if full:
        ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path, version=DAY - timedelta(days=1))
    newer = planned(warehouse, dataset, HEADER + "1,a,1\n2,b,2\n", tmp_path, days=2)
    ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n3,c,3,USD\n", tmp_path, version=DAY)
    account = finish(warehouse, dataset, newer)
    assert rows(warehouse, ALL) == [(1, "a", None), (2, "b", None), (3, "c", "USD")]
    assert counts(account) == {"read": 2, "updated": 1, "inserted": 1}
    assert staging_tables(warehouse) == []


@pytest.fixture
def owner(postgres: PostgresServer, dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else, who may do everything."""
    with psycopg.connect(postgres.dsn(dsn.rpartition("/")[2].partition("?")[0]), autocommit=True) as superuser:
        yield superuser


def test_a_table_of_somebody_else_is_not_altered_but_may_be_by_hand(
    warehouse: psycopg.Connection[Any], owner: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path
) -> None:
    owner.execute(
        "CREATE TABLE items (id bigint PRIMARY KEY, label text, price numeric(8,2), processed_at timestamptz,"
        " source_version timestamptz); GRANT ALL ON items TO ingest"
    )
    ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path)
    with pytest.raises(TargetMismatch, match="role ingest may not alter it") as raised:
        ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n", tmp_path)
    way_out = str(raised.value).partition("by hand: ")[2].partition(";")[0]
    owner.execute(way_out)
    assert ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n", tmp_path).updated == 1
    assert rows(warehouse, ALL) == [(1, "a", "EUR")]


def test_a_table_that_is_published_is_not_altered(
    warehouse: psycopg.Connection[Any], owner: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path
) -> None:
    ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path)
    owner.execute("CREATE PUBLICATION pub FOR TABLE items")
    with pytest.raises(TargetMismatch, match="published by pub"):
        ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n", tmp_path)
    assert "currency" not in [name for name, *_ in columns(warehouse)]
    warehouse.execute("ALTER TABLE items ADD COLUMN currency text")
    ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n", tmp_path)
    assert rows(warehouse, ALL) == [(1, "a", "EUR")]


@pytest.mark.parametrize(
    "clause",
    [
        "currency text DEFAULT 'mine'",
        "currency integer",
        "currency text GENERATED ALWAYS AS (label) STORED",
    ],
)
def test_a_column_of_somebody_else_is_not_written_to(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path, clause: str
) -> None:
    ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path)
    warehouse.execute(f"ALTER TABLE items ADD COLUMN {clause}")
    before = rows(warehouse, ALL)
    with pytest.raises(TargetMismatch, match="brings Currency, and the table's column of that name is taken"):
        ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n", tmp_path)
    assert rows(warehouse, ALL) == before
    ingest(warehouse, dataset, HEADER + "1,b,1\n", tmp_path)


def test_what_becomes_of_an_added_column_later(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path
) -> None:
    """Dropped, it comes again; given a type, or a name in the dataset, it is no longer Millrace's to fill with null."""
    ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n", tmp_path)
    warehouse.execute("ALTER TABLE items DROP COLUMN currency")
    account = ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n2,b,2,USD\n", tmp_path)
    assert (account.added_columns, rows(warehouse, ALL)[0]) == (["currency"], (1, "a", "EUR"))
    warehouse.execute("ALTER TABLE items ALTER COLUMN currency TYPE varchar(3)")
    ingest(warehouse, dataset, HEADER + "1,changed,1\n", tmp_path)
    assert rows(warehouse, ALL) == [(1, "changed", "EUR"), (2, "b", "USD")]
    with pytest.raises(TargetMismatch, match=r"taken: currency \(character varying\(3\)\)"):
        ingest(warehouse, dataset, WIDE + "1,a,1,CHF\n", tmp_path)
    lines = "  currency: {type: varchar(3), nullable: true, source: Currency}\nreject_limit"
    named = make_dataset(tmp_path, ADD.replace("reject_limit", lines))
    ingest(warehouse, named, WIDE + "1,a,1,CHF\n", tmp_path)
    assert rows(warehouse, ALL)[0] == (1, "a", "CHF")


def test_a_promotion_keeps_what_is_known_of_added_columns(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path
) -> None:
    ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n", tmp_path)
    warehouse.execute("TRUNCATE items")
    oid = "SELECT 'items'::regclass::oid"
    before = warehouse.execute(oid).fetchone()
    ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path, version=DAY + timedelta(days=1))
    assert warehouse.execute(oid).fetchone() != before
    ingest(warehouse, dataset, WIDE + "1,a,1,EUR\n", tmp_path, version=DAY + timedelta(days=2))
    assert rows(warehouse, ALL) == [(1, "a", "EUR")]
    ingest(warehouse, dataset, HEADER + "1,b,1\n", tmp_path, version=DAY + timedelta(days=3))
    assert rows(warehouse, ALL) == [(1, "b", None)]


def test_forced_and_cleared_runs(warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path) -> None:
    run_id, file = uuid4(), tmp_path / "wide.csv"
    file.write_text(WIDE + "1,a,1,EUR\n")
    ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path)
    for force in (False, False, True):
        account = ingest(warehouse, dataset, file, tmp_path, run_id=run_id, force=force)
        assert (account.status, account.columns_come, account.unknown_columns) == ("done", ["Currency"], ["Currency"])
    assert rows(warehouse, ALL) == [(1, "a", "EUR")]


def test_a_row_that_only_the_server_can_refuse(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path
) -> None:
    ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path)
    warehouse.execute("CREATE INDEX by_label ON items (label)")
    long = "".join(chr(97 + (number * number) % 26) + str(number) for number in range(9_000))
    account = ingest(warehouse, dataset, WIDE + f"1,a,1,EUR\n2,{long},2,USD\n", tmp_path)
    assert (account.rejected, account.updated) == (1, 1)
    assert rows(warehouse, ALL) == [(1, "a", "EUR")]


def test_a_hook_sees_the_added_column(
    warehouse: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_hook_of_drift.py").write_text(
        "def clean(frame):\n    frame['currency'] = frame['currency'].str.upper()\n    return frame\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    dataset = make_dataset(tmp_path, ADD + "clean: own_hook_of_drift:clean\n")
    ingest(warehouse, dataset, WIDE + "1,a,1,eur\n", tmp_path)
    assert rows(warehouse, ALL) == [(1, "a", "EUR")]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Currency", "currency"),
        ("Währung (ISO)", "waehrung_iso"),
        ("Straße", "strasse"),
        ("2024", "c_2024"),
        ("a--b", "a_b"),
        ("processed_at", "processed_at_"),
        ("ctid", "ctid_"),
        ("millrace_row", "c_millrace_row"),
        ("x" * 80, "x" * 63),
        ("select", "select_"),
        ("orderID", "order_id"),
        ("GRÖSSE", "groesse"),
        ("A\u0308pfel", "aepfel"),
        ("Café Øre Łódź Ünlü", "cafe_oere_lodz_uenlue"),
        ('"; DROP TABLE items; --', "drop_table_items"),
    ],
)
def test_any_name_becomes_an_identifier(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path, header: str, name: str
) -> None:
    assert (identifier_of(header), column_names([header])) == (name, [name]), "drift and init agree"
    quoted = header.replace('"', '""')
    ingest(warehouse, dataset, f'id,label,price,"{quoted}"\n1,a,1,EUR\n', tmp_path)
    assert warehouse.execute(f'SELECT "{name}" FROM items').fetchall() == [("EUR",)]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("id,label,price,", r"holds \(no name\), of which no column's name can be made"),
        ("id,label,price,价格", "holds 价格, of which no column's name can be made"),
        ("id,label,price,LABEL", "holds LABEL, which would be added as label: that is the column of label"),
        ("id,label,price,a b,a-b", "holds a-b, which would be added as a_b: that is the column of a b"),
        ("id,label,price,x,x", "names x twice"),
    ],
)
def test_names_of_which_no_column_can_be_made(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path, header: str, words: str
) -> None:
    with pytest.raises(HeaderMismatch, match=words):
        ingest(warehouse, dataset, header + "\n", tmp_path)
    assert columns(warehouse) == []


def test_staging_form_of_a_table_that_lacks_a_column(
    warehouse: psycopg.Connection[Any], dataset: Dataset, tmp_path: Path
) -> None:
    """An empty table without the column is no model for what takes its place; with it, it is."""
    ingest(warehouse, dataset, HEADER, tmp_path)
    forms: list[staging.Form] = []
    for _ in range(2):
        made = planned(warehouse, dataset, WIDE + "1,a,1,EUR\n", tmp_path)
        forms.append(made.form)
        finish(warehouse, dataset, made)
        warehouse.execute("TRUNCATE items")
    assert forms == ["merge", "promote"]


def test_added_and_missing_columns_take_the_fast_path(
    warehouse: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def certain_way(*_: object) -> None:
        raise AssertionError("a plain record took the certain way")

    dataset = make_dataset(tmp_path, ADD + "missing_columns: null\n")
    ingest(warehouse, dataset, HEADER + "1,a,1\n", tmp_path)
    monkeypatch.setattr("include.ingest.load.read_rows", certain_way)
    ingest(warehouse, dataset, "id,price,Currency\n1,1,EUR\n2,2,\n", tmp_path, version=DAY + timedelta(days=1))
    assert rows(warehouse, ALL) == [(1, None, "EUR"), (2, None, None)]
