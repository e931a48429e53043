"""How the warehouse is reached: psycopg's connection string from the parts of an Airflow Connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.conninfo import make_conninfo

# Extras of Airflow's PostgresHook that libpq does not know.
OF_THE_HOOK = {
    "iam", "redshift", "redshift-serverless", "cursor", "cluster-identifier", "workgroup-name", "aws_conn_id",
    "sqlalchemy_scheme", "sqlalchemy_query", "azure_conn_id",
}  # fmt: skip


def conninfo(
    application: str, *, host: str | None, port: int | None, login: str | None, password: str | None,
    schema: str | None, extra: Mapping[str, Any],
) -> str:  # fmt: skip
    """`application` is how the server's lists name the client; `extra` is the Connection's."""
    own = {name: value for name, value in extra.items() if name not in OF_THE_HOOK}
    return make_conninfo(
        **{**own, "application_name": application},
        host=host, port=port, user=login, password=password, dbname=schema,
    )  # fmt: skip
