"""Values as PostgreSQL prints them (`value::text`), for rejected rows whose text is not at hand."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa

from include.ingest.dataset.sql_types import MOMENTS, SqlType

FIXED_DIGITS = {"real": 6, "double": 15}  # before the point, up to which PostgreSQL prints no exponent


def printed(values: pa.Array | pa.ChunkedArray, sql_type: SqlType) -> list[str | None]:
    """Each value's text; None for null. A timestamptz is printed in UTC."""
    show = _SHOW.get(sql_type.kind, _plain)
    if sql_type.kind in MOMENTS:
        values = values.cast(pa.string())  # Python has no years after 9999, and a hook may give them
    return [None if value is None else show(value, sql_type) for value in values.to_pylist()]


def _plain(value: Any, sql_type: SqlType) -> str:
    return str(value)


def _decimal(value: Decimal, sql_type: SqlType) -> str:
    return f"{value:f}"


def _boolean(value: bool, sql_type: SqlType) -> str:
    return "true" if value else "false"


def _float(value: float, sql_type: SqlType) -> str:
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    number = np.float32(value) if sql_type.kind == "real" else value
    mantissa, _, power = np.format_float_scientific(number, unique=True, trim="-").partition("e")
    if value and not -5 < int(power) < FIXED_DIGITS[sql_type.kind]:
        return f"{mantissa}e{int(power):+03d}"
    return np.format_float_positional(number, unique=True, trim="-")


def _moment(value: str, sql_type: SqlType) -> str:
    whole, _, fraction = value.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return whole + (f".{fraction}" if fraction else "") + ("+00" if value.endswith("Z") else "")


def _uuid(value: bytes, sql_type: SqlType) -> str:
    return str(UUID(bytes=value))


def _bytea(value: bytes, sql_type: SqlType) -> str:
    return rf"\x{value.hex()}"


_SHOW: dict[str, Callable[[Any, SqlType], str]] = {
    "numeric": _decimal, "real": _float, "double": _float, "boolean": _boolean, "uuid": _uuid, "bytea": _bytea,
    **dict.fromkeys(MOMENTS, _moment),
}  # fmt: skip
