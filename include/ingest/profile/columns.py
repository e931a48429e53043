"""Figures of the columns: of one chunk's sample, and of all chunks together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.cast.printed import printed
from include.ingest.cast.rows import Reader, read_rows
from include.ingest.dataset.columns import Column
from include.ingest.dataset.sql_types import FLOATS, JSONS, MOMENTS, NUMBERS
from include.ingest.drift.matching import ABSENT
from include.ingest.profile.sample import Sample

MOST_VALUES = 50  # different ones, up to which each is kept
LONGEST_VALUE = 80  # characters: of longer ones none is kept
REPEATED = 2  # rows to a value on average, below which a column is no list of kinds: names of persons in a short file
WITHOUT_VALUES = (*JSONS, "bytea", "uuid")


@dataclass(frozen=True)
class Profile:
    """What was found: `good` of the `sampled` records pass the checks, of which the columns' figures are."""

    records: int
    sampled: int
    good: int
    columns: list[dict[str, Any]] = field(default_factory=list)


def profile_of(sample: Sample, reader: Reader) -> Profile:
    """The figures of a sample; of each column its name, type, nulls, distinct, values (rows), least and greatest."""
    block = sample.block()
    if block is None:
        return Profile(sample.records, 0, 0)
    # Without the hook: it may see each row once only, and what it makes of rows is no part of the file.
    rows = read_rows(block, replace(reader, clean=None))
    held = zip(reader.dataset.columns.items(), reader.positions, strict=True)
    columns = [_figures(name, column, rows.table[name]) for (name, column), place in held if place != ABSENT]
    return Profile(sample.records, len(block.starts), rows.table.num_rows, columns)


def _figures(name: str, column: Column, values: pa.ChunkedArray) -> dict[str, Any]:
    cells = values.combine_chunks()
    least, greatest = _range(cells, column)
    distinct, counted = _values(cells.drop_null(), column)
    return {
        "name": name, "type": column.type, "nulls": cells.null_count, "distinct": distinct, "values": counted,
        "least": least, "greatest": greatest,
    }  # fmt: skip


def _values(cells: pa.Array, column: Column) -> tuple[int | None, dict[str, int] | None]:
    """How many different ones there are, and the rows of each, where they are few."""
    kind = column.sql_type.kind
    if kind in JSONS:
        return None, None
    counted = pc.value_counts(cells)
    if len(counted) > MOST_VALUES or kind in WITHOUT_VALUES:
        return len(counted), None
    texts = [text or "" for text in printed(counted.field("values"), column.sql_type)]
    if any(len(text) > LONGEST_VALUE for text in texts):
        return len(counted), None
    return len(counted), dict(zip(texts, counted.field("counts").to_pylist(), strict=True))


def _range(cells: pa.Array, column: Column) -> tuple[str | None, str | None]:
    kind = column.sql_type.kind
    if kind not in (*NUMBERS, *MOMENTS):
        return None, None
    if kind in FLOATS:  # NaN has no place among them
        cells = cells.filter(pc.is_finite(cells))
    found = pc.min_max(cells)
    least, greatest = printed(pa.array([found["min"], found["max"]], cells.type), column.sql_type)
    return least, greatest


def merged(parts: Sequence[Profile], columns: Iterable[tuple[str, Column]]) -> Profile:
    """One profile of several chunks, each with the weight of its records.

    In its `columns`: null_share, and values by rows of the whole file, which are estimates unless all were sampled.
    """
    named = [{one["name"]: one for one in part.columns} for part in parts]
    together = []
    for name, column in columns:
        held = [(part, found[name]) for part, found in zip(parts, named, strict=True) if name in found]
        if held:
            together.append(_merged_column(name, column, held))
    records, sampled, good = (sum(getattr(part, name) for part in parts) for name in ("records", "sampled", "good"))
    return Profile(records, sampled, good, together)


def _merged_column(name: str, column: Column, found: list[tuple[Profile, dict[str, Any]]]) -> dict[str, Any]:
    weighed = [(part.records / part.sampled, part, one) for part, one in found]
    good = sum(weight * part.good for weight, part, _ in weighed)
    nulls = sum(weight * one["nulls"] for weight, _, one in weighed)
    present = sum(part.good - one["nulls"] for _, part, one in weighed)
    values, distinct = _merged_values(weighed)
    if values is not None and present < REPEATED * len(values):
        values = None
    ends = [text for _, _, one in weighed for text in (one["least"], one["greatest"]) if text is not None]
    ends.sort(key=lambda text: _order(text, column))
    return {
        "name": name, "type": column.type, "null_share": nulls / good if good else None,
        "distinct": distinct, "values": values,
        "least": ends[0] if ends else None, "greatest": ends[-1] if ends else None,
    }  # fmt: skip


def _merged_values(weighed: list[tuple[float, Profile, dict[str, Any]]]) -> tuple[dict[str, int] | None, int | None]:
    """Rows by value, and the least number of different values that there can be."""
    most = [one["distinct"] for _, _, one in weighed if one["distinct"] is not None]
    if any(one["values"] is None for _, _, one in weighed):
        return None, max(most, default=None)
    total: dict[str, float] = {}
    for weight, _, one in weighed:
        for value, rows in one["values"].items():
            total[value] = total.get(value, 0) + weight * rows
    if len(total) > MOST_VALUES:
        return None, len(total)
    return {value: round(rows) for value, rows in total.items()}, len(total)


def _order(text: str, column: Column) -> Any:
    """Something that sorts as PostgreSQL does: dates and times of these years do so as text."""
    return Decimal(text) if column.sql_type.kind in NUMBERS else text
