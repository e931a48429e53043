"""What happens to an empty target between the plan and the exchange is kept: the run's rows are merged into it then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from include.ingest.table import promotion
from tests.ingest.loading import HEADER, counts, ingest, make_dataset, rows, staging_tables

ITEMS_DDL = "CREATE TABLE items (id bigint PRIMARY KEY, label text, price numeric(8,2))"


@pytest.fixture
def while_indexes_are_built(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has another session run a statement after the run has built its indexes, before it locks the target."""

    def arrange(statement: str) -> None:
        build = promotion._build

        def build_and_be_late(*args: object) -> None:
            build(*args)  # type: ignore[arg-type]
            with psycopg.connect(dsn, autocommit=True, options="-c lock_timeout=20s") as other:
                other.execute(statement)

        monkeypatch.setattr(promotion, "_build", build_and_be_late)

    return arrange


def test_a_row_that_comes_in_the_last_moment_is_kept(
    warehouse: psycopg.Connection, tmp_path: Path, while_indexes_are_built: Callable[[str], None]
) -> None:
    warehouse.execute(ITEMS_DDL)
    while_indexes_are_built("INSERT INTO items VALUES (2, 'theirs', 2), (3, 'theirs', 3)")
    account = ingest(warehouse, make_dataset(tmp_path), HEADER + "1,one,1\n2,two,2\n", tmp_path)
    assert counts(account) == {"read": 2, "inserted": 1, "updated": 1}
    assert [row[:2] for row in rows(warehouse)] == [(1, "one"), (2, "two"), (3, "theirs")]
    assert staging_tables(warehouse) == []


@pytest.mark.parametrize("change", [
    "CREATE VIEW seen AS SELECT id FROM items",
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
    " CREATE TRIGGER noted BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION note()",
])  # fmt: skip
def test_a_change_of_the_table_in_the_last_moment_is_kept(
    warehouse: psycopg.Connection, tmp_path: Path, while_indexes_are_built: Callable[[str], None], change: str
) -> None:
    warehouse.execute(ITEMS_DDL)
    while_indexes_are_built(change)
    before = warehouse.execute("SELECT 'items'::regclass::oid").fetchone()
    account = ingest(warehouse, make_dataset(tmp_path), HEADER + "1,one,1\n2,two,2\n", tmp_path)
    assert counts(account) == {"read": 2, "inserted": 2}
    assert [row[:2] for row in rows(warehouse)] == [(1, "one"), (2, "two")]
    assert warehouse.execute("SELECT 'items'::regclass::oid").fetchone() == before
    assert staging_tables(warehouse) == []


def test_a_table_that_has_many_indexes_gets_each_name_back(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    warehouse.execute(ITEMS_DDL)
    for number in range(12):
        warehouse.execute(f"CREATE INDEX own_{number} ON items (label, (price + {number}))")
    warehouse.execute("ALTER TABLE items ADD CONSTRAINT one_label UNIQUE (label, id)")
    warehouse.execute("CREATE UNIQUE INDEX by_both ON items (price, id)")
    defined = (
        "SELECT pg_get_indexdef(i.indexrelid), i.indisprimary, i.indisunique, k.conname FROM pg_index i"
        " LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid WHERE i.indrelid = 'items'::regclass ORDER BY 1"
    )
    before, oid = warehouse.execute(defined).fetchall(), warehouse.execute("SELECT 'items'::regclass::oid").fetchone()
    ingest(warehouse, make_dataset(tmp_path), HEADER + "1,one,1\n2,two,2\n", tmp_path)
    assert warehouse.execute(defined).fetchall() == before
    assert warehouse.execute("SELECT 'items'::regclass::oid").fetchone() != oid


def test_grants_are_those_of_before(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    warehouse.execute(ITEMS_DDL)
    warehouse.execute("GRANT SELECT ON items TO PUBLIC; GRANT INSERT, UPDATE ON items TO airflow WITH GRANT OPTION")
    granted = (
        "SELECT grantee::regrole::text, privilege_type, is_grantable FROM pg_class, aclexplode(relacl)"
        " WHERE relname = 'items' ORDER BY 1, 2"
    )
    before = warehouse.execute(granted).fetchall()
    ingest(warehouse, make_dataset(tmp_path), HEADER + "1,one,1\n", tmp_path)
    assert len(before) > 3
    assert warehouse.execute(granted).fetchall() == before
