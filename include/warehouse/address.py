"""How the warehouse is reached: psycopg's connection string from the parts of an Airflow Connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.conninfo import make_conninfo


def conninfo(
    application: str, *, host: str | None, port: int | None, login: str | None, password: str | None,
    schema: str | None, extra: Mapping[str, Any],
) -> str:  # fmt: skip
    """`application` is how the server's lists name the client; `extra` are settings of libpq's own."""
    return make_conninfo(
        **{**extra, "application_name": application},
        host=host, port=port, user=login, password=password, dbname=schema,
    )  # fmt: skip
