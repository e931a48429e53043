"""How databases are reached: by Airflow's PostgresHook, so that what Airflow documents of a Connection's extra holds.

`connected` is for tasks. `address` is for what connects by itself, now and again: pools, the doorbell, child processes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import psycopg
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import Connection

from include.warehouse.address import conninfo

# Unless the Connection's extra says otherwise: a server that is away for longer is left to the task's own retries, and
# one that went without a word is noticed while a long query waits for it.
USUAL = {"connect_timeout": 30, "keepalives_idle": 30}
NOT_OURS = "cursor"  # an extra that changes what a query returns


@contextmanager
def connected(conn_id: str, application: str) -> Iterator[psycopg.Connection]:
    """An open connection, in autocommit, to the database of an Airflow Connection."""
    opened: Any = PostgresHook(connection=_prepared(Connection.get(conn_id), application)).get_conn()
    opened.autocommit = True
    with opened as connection:
        yield connection


def address(connection: Any, application: str) -> str:
    """psycopg's connection string for an Airflow Connection; `application` is how the server's lists name it.

    With `iam` in the extra, the password in it is a token that is good for some minutes: ask anew for each connection.
    """
    found = _prepared(connection, application)
    login, password, port = found.login, found.password, found.port
    if found.extra_dejson.get("iam"):
        login, password, port = PostgresHook(connection=found).get_iam_token(found)
    return conninfo(
        application, host=found.host, port=port, login=login, password=password, schema=found.schema,
        extra=found.extra_dejson,
    )  # fmt: skip


def _prepared(connection: Any, application: str) -> Any:
    """A copy of the Connection with our settings in its extra."""
    found = deepcopy(connection)
    given = {name: value for name, value in found.extra_dejson.items() if name != NOT_OURS}
    found.extra = json.dumps({**USUAL, **given, "application_name": application})
    return found
