"""The columns of one run: those of the dataset, and those that its file brings or earlier files brought.

Every step reads, stages and merges by this shape, so nothing else need know of columns that change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.ingest.cast.header import Header
from include.ingest.dataset.columns import Column
from include.ingest.dataset.definition import Dataset, sources_of
from include.ingest.dataset.identifier import identifier_of
from include.ingest.drift.matching import ABSENT
from include.ingest.drift.rescued_cells import TEXT as ADDED

RESCUED = Column.model_validate({"type": "jsonb", "nullable": True})


@dataclass(frozen=True)
class Drift:
    """How the columns of a run's file differ from those that the dataset names."""

    header: tuple[str, ...] | None = None  # names of all its columns; None: it has no header
    unknown: tuple[str, ...] = ()  # that the dataset does not name
    policy: str = "ignore"  # what becomes of them, see `unknown_columns`
    missing: tuple[str, ...] = ()  # columns of the dataset that the file lacks
    renamed: tuple[tuple[str, str], ...] = ()  # columns under another than their first name, with that name
    added: tuple[tuple[str, str], ...] = ()  # columns of the table that take unknown ones, with their name in the file
    absent: tuple[str, ...] = ()  # columns that earlier files added and this one lacks
    rescued: tuple[tuple[str, int], ...] = ()  # unknown columns, with their position, that go into one jsonb

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Drift:
        """What `asdict` gave, be it through JSON."""
        pairs: dict[str, Any] = {
            name: tuple((one, other) for one, other in values[name]) for name in ("renamed", "added", "rescued")
        }
        return cls(
            header=tuple(values["header"]) if values["header"] is not None else None,
            unknown=tuple(values["unknown"]),
            policy=values["policy"],
            missing=tuple(values["missing"]),
            absent=tuple(values["absent"]),
            **pairs,
        )


def drift_of(dataset: Dataset, header: Header, earlier: Mapping[str, str]) -> Drift:
    """What is to become of a file's columns. `earlier`: columns that earlier files added, with their name there."""
    unknown = tuple(header.names[place] for place in header.unknown)
    added: tuple[tuple[str, str], ...] = ()
    if dataset.unknown_columns == "add":
        added = tuple((identifier_of(name), name) for name in unknown)
    missing = tuple(name for name, place in zip(dataset.columns, header.positions, strict=True) if place == ABSENT)
    return Drift(
        header=header.names or None,
        unknown=tuple(dict.fromkeys(unknown)),
        policy=dataset.unknown_columns,
        missing=missing,
        renamed=header.renamed,
        added=added,
        absent=absent_of(dataset, [name for name, _ in added], earlier),
        rescued=tuple(zip(unknown, header.unknown, strict=True)) if dataset.unknown_columns == "rescue" else (),
    )


def absent_of(dataset: Dataset, held: Sequence[str], earlier: Mapping[str, str]) -> tuple[str, ...]:
    """Columns that earlier files added and that a file lacks: null in the rows that it writes.

    So a row is as the newest file that holds it has it, whatever order files come in. What is appended is new and null
    there anyway. A column that the dataset names by now, maybe under another name, is no longer of this kind.
    """
    if dataset.unknown_columns != "add" or dataset.mode == "append":
        return ()
    known = {name for column in dataset.columns for name in sources_of(column, dataset)}
    return tuple(
        column
        for column, name in earlier.items()
        if column not in held and column not in dataset.columns and name not in known
    )


def shaped(dataset: Dataset, drift: Drift) -> Dataset:
    """The dataset with all columns of the run; safe to repeat."""
    more = {name: ADDED for name in (*(name for name, _ in drift.added), *drift.absent)}
    if dataset.rescue_column:
        more[dataset.rescue_column] = RESCUED
    return dataset.model_copy(update={"columns": {**dataset.columns, **more}}) if more else dataset


def positions_of(dataset: Dataset, header: Header, drift: Drift) -> tuple[int, ...]:
    """Where each column of `shaped` stands in a record, or ABSENT."""
    brought = header.unknown if drift.added else ()
    none = (ABSENT,) * (len(drift.absent) + bool(dataset.rescue_column))
    return (*header.positions, *brought, *none)
