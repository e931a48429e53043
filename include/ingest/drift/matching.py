"""Match the names in a file's header with the columns of a dataset."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from include.ingest.dataset.definition import Dataset, sources_of
from include.ingest.dataset.identifier import identifier_of

ABSENT = -1  # in the place of a column's position: the file lacks it
_WORD = re.compile(r"\w+")
BY_NAME = ("add", "rescue")  # what may become of unknown columns that needs a name for each


class Match(NamedTuple):
    """How the names of a header stand to a dataset's columns."""

    positions: tuple[int, ...]  # of each column, or ABSENT
    unknown: tuple[int, ...]  # positions of the names that the dataset does not have
    renamed: tuple[tuple[str, str], ...]  # columns that have not the first of their names, each with the one it has


def match(header: Sequence[str], dataset: Dataset) -> Match:
    """Find each column by the first of its names that the header holds."""
    names = {column: _first_held(header, sources_of(column, dataset)) for column in dataset.columns}
    positions = tuple(ABSENT if name is None else header.index(name) for name in names.values())
    known = {name for column in dataset.columns for name in sources_of(column, dataset)}
    unknown = tuple(place for place, name in enumerate(header) if name not in known)
    renamed = tuple(
        (column, name) for column, name in names.items() if name not in (None, sources_of(column, dataset)[0])
    )
    return Match(positions, unknown, renamed)


def _first_held(header: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in header), None)


def is_own(header: Sequence[str], dataset: Dataset) -> bool:
    """Whether it is a header of this dataset, if a wrong one: it has the name of a column, in whatever case.

    Or half of all, where the fields are not parted as they should be. Any other first line is content, which is not
    to be told in errors: of a file without a header it is a row, and a path may lead to what is no CSV at all.
    """
    columns = [{name.strip().casefold() for name in sources_of(column, dataset)} for column in dataset.columns]
    fields = {name.strip().casefold() for name in header}
    if any(fields & names for names in columns):
        return True
    words = set(_WORD.findall(" ".join(header).casefold()))
    held = sum(any(words.issuperset(_WORD.findall(name)) for name in names) for names in columns)
    return len(columns) > 1 and 2 * held >= len(columns)


class Fault(NamedTuple):
    """What is wrong with a header, after the word "header", and the way out; empty where the file may tell one."""

    what: str
    way_out: str


def faults_of(header: Sequence[str], dataset: Dataset, found: Match) -> Iterator[Fault]:
    """What keeps a file with this header from being loaded."""
    file = f"{dataset.name}.yaml"
    once = f"Name each column once: deliver the file so, or set `source:` of the column in {file} to another name."
    lacks = [column for column, place in zip(dataset.columns, found.positions, strict=True) if place == ABSENT]
    missing = [column for column in lacks if not may_lack(dataset, column)]
    if missing or len(lacks) == len(dataset.columns):
        yield Fault(f"lacks {', '.join(_shown(column, dataset) for column in missing or lacks)}", "")
    if not is_own(header, dataset):
        return
    wanted = {name for column in dataset.columns for name in sources_of(column, dataset)}
    twice = sorted({name for name in header if header.count(name) > 1 and name in wanted})
    if twice:
        yield Fault(f"names {', '.join(twice)} twice", once)
    for column in dataset.columns:
        held = [name for name in sources_of(column, dataset) if name in header]
        if len(held) > 1:
            yield Fault(
                f"holds both {' and '.join(held)}, which are names of one column, {column}",
                f"Take all but one from its `source:` in {file}.",
            )
    yield from _unknown_faults([header[place] for place in found.unknown], dataset, file)


def _unknown_faults(unknown: Sequence[str], dataset: Dataset, file: str) -> Iterator[Fault]:
    if dataset.unknown_columns == "fail" and unknown:
        yield Fault(
            f"holds columns that the dataset does not name: {', '.join(name or '(no name)' for name in unknown)}",
            f"Name them under `columns` in {file}, or set `unknown_columns` there to ignore, warn, add or rescue.",
        )
    if dataset.unknown_columns not in BY_NAME:
        return
    twice = sorted(name for name, number in Counter(unknown).items() if number > 1)
    if twice:
        yield Fault(
            f"names {', '.join(name or '(no name)' for name in twice)} twice",
            f"`unknown_columns: {dataset.unknown_columns}` in {file} needs a name of its own for each.",
        )
    elif dataset.unknown_columns == "add":
        yield from _unfit_names(unknown, dataset, file)


def _unfit_names(unknown: Sequence[str], dataset: Dataset, file: str) -> Iterator[Fault]:
    """Names of which no column of the table can be made, or not one for each."""
    way_out = f"Name it under `columns` in {file}, with the header's name as its `source:`."
    taken = {column: f"the column of {' or '.join(sources_of(column, dataset))}" for column in dataset.columns}
    for name in unknown:
        made = identifier_of(name)
        if not made:
            yield Fault(f"holds {name or '(no name)'}, of which no column's name can be made", way_out)
        elif made in taken:
            yield Fault(f"holds {name}, which would be added as {made}: that is {taken[made]}", way_out)
        taken[made] = f"the column of {name}"


def may_lack(dataset: Dataset, column: str) -> bool:
    """Whether a file may lack a column: where it can be null or has a default, and does not say which row is which."""
    allowed = dataset.columns[column].nullable or dataset.columns[column].default is not None
    return dataset.missing_columns is None and allowed and column not in (*dataset.key, dataset.version)


def wanted(dataset: Dataset) -> list[frozenset[str]]:
    """The names of each column that a header must hold; of all columns where it may lack any of them."""
    needed = [column for column in dataset.columns if not may_lack(dataset, column)]
    return [frozenset(sources_of(column, dataset)) for column in needed or dataset.columns]


def _shown(column: str, dataset: Dataset) -> str:
    return " or ".join(sources_of(column, dataset))
