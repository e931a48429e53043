from __future__ import annotations

import pyarrow as pa
import pytest

from include.ingest.dataset.sql_types import SqlType


@pytest.mark.parametrize(
    ("text", "kind", "name", "arrow"),
    [
        ("smallint", "smallint", "smallint", pa.int16()),
        ("int2", "smallint", "smallint", pa.int16()),
        ("int", "integer", "integer", pa.int32()),
        ("integer", "integer", "integer", pa.int32()),
        ("bigint", "bigint", "bigint", pa.int64()),
        ("INT8", "bigint", "bigint", pa.int64()),
        ("numeric(12,2)", "numeric", "numeric(12,2)", pa.decimal128(12, 2)),
        ("decimal( 12 , 2 )", "numeric", "numeric(12,2)", pa.decimal128(12, 2)),
        ("numeric(9)", "numeric", "numeric(9,0)", pa.decimal128(9, 0)),
        ("numeric(38,38)", "numeric", "numeric(38,38)", pa.decimal128(38, 38)),
        ("real", "real", "real", pa.float32()),
        ("double  precision", "double", "double precision", pa.float64()),
        ("text", "text", "text", pa.string()),
        ("varchar(16)", "varchar", "character varying(16)", pa.string()),
        ("Character Varying (16)", "varchar", "character varying(16)", pa.string()),
        ("varchar", "varchar", "character varying", pa.string()),
        ("boolean", "boolean", "boolean", pa.bool_()),
        ("bool", "boolean", "boolean", pa.bool_()),
        ("date", "date", "date", pa.date32()),
        ("time", "time", "time without time zone", pa.time64("us")),
        ("timestamp", "timestamp", "timestamp without time zone", pa.timestamp("us")),
        ("timestamp without time zone", "timestamp", "timestamp without time zone", pa.timestamp("us")),
        ("timestamptz", "timestamptz", "timestamp with time zone", pa.timestamp("us", "UTC")),
        ("timestamp with time zone", "timestamptz", "timestamp with time zone", pa.timestamp("us", "UTC")),
        ("uuid", "uuid", "uuid", pa.binary(16)),
        ("json", "json", "json", pa.string()),
        ("jsonb", "jsonb", "jsonb", pa.string()),
        ("bytea", "bytea", "bytea", pa.binary()),
    ],
)
def test_a_type_has_postgresqls_name_and_an_arrow_type(text: str, kind: str, name: str, arrow: pa.DataType) -> None:
    parsed = SqlType.parse(text)
    assert (parsed.kind, parsed.name, parsed.arrow) == (kind, name, arrow)


def test_sizes_are_kept() -> None:
    assert (SqlType.parse("numeric(12,2)").precision, SqlType.parse("numeric(12,2)").scale) == (12, 2)
    assert SqlType.parse("varchar(16)").length == 16
    assert SqlType.parse("text").length is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("numeric", r"needs a precision and a scale, such as numeric\(12,2\)"),
        ("numeric(39,2)", "precision must be 1 to 38"),
        ("numeric(0)", "precision must be 1 to 38"),
        ("numeric(4,5)", "scale 0 to the precision"),
        ("varchar(0)", "give one length"),
        ("varchar(1,2)", "give one length"),
        ("integer(4)", "write integer"),
        ("timestamp(3)", "write timestamp"),
        ("money", r"choose one of smallint, integer, .*bytea"),
        ("char(3)", "not a supported type"),
        ("text; DROP TABLE x", "not a supported type"),
        ("", "not a supported type"),
    ],
)
def test_another_type_is_refused_with_a_way_out(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        SqlType.parse(text)


@pytest.mark.parametrize("text", ["numeric(12,2)", "varchar(7)", "time", "timestamptz", "double precision", "bigint"])
def test_the_printed_name_is_read_as_the_same_type(text: str) -> None:
    assert SqlType.parse(SqlType.parse(text).name) == SqlType.parse(text)
