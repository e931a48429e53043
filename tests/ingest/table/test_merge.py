"""What the target holds after a run, and what the account says of it, on a real PostgreSQL."""

from __future__ import annotations

import itertools
import threading
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from include.ingest import ledger
from include.ingest.dataset.definition import Dataset, RejectLimit
from include.ingest.errors import IngestError, RejectLimitExceeded, SourceMissing, TargetMismatch, TargetRefused
from include.ingest.load import load_chunk
from include.ingest.merge import merge
from include.ingest.plan import Order, Plan, is_small, plan
from include.ingest.run import close, finish
from include.ingest.table import staging
from stack.postgres import PostgresServer
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, make_dataset, rejected, rows, staging_tables


def test_a_missing_target_is_created(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    account = ingest(warehouse, make_dataset(tmp_path), HEADER + "1,one,1.00\n2,two,\n", tmp_path)
    assert counts(account) == {"read": 2, "inserted": 2}
    assert [(i, label) for i, label, _ in rows(warehouse)] == [(1, "one"), (2, "two")]
    with pytest.raises(psycopg.errors.UniqueViolation):
        warehouse.execute("INSERT INTO items (id) VALUES (1)")
    assert rows(warehouse, "source_version") == [(DAY,), (DAY,)]
    warehouse.execute("INSERT INTO items (id) VALUES (3)")
    assert rows(warehouse, "id, source_version, processed_at > now() - interval '1 minute'")[2] == (3, None, True)
    assert staging_tables(warehouse) == []


def test_an_upsert_writes_only_what_changed(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, HEADER + "1,one,1.00\n2,two,2.00\n3,three,\n", tmp_path)
    before = dict(rows(warehouse, "id, xmin::text || ctid::text"))
    account = ingest(
        warehouse, dataset, HEADER + "1,one,1.00\n2,TWO,2.00\n3,three,\n4,four,4.00\n", tmp_path, version=DAY
    )
    assert counts(account) == {"read": 4, "inserted": 1, "updated": 1, "unchanged": 2}
    after = dict(rows(warehouse, "id, xmin::text || ctid::text"))
    assert {i for i in before if before[i] != after[i]} == {2}
    assert staging_tables(warehouse) == []


@pytest.mark.parametrize(("policy", "label", "numbers"), [
    ("last", "c", {"read": 4, "inserted": 2, "superseded": 2}),
    ("first", "a", {"read": 4, "inserted": 2, "superseded": 2}),
    ("reject", None, {"read": 4, "inserted": 1, "rejected": 3}),
])  # fmt: skip
@pytest.mark.parametrize("chunk_bytes", [1, 1000])
@pytest.mark.parametrize("full", [False, True])
def test_repeated_keys_follow_the_policy(
    warehouse: psycopg.Connection, tmp_path: Path, policy: str, label: str | None, numbers: dict[str, int],
    chunk_bytes: int, full: bool,
) -> None:  # fmt: skip
    dataset = make_dataset(tmp_path, duplicates=policy, chunk_bytes=chunk_bytes)
    if full:
        ingest(warehouse, dataset, HEADER + "9,nine,9\n", tmp_path)
    account = ingest(warehouse, dataset, HEADER + '1,a,1\n7,"x\ny",\n1,b,2\n1,c,3', tmp_path)
    assert counts(account) == numbers
    assert dict(rows(warehouse, "id, label")).get(1) == label
    if policy == "reject":
        assert rejected(warehouse, account) == [(n, "id", "1", "duplicate") for n in (2, 5, 6)]
        raw = warehouse.execute("SELECT raw FROM millrace.rejected_row ORDER BY line_number").fetchall()
        assert raw == [("1,a,1",), ("1,b,2",), ("1,c,3",)]


def test_an_older_file_does_not_overwrite_newer_rows(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, HEADER + "1,new,1\n", tmp_path, version=DAY)
    account = ingest(warehouse, dataset, HEADER + "1,old,1\n2,old,1\n", tmp_path, version=DAY - timedelta(days=1))
    assert counts(account) == {"read": 2, "inserted": 1, "superseded": 1}
    assert rows(warehouse, "id, label") == [(1, "new"), (2, "old")]


def test_a_version_column_decides(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    text = ITEMS.replace("reject_limit", "  seen: {type: timestamp}\nreject_limit") + "version: seen\n"
    dataset = make_dataset(tmp_path, text)
    header = "id,label,price,seen\n"
    ingest(warehouse, dataset, header + "1,new,1,2026-01-02 00:00:00\n2,old,1,2026-01-01 00:00:00\n", tmp_path)
    account = ingest(
        warehouse, dataset, header + "1,old,1,2026-01-01 00:00:00\n2,new,1,2026-01-02 00:00:00\n", tmp_path
    )
    assert counts(account) == {"read": 2, "updated": 1, "superseded": 1}
    assert rows(warehouse, "id, label") == [(1, "new"), (2, "new")]


def test_replace_deletes_what_the_file_does_not_hold(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, mode="replace")
    ingest(warehouse, dataset, HEADER + "1,one,1\n2,two,2\n", tmp_path)
    account = ingest(warehouse, dataset, HEADER + "2,two,2\n3,three,3\n", tmp_path, version=DAY + timedelta(days=1))
    assert counts(account) == {"read": 2, "inserted": 1, "unchanged": 1, "deleted": 1}
    assert rows(warehouse, "id") == [(2,), (3,)]
    older = ingest(warehouse, dataset, HEADER + "8,eight,8\n", tmp_path)
    assert counts(older) == {"read": 1, "superseded": 1}
    assert rows(warehouse, "id") == [(2,), (3,)]


def test_append_adds_every_row(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ITEMS.replace("key: [id]", "mode: append"))
    for _ in range(2):
        account = ingest(warehouse, dataset, HEADER + "1,one,1\n1,one,1\n", tmp_path, force=True)
        assert counts(account) == {"read": 2, "inserted": 2}
    assert len(rows(warehouse)) == 4


@pytest.mark.parametrize("data", [b"id,label,price\n", b"\xef\xbb\xbfid,label,price", b"id,label,price\n\n\n"])
def test_a_header_without_rows_succeeds(warehouse: psycopg.Connection, tmp_path: Path, data: bytes) -> None:
    account = ingest(warehouse, make_dataset(tmp_path), data, tmp_path)
    assert (account.status, counts(account)) == ("done", {})


def test_a_file_is_ingested_once_unless_forced(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    file = tmp_path / "items.csv"
    file.write_text(HEADER + "1,one,1\n2,two,-1\n1,uno,1\n")
    first = ingest(warehouse, dataset, file, tmp_path)
    again = ingest(warehouse, dataset, file, tmp_path)
    assert again.status == "skipped"
    assert first.run_id in (again.reason or "")
    forced = ingest(warehouse, dataset, file, tmp_path, force=True)
    assert counts(forced) == {"read": 3, "unchanged": 1, "superseded": 1, "rejected": 1}
    assert forced.chunks == 0, "an untouched table is confirmed without loading"
    assert rejected(warehouse, forced) == rejected(warehouse, first)
    warehouse.execute("UPDATE items SET label = 'tampered'")
    repaired = ingest(warehouse, dataset, file, tmp_path, force=True)
    assert counts(repaired) == {"read": 3, "updated": 1, "superseded": 1, "rejected": 1}
    assert rows(warehouse, "label") == [("uno",)]
    warehouse.execute("DROP TABLE items")
    assert ingest(warehouse, dataset, file, tmp_path).inserted == 1, "a table made anew is not skipped"


def test_a_small_file_is_finished_by_its_plan_and_a_retry_keeps_the_account(
    warehouse: psycopg.Connection, tmp_path: Path
) -> None:
    dataset, file, run_id = make_dataset(tmp_path), tmp_path / "small.csv", uuid4()
    file.write_text("id,label,price\n1,a,1\n2,b,2\n1,c,-1\n")
    order = Order(run_id, file, DAY)
    planned = plan(warehouse, dataset, order)
    assert is_small(planned, order)
    assert not is_small(planned, Order(run_id, file, DAY, force=True)), "its retry could not tell its own rows"
    account = finish(warehouse, dataset, planned)
    assert (account.inserted, account.rejected) == (2, 1)
    again = plan(warehouse, dataset, order)  # the task died after the commit
    assert again.skipped
    assert not is_small(again, order)
    assert close(warehouse, run_id) == account


def test_a_cleared_run_starts_anew(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset, run_id = make_dataset(tmp_path), uuid4()
    first = ingest(warehouse, dataset, HEADER + "1,one,1\n", tmp_path, run_id=run_id)
    again = ingest(warehouse, dataset, HEADER + "1,ONE,1\n2,two,2\n", tmp_path, run_id=run_id)
    assert (first.inserted, counts(again)) == (1, {"read": 2, "inserted": 1, "updated": 1})
    assert warehouse.execute("SELECT count(*) FROM millrace.ingest_run").fetchone() == (1,)


def test_over_the_reject_limit_nothing_is_touched(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, reject_limit=RejectLimit(rows=1, ratio=None))
    ingest(warehouse, dataset, HEADER + "1,one,1\n", tmp_path)
    before = rows(warehouse, "id, xmin::text || ctid::text")
    with pytest.raises(RejectLimitExceeded, match=r"millrace\.rejected_row"):
        ingest(warehouse, dataset, HEADER + "1,ONE,1\nx,a,1\ny,b,1\n", tmp_path)
    assert rows(warehouse, "id, xmin::text || ctid::text") == before
    assert staging_tables(warehouse) == []
    found = warehouse.execute("SELECT status, reason FROM millrace.ingest_run ORDER BY started_at DESC").fetchone()
    assert found is not None
    assert found[0] == "failed"
    assert "limit of 1 row" in found[1]
    assert warehouse.execute("SELECT count(*) FROM millrace.rejected_row").fetchone() == (2,)


def test_a_target_that_does_not_fit_is_told_apart(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    warehouse.execute("CREATE TABLE items (id integer, price numeric(8,2), must text NOT NULL)")
    with pytest.raises(TargetMismatch) as caught:
        ingest(warehouse, make_dataset(tmp_path), HEADER + "1,one,1\n", tmp_path)
    assert str(caught.value).splitlines()[1:5] == [
        "  column id: bigint in the dataset, integer in the table",
        "  column label: the dataset has it (text), the table does not",
        "  column must: the table requires a value (NOT NULL without a default), the dataset has none",
        "  key (id): the table has no unique index on just these columns",
    ]


def test_a_constraint_of_the_target_refuses_the_run(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, HEADER + "1,one,1\n", tmp_path)
    warehouse.execute("ALTER TABLE items ADD CHECK (label <> 'no')")
    with pytest.raises(TargetRefused, match="items_label_check"):
        ingest(warehouse, dataset, HEADER + "1,ONE,1\n2,no,1\n", tmp_path)
    assert rows(warehouse, "id, label") == [(1, "one")]
    assert staging_tables(warehouse) == []


def test_a_missing_file_is_named(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"nowhere\.csv is not there"):
        ingest(warehouse, make_dataset(tmp_path), tmp_path / "nowhere.csv", tmp_path)


def test_promotion_keeps_what_belongs_to_the_table(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    warehouse.execute(
        "CREATE TABLE items (id bigint CONSTRAINT items_id PRIMARY KEY, label text DEFAULT 'none', price numeric(8,2)"
        " CONSTRAINT positive CHECK (price > 0), own text DEFAULT 'mine');"
        " CREATE INDEX by_label ON items (lower(label)) WHERE label IS NOT NULL;"
        " COMMENT ON TABLE items IS 'Things'; GRANT SELECT ON items TO PUBLIC"
    )
    shape = (
        "SELECT ARRAY(SELECT (attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid))::text"
        " FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
        " WHERE attrelid = c.oid AND attnum BETWEEN 1 AND 4 ORDER BY attnum),"
        " ARRAY(SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = c.oid ORDER BY 1),"
        " ARRAY(SELECT (conname, pg_get_constraintdef(oid))::text FROM pg_constraint WHERE conrelid = c.oid"
        " AND contype <> 'n' ORDER BY 1), obj_description(c.oid), relacl::text, oid FROM pg_class c"
        " WHERE relname = 'items'"
    )
    before = warehouse.execute(shape).fetchone()
    account = ingest(warehouse, make_dataset(tmp_path), HEADER + "1,a,1\n2,b,2\n1,c,3\n", tmp_path)
    after = warehouse.execute(shape).fetchone()
    assert before is not None
    assert after is not None
    assert after[:5] == before[:5]
    assert after[5] != before[5], "the table was promoted"
    assert counts(account) == {"read": 3, "inserted": 2, "superseded": 1}
    assert rows(warehouse, "id, label, own") == [(1, "c", "mine"), (2, "b", "mine")]


ITEMS_DDL = "CREATE TABLE items (id bigint PRIMARY KEY, label text, price numeric(8,2)"


@pytest.mark.parametrize("system", [
    "processed_at timestamptz NOT NULL DEFAULT now()",
    "processed_at timestamptz, source_version timestamptz",
    "source_version timestamptz, processed_at timestamptz NOT NULL",
    "processed_at timestamptz, extra text DEFAULT 'x'",
    "processed_at timestamptz CHECK (processed_at > '2020-01-01')",
])  # fmt: skip
def test_system_columns_of_an_empty_target_stay_as_they_are(
    warehouse: psycopg.Connection, tmp_path: Path, system: str
) -> None:
    warehouse.execute(f"{ITEMS_DDL}, {system})")
    warehouse.execute("CREATE INDEX by_time ON items (processed_at, label)")
    describe = (
        "SELECT a.attname, a.attnotnull, pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a LEFT JOIN pg_attrdef d"
        " ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attrelid = 'items'::regclass AND a.attnum > 0"
        " ORDER BY a.attnum"
    )
    before = warehouse.execute(describe).fetchall()
    dataset = make_dataset(tmp_path)
    ingest(warehouse, dataset, HEADER + "1,one,1\n2,two,2\n", tmp_path)
    after = warehouse.execute(describe).fetchall()
    assert after[: len(before)] == before
    assert rows(warehouse, "id, processed_at > now() - interval '1 minute', source_version") == [
        (1, True, DAY), (2, True, DAY),
    ]  # fmt: skip
    later = DAY + timedelta(days=1)
    account = ingest(warehouse, dataset, HEADER + "1,ONE,1\n2,two,2\n3,three,3\n", tmp_path, version=later)
    assert counts(account) == {"read": 3, "inserted": 1, "updated": 1, "unchanged": 1}
    assert rows(warehouse, "id, source_version") == [(1, later), (2, DAY), (3, later)]


def test_an_index_of_any_name_is_built_again(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    warehouse.execute(f"{ITEMS_DDL})")
    warehouse.execute("""CREATE INDEX "a "" USING hash (no" ON items (label) WHERE label <> ' USING '""")
    described = "SELECT indexdef FROM pg_indexes WHERE tablename = 'items' ORDER BY 1"
    before = warehouse.execute(described).fetchall(), warehouse.execute("SELECT 'items'::regclass::oid").fetchone()
    ingest(warehouse, make_dataset(tmp_path), HEADER + "1,a,1\n", tmp_path)
    assert warehouse.execute(described).fetchall() == before[0]
    assert warehouse.execute("SELECT 'items'::regclass::oid").fetchone() != before[1], "the table was promoted"


def test_a_target_changed_since_the_plan_keeps_its_new_column(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    warehouse.execute(f"{ITEMS_DDL}, processed_at timestamptz)")
    file = tmp_path / "items.csv"
    file.write_text(HEADER + "1,one,1\n")
    dataset = make_dataset(tmp_path)
    planned = plan(warehouse, dataset, Order(uuid4(), file, DAY))
    assert planned.form == "promote"
    for chunk in planned.chunks:
        load_chunk(warehouse, dataset, planned, chunk)
    warehouse.execute("ALTER TABLE items ADD extra text DEFAULT 'new'")
    merge(warehouse, dataset, planned)
    assert rows(warehouse, "id, label, extra") == [(1, "one", "new")]
    assert staging_tables(warehouse) == []


@pytest.mark.parametrize("hanger", [
    "CREATE VIEW looks AS SELECT * FROM items",
    "CREATE TABLE child (id bigint REFERENCES items)",
    "CREATE RULE r AS ON DELETE TO items DO NOTHING",
    "ALTER TABLE items ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE items ADD own bigint GENERATED ALWAYS AS IDENTITY",
])  # fmt: skip
def test_a_table_with_dependents_is_filled_in_place(warehouse: psycopg.Connection, tmp_path: Path, hanger: str) -> None:
    warehouse.execute("CREATE TABLE items (id bigint PRIMARY KEY, label text, price numeric(8,2))")
    warehouse.execute(hanger)
    oid = warehouse.execute("SELECT 'items'::regclass::oid").fetchone()
    account = ingest(warehouse, make_dataset(tmp_path), HEADER + "1,a,1\n2,b,2\n1,c,3\n", tmp_path)
    assert warehouse.execute("SELECT 'items'::regclass::oid").fetchone() == oid
    assert counts(account) == {"read": 3, "inserted": 2, "superseded": 1}
    assert rows(warehouse, "id, label") == [(1, "c"), (2, "b")]


def test_two_runs_into_one_table_queue_up(warehouse: psycopg.Connection, dsn: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    texts = [HEADER + "".join(f"{i},{side},1\n" for i in order) for side, order in
             (("left", range(3000)), ("right", reversed(range(3000))))]  # fmt: skip
    accounts = []

    def work(number: int) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            version = DAY + timedelta(days=number)
            accounts.append(ingest(connection, dataset, texts[number], tmp_path, version=version))

    threads = [threading.Thread(target=work, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [account.status for account in accounts] == ["done", "done"]
    assert set(rows(warehouse, "label")) == {("right",)}
    assert staging_tables(warehouse) == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_of_ingestion_does_not_matter(
    warehouse: psycopg.Connection, tmp_path: Path, order: tuple[int, ...]
) -> None:
    """Also where a newer file repeats what an older one said, and so rewrites nothing."""
    texts = ["1,a,1\n2,a,1\n3,a,1\n", "1,b,1\n4,b,1\n2,b,1\n", "1,a,1\n2,c,1\n", "1,a,1\n2,a,1\n3,a,1\n"]
    dataset = make_dataset(tmp_path)
    for number in order:
        ingest(warehouse, dataset, HEADER + texts[number], tmp_path, version=DAY + timedelta(days=number))
    assert rows(warehouse, "id, label") == [(1, "a"), (2, "a"), (3, "a"), (4, "b")]


# malloc's books count what its threads keep for their next call, some 2.5 MB here whatever the number of days; a block
# or a file that stayed would be 0.6 MB or more a day.
@pytest.mark.memory_budget("4 MB", warm=1)
def test_a_file_a_day_leaves_nothing_behind(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    (first,) = warehouse.execute("SELECT count(*) FROM millrace.ingest_run").fetchone() or (0,)
    for day in range(first, first + 6):  # as it runs twice, other days each time
        lines = "".join(f"{number},label {number} of day {day},{number % 100}.5\n" for number in range(20_000))
        ingest(warehouse, dataset, HEADER + lines, tmp_path, version=DAY + timedelta(days=day))


def test_a_file_that_has_gone_says_what_to_do(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset, file = make_dataset(tmp_path, chunk_bytes=10), tmp_path / "file.csv"
    file.write_text(HEADER + "1,a,1\n2,b,2\n")
    planned = plan(warehouse, dataset, Order(uuid4(), file, DAY))
    file.unlink()
    with pytest.raises(SourceMissing, match=r"has gone since it was planned: deliver it again and clear .* `plan`"):
        finish(warehouse, dataset, planned)


def test_the_reason_of_a_failed_run_is_the_last_one_that_was_noted(
    warehouse: psycopg.Connection, tmp_path: Path
) -> None:
    dataset, file = make_dataset(tmp_path, chunk_bytes=10), tmp_path / "file.csv"
    file.write_text(HEADER + "1,a,1\n2,b,2\n")
    planned = plan(warehouse, dataset, Order(uuid4(), file, DAY))
    with warehouse.cursor() as cursor:
        for reason in ("away", "changed"):
            ledger.note_reason(cursor, planned.run_id, reason)
    with pytest.raises(IngestError, match=r"was not ingested: changed$"):
        close(warehouse, planned.run_id)


@pytest.mark.parametrize("large", [0.0, 1.0])
def test_rows_of_a_large_file_are_marked_before_a_checkpoint(
    warehouse: psycopg.Connection, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    large: float,
) -> None:  # fmt: skip
    monkeypatch.setattr(staging, "LARGE", large)
    dataset, planned = _planned(warehouse, tmp_path)
    for chunk in planned.chunks:
        load_chunk(warehouse, dataset, planned, chunk)
    changed = _pages_to_mark(warehouse, postgres, planned)
    assert changed > 100 if large else changed == 0, "a page is changed when it is marked"
    assert finish(warehouse, dataset, planned).inserted == 20_000


@pytest.mark.parametrize("ended", [False, True])
def test_pages_that_loads_share_are_marked_by_the_last_to_end(
    warehouse: psycopg.Connection, postgres: PostgresServer, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    ended: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(staging, "LARGE", 0.0)
    dataset, planned = _planned(warehouse, tmp_path)
    first, *others = planned.chunks
    load_chunk(warehouse, dataset, planned, first)
    with psycopg.connect(dsn, autocommit=True) as slow, slow.cursor() as cursor:
        with slow.transaction():
            page = staging.first_to_mark(cursor, planned.run_id, planned.size)
            assert page is not None
            for chunk in others:
                load_chunk(warehouse, dataset, planned, chunk)
            if not ended:
                assert _pages_to_mark(warehouse, postgres, planned) > 30
                return
        staging.mark_committed(cursor, planned.run_id, page)
    assert _pages_to_mark(warehouse, postgres, planned) == 0


def _planned(warehouse: psycopg.Connection, folder: Path) -> tuple[Dataset, Plan]:
    """A run of 20,000 rows in several chunks."""
    dataset, file = make_dataset(folder, chunk_bytes=100_000), folder / "file.csv"
    file.write_text(HEADER + "".join(f"{number},label {number},1\n" for number in range(20_000)))
    planned = plan(warehouse, dataset, Order(uuid4(), file, DAY))
    assert len(planned.chunks) > 2
    return dataset, planned


def _pages_to_mark(warehouse: psycopg.Connection, postgres: PostgresServer, planned: Plan) -> int:
    """Pages of the run's rows that a reader changes after a checkpoint, and so marks."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        superuser.execute("CHECKPOINT")
    read = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT count(*) FROM {}")
    found = warehouse.execute(read.format(staging.rows_table(planned.run_id))).fetchone()
    assert found is not None
    return int(found[0][0]["Plan"]["Shared Dirtied Blocks"])


def test_a_run_that_is_done_is_merged_again_without_its_file_or_its_staging(
    warehouse: psycopg.Connection, tmp_path: Path
) -> None:
    dataset, file = make_dataset(tmp_path, chunk_bytes=10), tmp_path / "file.csv"
    file.write_text(HEADER + "1,a,1\n2,b,2\n")
    planned = plan(warehouse, dataset, Order(uuid4(), file, DAY))
    done = finish(warehouse, dataset, planned)
    file.unlink()
    warehouse.execute("UPDATE items SET label = 'theirs' WHERE id = 2")
    assert counts(merge(warehouse, dataset, planned)) == counts(done) == {"read": 2, "inserted": 2}
    assert rows(warehouse, "id, label") == [(1, "a"), (2, "theirs")]
    assert staging_tables(warehouse) == []
