"""Mode `replace`: the delete limit, and rows whose new record was rejected."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest.dataset.definition import Dataset, DeleteLimit
from include.ingest.errors import DeleteLimitExceeded
from include.ingest.plan import Order, plan
from include.ingest.run import finish
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, make_dataset, rows, staging_tables
from tests.ingest.test_command import run

NEXT = DAY + timedelta(days=1)
ANY = DeleteLimit(rows=None, ratio=1)


def replacing(folder: Path, **changes: Any) -> Dataset:
    """Items that are replaced by each file."""
    return make_dataset(folder, **{"mode": "replace", **changes})


def items(*numbers: int, label: str = "a") -> str:
    """A file of these keys."""
    return HEADER + "".join(f"{number},{label},1\n" for number in numbers)


@pytest.mark.parametrize(
    ("limit", "left", "words"),
    [
        (DeleteLimit(), 5, None),  # half of them go
        (DeleteLimit(), 4, "6 of the table's 10 rows would be deleted: over the limit of 50 %"),
        (DeleteLimit(), 0, "10 of the table's 10 rows would be deleted: over the limit of 50 %"),
        (DeleteLimit(rows=2, ratio=None), 8, None),
        (DeleteLimit(rows=2, ratio=None), 7, "3 of the table's 10 rows would be deleted: over the limit of 2 rows"),
        (DeleteLimit(rows=0, ratio=None), 10, None),
        (DeleteLimit(rows=None, ratio=None), 0, None),
        (ANY, 0, None),
    ],
)
def test_over_the_delete_limit_nothing_is_touched(
    warehouse: psycopg.Connection, tmp_path: Path, limit: DeleteLimit, left: int, words: str | None
) -> None:
    dataset = replacing(tmp_path, delete_limit=limit)
    ingest(warehouse, dataset, items(*range(10)), tmp_path)
    before = rows(warehouse, "id, label, xmin::text, ctid::text")
    file = items(*range(left), label="b")
    if words is None:
        account = ingest(warehouse, dataset, file, tmp_path, version=NEXT)
        assert (account.deleted, account.updated) == (10 - left, left)
        assert rows(warehouse, "id, label") == [(number, "b") for number in range(left)]
        return
    with pytest.raises(DeleteLimitExceeded, match=words) as told:
        ingest(warehouse, dataset, file, tmp_path, version=NEXT)
    assert "delete_ratio" in str(told.value)
    assert rows(warehouse, "id, label, xmin::text, ctid::text") == before
    assert staging_tables(warehouse) == []
    found = warehouse.execute("SELECT reason FROM millrace.ingest_run WHERE status = 'failed'").fetchone()
    assert found == (str(told.value),)


def test_a_header_without_rows_deletes_all_if_the_limit_lets_it(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    ingest(warehouse, replacing(tmp_path), items(1, 2, 3), tmp_path)
    with pytest.raises(DeleteLimitExceeded, match="3 of the table's 3 rows"):
        ingest(warehouse, replacing(tmp_path), HEADER, tmp_path, version=NEXT)
    account = ingest(warehouse, replacing(tmp_path, delete_limit=ANY), HEADER, tmp_path, version=NEXT)
    assert counts(account) == {"deleted": 3}
    assert account.warning() == "the file holds no rows; 3 rows were deleted"
    assert rows(warehouse) == []
    assert ingest(warehouse, replacing(tmp_path), HEADER, tmp_path, version=NEXT).status in ("done", "skipped")


REJECTED = {
    "a cell": "2,bad,x\n",
    "a rule of another column": "2,bad,-1\n",
    "too few fields": "2,bad\n",
    "too many fields": "2,bad,1,1\n",
    "quotes": '"2","b""a,\nd",x\n',
    "a copy that is rejected too": "2,bad,x\n2,bad,-1\n",
}


@pytest.mark.parametrize("chunk_bytes", [8, 1 << 20])
@pytest.mark.parametrize("kind", REJECTED)
def test_the_row_of_a_rejected_record_stays(
    warehouse: psycopg.Connection, tmp_path: Path, kind: str, chunk_bytes: int
) -> None:
    dataset = replacing(tmp_path, chunk_bytes=chunk_bytes)
    ingest(warehouse, dataset, items(1, 2, 3), tmp_path)
    before = warehouse.execute("SELECT xmin::text FROM items WHERE id = 2").fetchone()
    account = ingest(warehouse, dataset, items(1, 4, label="new") + REJECTED[kind], tmp_path, version=NEXT)
    assert (account.deleted, account.inserted, account.updated) == (1, 1, 1)
    assert rows(warehouse, "id, label") == [(1, "new"), (2, "a"), (4, "new")]
    assert warehouse.execute("SELECT xmin::text FROM items WHERE id = 2").fetchone() == before
    assert staging_tables(warehouse) == []


@pytest.mark.parametrize("record", ["x,a,1\n", ",a,1\n", "99999999999999999999,a,1\n", "\n", "a\n"])
def test_a_record_whose_key_can_not_be_read_keeps_no_row(
    warehouse: psycopg.Connection, tmp_path: Path, record: str
) -> None:
    dataset = replacing(tmp_path)
    ingest(warehouse, dataset, items(1, 2, 3), tmp_path)
    account = ingest(warehouse, dataset, items(1, 3) + record, tmp_path, version=NEXT)
    assert account.deleted == 1
    assert rows(warehouse, "id") == [(1,), (3,)]


def test_copies_that_are_all_rejected_keep_their_row(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = replacing(tmp_path, duplicates="reject")
    ingest(warehouse, dataset, items(1, 2, 3), tmp_path)
    account = ingest(warehouse, dataset, items(1, 2, 2, label="new"), tmp_path, version=NEXT)
    assert counts(account) == {"read": 3, "updated": 1, "rejected": 2, "deleted": 1}
    assert rows(warehouse, "id, label") == [(1, "new"), (2, "a")]


def test_a_key_of_many_columns_of_many_types(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    """Here a rule of the key itself is broken, in a file whose columns stand otherwise than the dataset's."""
    text = (
        'name: parts\nsource: x\ntarget: public.parts\nmode: replace\nkey: [name, at, of]\ncsv: {delimiter: ";", '
        "encoding: cp1252}\nreject_limit: {rows: null, ratio: null}\ncolumns:\n  name: {type: text, trim: true, "
        "allowed: [café, né]}\n  v: {type: integer}\n  at: {type: timestamptz, timezone: Europe/Berlin}\n  "
        "of: {type: uuid}\n"
    )
    uuid = "6f1c2d3e-0000-4000-8000-000000000001"
    lines = [f"2026-03-01 12:00:00;{uuid};{name};1" for name in ("café", "né")]
    head = "at;of;name;v\n"
    loose = make_dataset(tmp_path, text.replace(", allowed: [café, né]", ""))
    ingest(warehouse, loose, "\n".join([head[:-1], *lines, lines[0].replace("café", "ü")]).encode("cp1252"), tmp_path)
    strict = make_dataset(tmp_path, text)
    odd = [lines[0].replace("café", " ü "), lines[1][:-1] + "x"]
    account = ingest(warehouse, strict, "\n".join([head[:-1], *odd]).encode("cp1252"), tmp_path, version=NEXT)
    assert counts(account) == {"read": 2, "rejected": 2, "deleted": 1}
    assert rows(warehouse, "name", "parts") == [("né",), ("ü",)]


