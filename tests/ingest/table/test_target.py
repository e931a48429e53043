"""What a target refuses, said before anything is loaded where it can be known; and what a new target is given."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from include.ingest.errors import TargetMismatch, TargetRefused
from stack.postgres import PostgresServer
from tests.ingest.loading import HEADER, ITEMS, counts, ingest, make_dataset, rows, staging_tables

DATA = HEADER + "1,one,1\n2,two,2\n"
TABLE = "CREATE TABLE items (id bigint PRIMARY KEY, label text, price numeric(8,2))"


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("id", "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
        ("label", "text GENERATED ALWAYS AS ('x') STORED"),
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_a_column_that_is_always_generated(
    warehouse: psycopg.Connection, tmp_path: Path, column: str, kind: str, full: bool
) -> None:
    columns = {"id": "bigint PRIMARY KEY", "label": "text", "price": "numeric(8,2)", column: kind}
    text = ", ".join(f"{name} {given}" for name, given in columns.items())
    warehouse.execute(f"CREATE TABLE items ({text})")
    if full:
        warehouse.execute("INSERT INTO items (price) VALUES (7)" if column == "id" else "INSERT INTO items VALUES (9)")
    with pytest.raises(TargetMismatch, match=rf"column {column}: the table always generates .* Leave it out"):
        ingest(warehouse, make_dataset(tmp_path), DATA, tmp_path)
    assert warehouse.execute("SELECT count(*) FROM items").fetchone() == (int(full),)


def test_generated_columns_that_the_dataset_does_not_name(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    warehouse.execute(
        "CREATE TABLE items (n int GENERATED ALWAYS AS IDENTITY, id bigint PRIMARY KEY, label text,"
        " price numeric(8,2), twice numeric GENERATED ALWAYS AS (2 * price) STORED)"
    )
    ingest(warehouse, make_dataset(tmp_path), DATA, tmp_path)
    assert rows(warehouse, "id, n, twice") == [(1, 1, 2), (2, 2, 4)]


@pytest.mark.parametrize("full", [False, True])
def test_more_columns_than_a_table_can_have(warehouse: psycopg.Connection, tmp_path: Path, full: bool) -> None:
    def wide(number: int) -> str:
        columns = "".join(f"  c{place}: {{type: boolean, nullable: true}}\n" for place in range(number - 1))
        return f"name: wide\nsource: x\ntarget: public.wide\nkey: [id]\ncolumns:\n  id: {{type: integer}}\n{columns}"

    def data(number: int) -> str:
        return ",".join(["id", *(f"c{place}" for place in range(number - 1))]) + "\n1" + "," * (number - 1) + "\n"

    if full:
        names = ", ".join(f"c{place} boolean" for place in range(1594))
        warehouse.execute(f"CREATE TABLE wide (id integer PRIMARY KEY, {names})")
        warehouse.execute("INSERT INTO wide VALUES (7)")
    with pytest.raises(TargetMismatch, match=r"1,598 columns with Millrace's own are over .* Leave columns out"):
        ingest(warehouse, make_dataset(tmp_path, wide(1596)), data(1596), tmp_path)
    account = ingest(warehouse, make_dataset(tmp_path, wide(1595)), data(1595), tmp_path)
    assert counts(account) == {"read": 1, "inserted": 1}


def test_a_schema_that_is_missing_or_closed(warehouse: psycopg.Connection, dsn: str, tmp_path: Path) -> None:
    elsewhere = make_dataset(tmp_path, ITEMS.replace("public.items", "sales.items"))
    with pytest.raises(TargetMismatch, match=r"no schema sales in database test_.*let role ingest create tables there"):
        ingest(warehouse, elsewhere, DATA, tmp_path)
    closed = make_dataset(tmp_path, ITEMS.replace("public.items", "closed.items"))
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("CREATE SCHEMA closed; REVOKE CREATE ON SCHEMA closed FROM ingest")
    with pytest.raises(TargetMismatch, match="GRANT CREATE ON SCHEMA closed TO ingest"):
        ingest(warehouse, closed, DATA, tmp_path)


def test_a_key_whose_collation_takes_different_texts_for_equal(
    warehouse: psycopg.Connection, postgres: PostgresServer, tmp_path: Path
) -> None:
    text = ITEMS.replace("key: [id]", "key: [label]").replace("{type: text, nullable: true}", "{type: text}")
    warehouse.execute('CREATE COLLATION blurred FROM "C"')
    with psycopg.connect(postgres.dsn(warehouse.info.dbname), autocommit=True) as superuser:  # ICU may be missing
        superuser.execute("UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'blurred'")
    warehouse.execute("CREATE TABLE items (id bigint, label text COLLATE blurred PRIMARY KEY, price numeric(8,2))")
    with pytest.raises(TargetMismatch, match=r"column label: its collation is nondeterministic.*another collation"):
        ingest(warehouse, make_dataset(tmp_path, text), DATA, tmp_path)


SKIP = """
CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql
AS 'BEGIN IF new.id = 2 THEN RETURN NULL; END IF; RETURN new; END';
CREATE TRIGGER skips BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION skip()
"""
RULES = {
    "trigger skips": SKIP,
    "rule nothing": "CREATE RULE nothing AS ON INSERT TO items WHERE new.id = 2 DO INSTEAD NOTHING",
    "rule nowhere": "CREATE RULE nowhere AS ON UPDATE TO items DO INSTEAD NOTHING",
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("full", [False, True])
def test_what_skips_rows_is_named(warehouse: psycopg.Connection, tmp_path: Path, name: str, full: bool) -> None:
    warehouse.execute(TABLE)
    if full or name == "rule nowhere":
        warehouse.execute("INSERT INTO items VALUES (1, 'old', 1)")
    before = rows(warehouse)
    warehouse.execute(RULES[name])
    with pytest.raises(TargetRefused, match=f"did not take each row as it was written: {name} can skip"):
        ingest(warehouse, make_dataset(tmp_path), DATA, tmp_path)
    assert rows(warehouse) == before
    assert staging_tables(warehouse) == []


DEFAULTS = [
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO reader WITH GRANT OPTION",
    "ALTER DEFAULT PRIVILEGES FOR ROLE ingest IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA millrace_staging GRANT ALL ON TABLES TO reader",
    "ALTER DEFAULT PRIVILEGES REVOKE TRUNCATE ON TABLES FROM ingest",
]


@pytest.mark.parametrize("defaults", [[], *([default] for default in DEFAULTS), DEFAULTS])
def test_a_new_target_has_the_schemas_default_privileges(
    warehouse: psycopg.Connection, postgres: PostgresServer, tmp_path: Path, defaults: list[str]
) -> None:
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        if not superuser.execute("SELECT FROM pg_roles WHERE rolname = 'reader'").fetchall():
            superuser.execute("CREATE ROLE reader")
    for default in defaults:
        warehouse.execute(sql.SQL(default))
    warehouse.execute("CREATE TABLE plain (id int)")
    ingest(warehouse, make_dataset(tmp_path, description="Things on sale"), DATA, tmp_path)
    query = (
        "SELECT coalesce(relacl, acldefault('r', relowner))::text, relowner, obj_description(oid, 'pg_class')"
        " FROM pg_class WHERE relname = %s"
        " AND relnamespace = 'public'::regnamespace"
    )
    plain, made = (warehouse.execute(query, [name]).fetchone() for name in ("plain", "items"))
    assert plain is not None
    assert made == (plain[0], plain[1], "Things on sale. Filled by Millrace from dataset items.")
    left = warehouse.execute("SELECT FROM pg_class WHERE relname LIKE 'millrace_%' AND relkind = 'r'")
    assert left.fetchall() == []
