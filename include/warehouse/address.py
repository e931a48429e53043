"""How the warehouse is reached: psycopg's connection string from the parts of an Airflow Connection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from psycopg.conninfo import make_conninfo

# Extras of Airflow's PostgresHook that libpq does not know.
OF_THE_HOOK = {
    "iam", "redshift", "redshift-serverless", "cursor", "cluster-identifier", "workgroup-name", "aws_conn_id",
    "sqlalchemy_scheme", "sqlalchemy_query", "azure_conn_id",
}  # fmt: skip

WHOLE_EXTRA = "__extra__"  # what Airflow writes into a URL where the extra is more than names and texts


def conninfo(
    application: str, *, host: str | None, port: int | None, login: str | None, password: str | None,
    schema: str | None, extra: Mapping[str, Any],
) -> str:  # fmt: skip
    """`application` is how the server's lists name the client; `extra` is the Connection's."""
    return make_conninfo(
        **{**_of_libpq(extra), "application_name": application},
        host=host, port=port, user=login, password=password, dbname=schema,
    )  # fmt: skip


def of_url(application: str, url: str) -> str:
    """The same of a Connection that Airflow takes as a URL: its query is the extra."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = json.loads(query[WHOLE_EXTRA]) if WHOLE_EXTRA in query else query
    return make_conninfo(urlunsplit(parts._replace(query="")), **_of_libpq(extra), application_name=application)


def _of_libpq(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if name not in {*OF_THE_HOOK, "application_name"}}