@pytest.mark.parametrize("rule", ["min: 10", "max: 1", "allowed: [1]"])
def test_a_key_that_breaks_a_rule_of_its_own_is_read_all_the_same(
    warehouse: psycopg.Connection, tmp_path: Path, rule: str
) -> None:
    ingest(warehouse, replacing(tmp_path), items(1, 2, 3), tmp_path)
    strict = make_dataset(tmp_path, ITEMS.replace("id: {type: bigint", f"id: {{type: bigint, {rule}"), mode="replace")
    account = ingest(warehouse, strict, items(2, 3), tmp_path, version=NEXT)
    assert (account.rejected, account.deleted) == (2, 1)
    assert rows(warehouse, "id, label") == [(2, "a"), (3, "a")]


def drop_two(frame: Any) -> Any:
    """A hook that drops a row."""
    return frame[frame["id"] != 2]


def test_a_row_that_the_hook_drops_stays(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    ingest(warehouse, replacing(tmp_path), items(1, 2, 3), tmp_path)
    hooked = replacing(tmp_path, clean="tests.ingest.table.test_replace:drop_two")
    account = ingest(warehouse, hooked, items(1, 2, label="new"), tmp_path, version=NEXT)
    assert counts(account) == {"read": 2, "updated": 1, "rejected": 1, "deleted": 1}
    assert rows(warehouse, "id, label") == [(1, "new"), (2, "a")]


def test_rejected_records_count_for_the_limit_as_held(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = replacing(tmp_path, delete_limit=DeleteLimit(rows=0, ratio=None))
    ingest(warehouse, dataset, items(1, 2, 3), tmp_path)
    account = ingest(warehouse, dataset, HEADER + "1,a,x\n2,a,x\n3,a,x\n", tmp_path, version=NEXT)
    assert counts(account) == {"read": 3, "rejected": 3}
    assert len(rows(warehouse)) == 3


def test_rows_that_others_insert_during_a_first_load_count_too(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset, order = replacing(tmp_path), Order(uuid4(), tmp_path / "file.csv", DAY)
    ingest(warehouse, dataset, items(1), tmp_path, version=DAY - timedelta(days=1))
    warehouse.execute("DELETE FROM items")
    Path(order.path).write_text(items(1, label="new") + "2,bad,x\n")
    planned = plan(warehouse, dataset, order)
    assert planned.form == "promote"
    warehouse.execute("INSERT INTO items (id, label) VALUES (2, 'theirs'), (3, 'theirs'), (4, 'theirs')")
    with pytest.raises(DeleteLimitExceeded, match="2 of the table's 3 rows"):
        finish(warehouse, dataset, planned)
    finish(warehouse, replacing(tmp_path, delete_limit=ANY), planned)
    assert rows(warehouse, "id, label") == [(1, "new"), (2, "theirs")]
    assert staging_tables(warehouse) == []


def test_the_command_line_lifts_the_limit(dsn: str, tmp_path: Path) -> None:
    dataset, file = tmp_path / "items.yaml", tmp_path / "items.csv"
    dataset.write_text(ITEMS + "mode: replace\ndelete_limit: {rows: 1}\n")
    file.write_text(items(1, 2, 3))
    command = ("run", dataset, file, "--dsn", dsn, "--date", "2026-03-01", "--json")
    assert run(*command).returncode == 0
    file.write_text(HEADER)
    over = run(*command)
    assert (over.returncode, json.loads(over.stdout)["status"]) == (3, "failed")
    assert "3 of the table's 3 rows would be deleted: over the limit of 1 row" in over.stderr
    assert run(*command, "--delete-rows", "3").returncode == 3, "the ratio is a limit still"
    lifted = run(*command, "--delete-rows", "3", "--delete-ratio", "1")
    assert (lifted.returncode, json.loads(lifted.stdout)["deleted"]) == (0, 3)
    assert lifted.stderr == "warning: the file holds no rows; 3 rows were deleted\n"
    assert run(*command, "--delete-ratio", "2").returncode == 2


def test_the_row_of_a_record_that_only_the_server_refuses_stays(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    """Text that is too long for an index of the table's own; beside it a record that is refused by a rule."""
    dataset = replacing(tmp_path, delete_limit=ANY)
    ingest(warehouse, dataset, items(1, 2, 3), tmp_path)
    warehouse.execute("CREATE INDEX ON items (label)")
    long = "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FFF), k=9000)))
    account = ingest(warehouse, dataset, HEADER + f"1,{long},1\n2,b,-1\n", tmp_path, version=NEXT)
    assert counts(account) == {"read": 2, "rejected": 2, "deleted": 1}
    assert rows(warehouse, "id, label") == [(1, "a"), (2, "a")]
