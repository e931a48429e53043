"""Cells of columns that the dataset does not name, as one JSON object a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from include.ingest.cast import cast_column
from include.ingest.dataset.columns import Column

TEXT = Column.model_validate({"type": "text", "nullable": True})


Found = tuple[int, str, str, pa.Array]  # a row at fault: number, rule, reason, and the cells of which its own is bad


def rescue(fields: Mapping[str, pa.Array], nulls: Sequence[str]) -> tuple[pa.Array, list[Found]]:
    """The objects, as text, from the fields' cells (bytes) by name; and the rows at fault.

    Null markers are left out, and a row of which nothing is left is null: a column without values changes no row.
    """
    columns: dict[str, list[str | None]] = {}
    lost: list[Found] = []
    for name, cells in fields.items():
        values, faults = cast_column(cells, TEXT, nulls)
        columns[name] = values.to_pylist()
        lost += [
            (row, fault.rule, f"{fault.reason}, in the file's column {name}", cells)
            for fault in faults
            for row in fault.rows.tolist()
        ]
    return pa.array(map(_object, _rows(columns)), pa.string()), lost


def _rows(columns: Mapping[str, list[str | None]]) -> list[dict[str, str]]:
    return [
        {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        for row in zip(*columns.values(), strict=True)
    ]


def _object(values: dict[str, str]) -> str | None:
    return json.dumps(values, ensure_ascii=False) if values else None
