"""A run is in the ledger from its first look on: waiting, then planned, done, skipped, or failed with the reason."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from include.ingest import ledger
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import HeaderMismatch, IngestError, SourceMissing, TargetMismatch
from include.ingest.load import load_chunk
from include.ingest.plan import Order, begun, plan, read_plan, wait
from include.ingest.run import close, run
from tests.ingest.loading import DAY, HEADER, counts, ingest, make_dataset, rows, staging_tables


def said(connection: psycopg.Connection, run_id: UUID) -> tuple[Any, ...]:
    """Status, file and reason of a run."""
    query = "SELECT status, file, reason FROM millrace.ingest_run WHERE run_id = %s"
    row = connection.execute(query, [run_id]).fetchone()
    assert row is not None
    return row


def test_a_run_waits_then_is_planned_then_done(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset, file = make_dataset(tmp_path, chunk_bytes=20), tmp_path / "file.csv"
    order = Order(uuid4(), file, DAY, airflow_run="ingest_items/manual")
    for _ in range(2):  # looks
        look(warehouse, dataset, order)
        assert said(warehouse, order.run_id) == ("waiting", str(file), None)
    with pytest.raises(IngestError, match="has no plan"):
        read_plan(warehouse, order.run_id)
    file.write_text(HEADER + "1,a,1\n2,b,2\n3,c,3\n")
    planned = plan(warehouse, dataset, order)
    assert said(warehouse, order.run_id) == ("planned", str(file), None)
    for chunk in planned.chunks:
        load_chunk(warehouse, dataset, planned, chunk)
    assert run(warehouse, dataset, order).inserted == 3
    assert said(warehouse, order.run_id) == ("done", str(file), None)
    row = warehouse.execute("SELECT dataset, target, airflow_run, version FROM millrace.ingest_run").fetchall()
    assert row == [("items", "public.items", "ingest_items/manual", DAY)]


def look(connection: psycopg.Connection, dataset: Dataset, order: Order) -> None:
    """A look of the DAG that does not find the file."""
    with begun(connection, dataset, order):
        wait(connection, dataset, order)


FAULTS = {
    "the header": ("id,label\n1,a\n", HeaderMismatch, "the header lacks price"),
    "the target": (HEADER, TargetMismatch, "does not fit dataset items"),
    "the file": (None, SourceMissing, "file.csv"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_that_fails_before_its_plan_says_why(warehouse: psycopg.Connection, tmp_path: Path, fault: str) -> None:
    text, kind, words = FAULTS[fault]
    dataset, order = make_dataset(tmp_path), Order(uuid4(), tmp_path / "file.csv", DAY)
    if text is not None:
        (tmp_path / "file.csv").write_text(text)
    if fault == "the target":
        warehouse.execute("CREATE TABLE items (id text PRIMARY KEY)")
    with pytest.raises(kind):
        run(warehouse, dataset, order)
    status, file, reason = said(warehouse, order.run_id)
    assert (status, file, words in reason) == ("failed", str(order.path), True)
    with pytest.raises(IngestError) as told:
        close(warehouse, order.run_id)
    assert str(told.value).count(file) <= str(told.value).count("\n") + 1, "the path stands once"
    with warehouse.cursor() as cursor:
        account = ledger.account(cursor, order.run_id)
    assert (account.status, account.bytes, account.chunks, counts(account)) == ("failed", 0, 0, {})


def test_a_run_that_ends_while_it_waits_is_failed(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset, order = make_dataset(tmp_path), Order(uuid4(), tmp_path / "file.csv", DAY)
    look(warehouse, dataset, order)
    with pytest.raises(IngestError, match="ended before its file was planned"):
        close(warehouse, order.run_id)
    assert said(warehouse, order.run_id)[0] == "failed"
    look(warehouse, dataset, order)
    with warehouse.cursor() as cursor:
        ledger.note_reason(cursor, order.run_id, f"{order.path} did not come within 9 seconds")
    with pytest.raises(IngestError, match="did not come within 9 seconds"):
        close(warehouse, order.run_id)
    assert said(warehouse, order.run_id)[::2] == ("failed", f"{order.path} did not come within 9 seconds")


@pytest.mark.parametrize("ended", ["failed", "waiting"])
@pytest.mark.parametrize("mode", ["upsert", "append", "replace"])
def test_a_cleared_run_that_waits_or_fails_keeps_what_it_did(
    warehouse: psycopg.Connection, tmp_path: Path, mode: str, ended: str
) -> None:
    dataset = make_dataset(tmp_path, mode=mode, key=[] if mode == "append" else ["id"])
    order = Order(uuid4(), tmp_path / "file.csv", DAY)
    Path(order.path).write_text(HEADER + "1,a,1\n2,b,-2\n")
    done = run(warehouse, dataset, order)
    before = warehouse.execute("SELECT to_jsonb(r) FROM millrace.ingest_run r").fetchone()
    Path(order.path).rename(tmp_path / "away")
    look(warehouse, dataset, order)
    if ended == "failed":
        with pytest.raises(IngestError):
            close(warehouse, order.run_id)
        look(warehouse, dataset, order)
        with pytest.raises(SourceMissing):
            run(warehouse, dataset, order)
    assert said(warehouse, order.run_id)[0] == ended
    kept = "SELECT read, inserted, earlier ->> 'status', (earlier ->> 'inserted')::int FROM millrace.ingest_run"
    assert warehouse.execute(kept).fetchall() == [(None, None, "done", 1)]
    (tmp_path / "away").rename(order.path)
    assert run(warehouse, dataset, order) == done, "the table is proved to hold its content"
    assert warehouse.execute("SELECT to_jsonb(r) FROM millrace.ingest_run r").fetchone() == before
    assert rows(warehouse, "id") == [(1,)]


def test_a_run_that_is_done_and_planned_again_is_as_it_was(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    """Its task died after the commit. Nothing is written to the ledger."""
    dataset, order = make_dataset(tmp_path), Order(uuid4(), tmp_path / "file.csv", DAY)
    Path(order.path).write_text(HEADER + "1,a,1\n2,b,-2\n")
    done = run(warehouse, dataset, order)
    row = "SELECT xmin::text, to_jsonb(r) FROM millrace.ingest_run r"
    before = warehouse.execute(row).fetchone()
    assert plan(warehouse, dataset, order).skipped
    assert warehouse.execute(row).fetchone() == before
    assert close(warehouse, order.run_id) == done


def test_a_cleared_run_whose_new_file_is_wrong_is_failed_and_not_done(
    warehouse: psycopg.Connection, tmp_path: Path
) -> None:
    dataset, order = make_dataset(tmp_path), Order(uuid4(), tmp_path / "file.csv", DAY)
    Path(order.path).write_text(HEADER + "1,a,1\n")
    run(warehouse, dataset, order)
    Path(order.path).write_text("id,price\n1,1\n")
    with pytest.raises(HeaderMismatch):
        run(warehouse, dataset, order)
    with pytest.raises(IngestError, match="the header lacks label"):
        close(warehouse, order.run_id)
    Path(order.path).write_text(HEADER + "1,b,1\n")
    assert counts(run(warehouse, dataset, order)) == {"read": 1, "updated": 1}


def test_what_is_unpacked_for_a_run_that_waits_stays(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset, order = make_dataset(tmp_path), Order(uuid4(), tmp_path / "file.csv", DAY)
    look(warehouse, dataset, order)
    with warehouse.cursor() as cursor:
        assert ledger.ended_of(cursor, [order.run_id]) == set()
        ledger.fail_run(cursor, order.run_id, "why")
        assert ledger.ended_of(cursor, [order.run_id]) == {order.run_id}


def test_a_path_that_is_no_utf8_can_be_told(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv"))
    order = Order(uuid4(), file, DAY)
    with pytest.raises(SourceMissing):
        run(warehouse, make_dataset(tmp_path), order)
    assert said(warehouse, order.run_id)[:2] == ("failed", f"file://{tmp_path}/caf%E9.csv")


def test_stale_rows_are_warned_of(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, HEADER + "1,new,1\n2,new,1\n", tmp_path, version=DAY + timedelta(days=1))
    account = ingest(warehouse, dataset, HEADER + "1,old,1\n3,old,1\n", tmp_path)
    words = "1 of 2 rows are older than the table's, and changed nothing"
    assert (account.stale, account.reason, account.warning()) == (1, words, words)
    assert account.version == "2026-03-01T00:00:00+00:00"
    fine = ingest(warehouse, dataset, HEADER + "1,newer,1\n", tmp_path, version=DAY + timedelta(days=2))
    assert (fine.stale, fine.reason, fine.warning()) == (0, None, None)


@pytest.mark.parametrize("force", [False, True])
def test_a_header_without_rows_is_done_with_a_warning(
    warehouse: psycopg.Connection, tmp_path: Path, force: bool
) -> None:
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, HEADER + "1,one,1\n", tmp_path)
    account = ingest(warehouse, dataset, HEADER, tmp_path, version=DAY + timedelta(days=1), force=force)
    assert (account.status, account.reason, account.warning()) == ("done", *["the file holds no rows"] * 2)
    assert rows(warehouse, "id") == [(1,)]
    assert staging_tables(warehouse) == []
