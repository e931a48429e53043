"""The init step of a deployment: roles and databases on both servers, and the warehouse's own tables.

`python -m include.warehouse.prepare` reads the environment that Airflow's components have, so that names and passwords
stand in one place. Safe to run at every start; a changed password is set.

| variable | whose |
| --- | --- |
| `MILLRACE_METADATA_SUPERUSER`, `MILLRACE_WAREHOUSE_SUPERUSER` | superusers of the two servers, for this only |
| `AIRFLOW__DATABASE__SQL_ALCHEMY_CONN` | role `airflow`, owner of the metadata |
| `AIRFLOW_CONN_WAREHOUSE` | role `ingest`, owner of the warehouse |
| `AIRFLOW_CONN_WAREHOUSE_PAGES` | role `pages`, which can only read |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import psycopg

from include.warehouse import migrate, roles

METADATA, WAREHOUSE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW_CONN_WAREHOUSE"
PAGES = "AIRFLOW_CONN_WAREHOUSE_PAGES"


def prepare(environment: Mapping[str, str]) -> list[str]:
    """Do all of it and return the names of the migrations that were applied."""
    _own_database(environment["MILLRACE_METADATA_SUPERUSER"], environment[METADATA])
    _own_database(environment["MILLRACE_WAREHOUSE_SUPERUSER"], environment[WAREHOUSE])
    pages, password, _ = _login(environment[PAGES])
    with psycopg.connect(environment["MILLRACE_WAREHOUSE_SUPERUSER"], autocommit=True) as superuser:
        roles.ensure_role(superuser, pages, password)
    with psycopg.connect(environment[WAREHOUSE]) as owner:
        applied = migrate.apply(owner)
        roles.let_read(owner, pages)
    return applied


def _own_database(superuser_url: str, url: str) -> None:
    """The database of a URL, owned by the role of that URL, in a server where all others are closed."""
    role, password, database = _login(url)
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        roles.ensure_role(connection, role, password)
        roles.ensure_database(connection, database, role)
        for name in roles.CLOSED:
            roles.close(connection, name)


def _login(url: str) -> tuple[str, str, str]:
    """Role, password and database of a URL, whatever driver its scheme names."""
    parts = urlsplit(url)
    return unquote(parts.username or ""), unquote(parts.password or ""), parts.path.lstrip("/")


if __name__ == "__main__":
    print("applied:", ", ".join(prepare(os.environ)) or "nothing, the warehouse is current")
