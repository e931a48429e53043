"""The init step of a deployment: who owns which database, and what each role is refused."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from include.images import figures as of_images
from include.ingest import figures as of_ingest
from include.memory import figures as of_memory
from include.warehouse.prepare import prepare
from stack.postgres import PostgresServer

ROLES = {"metadata_owner": "m-secret", "warehouse_owner": "w-secret", "reader": "r-secret"}
DATABASES = ("roles_metadata", "roles_warehouse")


@pytest.fixture
def environment(postgres: PostgresServer) -> Iterator[dict[str, str]]:
    """URLs as a deployment has them, for one server instead of two."""
    metadata, warehouse = DATABASES
    owner, ingest, reader = (postgres.dsn(warehouse, role, password) for role, password in ROLES.items())
    yield {
        "MILLRACE_METADATA_SUPERUSER": postgres.dsn(),
        "MILLRACE_WAREHOUSE_SUPERUSER": postgres.dsn(),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": owner.replace(warehouse, metadata).replace("://", "+psycopg2://"),
        "AIRFLOW_CONN_WAREHOUSE": ingest,
        "AIRFLOW_CONN_WAREHOUSE_PAGES": reader,
    }
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        for database in DATABASES:
            superuser.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        for role in ROLES:
            superuser.execute(f'DROP ROLE IF EXISTS "{role}"')


def test_each_role_may_do_its_own_work_only(postgres: PostgresServer, environment: dict[str, str]) -> None:
    assert prepare(environment)[0] == "0001_ingest"
    assert prepare(environment) == [], "it may be run again"
    for role in ("warehouse_owner", "reader"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(postgres.dsn("roles_metadata", role, ROLES[role]))
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(postgres.dsn("roles_warehouse", "metadata_owner", ROLES["metadata_owner"]))
    with psycopg.connect(environment["AIRFLOW_CONN_WAREHOUSE"]) as owner:
        owner.execute("CREATE TABLE public.orders (id bigint)")
        owner.execute("CREATE TABLE millrace.later (id bigint)")
    with psycopg.connect(environment["AIRFLOW_CONN_WAREHOUSE"], autocommit=True) as owner:
        for refused in (
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "SELECT pg_read_file('/etc/hostname')",
            "SET ROLE reader",
            "CREATE ROLE another",
            "CREATE DATABASE another",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                owner.execute(refused)
    with psycopg.connect(environment["AIRFLOW_CONN_WAREHOUSE_PAGES"], autocommit=True) as pages:
        assert pages.execute("SELECT count(*) FROM millrace.image").fetchone() == (0,)
        assert pages.execute("SELECT count(*) FROM millrace.later").fetchone() == (0,), "tables of later migrations too"
        for group in (*of_images.FIGURES, *of_ingest.FIGURES, *of_memory.FIGURES):
            pages.execute(group.statement)
        for refused in (
            "DELETE FROM millrace.image",
            "INSERT INTO millrace.later VALUES (1)",
            "CREATE TABLE millrace.mine (id int)",
            "CREATE TABLE public.mine (id int)",
            "CREATE TEMPORARY TABLE mine (id int)",
            "SELECT count(*) FROM public.orders",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                pages.execute(refused)


def test_a_changed_password_is_set(postgres: PostgresServer, environment: dict[str, str]) -> None:
    prepare(environment)
    changed = {name: url.replace("r-secret", "new-secret") for name, url in environment.items()}
    prepare(changed)
    psycopg.connect(changed["AIRFLOW_CONN_WAREHOUSE_PAGES"]).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(environment["AIRFLOW_CONN_WAREHOUSE_PAGES"])
