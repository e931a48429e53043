"""What can be said of dataset files without a database: faults, the file of a date, the next run, and each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import combinations
from pathlib import Path

from include.ingest.cast.clean_hook import load_hook
from include.ingest.check.result import Checked
from include.ingest.dataset import interval, places
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset.rendering import interval_for, of_airflow, rendered
from include.ingest.dataset_file import load_dataset, place_in
from include.ingest.errors import DatasetError, HookError, IngestError, SourceMissing, SourceUnnamed
from include.ingest.source.storage import Storage, scratch_of
from include.own_folders import own_folders


def check_file(file: Path, date: datetime | None, *, look: bool = True) -> Checked:
    """Read one file and check what it names; with `look`, also whether the date's file is there."""
    try:
        dataset = load_dataset(file)
    except DatasetError as error:
        return Checked(file, faults=str(error).splitlines())
    found = Checked(file, dataset)
    _check_source(found, dataset, date, look=look)
    found.facts["schedule"] = next_run(dataset, datetime.now(UTC))
    try:
        load_hook(dataset.clean)
    except HookError as error:
        found.faults.append(f"{place_in(file, ('clean',))}: {str(error).removeprefix('clean: ')}")
    return found


def _check_source(found: Checked, dataset: Dataset, date: datetime | None, *, look: bool) -> None:
    beyond = of_airflow(dataset)
    if beyond:
        found.facts["source"] = f"{dataset.source}: only Airflow can fill in {', '.join(beyond)}"
        return
    try:
        path = rendered(dataset, interval_for(dataset, date))
    except SourceUnnamed as error:
        found.faults.append(f"{place_in(found.file, ('source',))}: {error}")
        return
    found.facts["source"] = f"{path}: {_seen(path)}" if look else path


def _seen(path: str) -> str:
    try:
        files = Storage(scratch_of(os.environ)).files(path)
    except SourceMissing:
        return "not there"
    except (IngestError, OSError, ValueError, ImportError) as error:
        return f"can't be looked at: {error}"
    total = sum(mark.size for _, mark in files)
    return f"found, {total:,} bytes" + (f" in {len(files):,} files" if len(files) > 1 else "")


def next_run(dataset: Dataset, now: datetime) -> str:
    """The schedule in words, and when its next run begins, once the DAG is unpaused."""
    if dataset.schedule is None:
        return "by hand only"
    first = datetime.combine(dataset.start_date, time.min, UTC)
    moment = max(now, first)
    due = interval.holding(dataset.schedule, moment)
    if moment == first and due.start < first:  # the first interval begins at the first boundary from then on
        due = interval.holding(dataset.schedule, due.end)
    last = datetime.combine(dataset.end_date, time.min, UTC) + timedelta(days=1) if dataset.end_date else None
    if last is not None and due.start >= last:
        return f"{dataset.schedule}, no further run after {dataset.end_date}"
    return f"{dataset.schedule}, next run {due.end:%Y-%m-%d %H:%M} UTC with the file of {due.start:%Y-%m-%d %H:%M}"


def check_together(found: Sequence[Checked]) -> None:
    """Add what is wrong between files: a name that stands twice, and datasets that share a target.

    Files beside those that are checked count too, in the same folders and in the user's own.
    """
    others = [Checked(file) for file in _neighbours(one.file for one in found)]
    for other in others:
        try:
            other.dataset = load_dataset(other.file)
        except DatasetError:
            continue
    everything = [*found, *(other for other in others if other.dataset)]
    for one, other in combinations(everything, 2):
        if one.file.stem == other.file.stem:
            other.faults.append(str(places.twice(other.file, one.file)))
            one.faults.append(str(places.twice(one.file, other.file)))
        elif one.dataset and other.dataset:
            for a, b in ((one, other), (other, one)):
                a.warnings += shared_target(a, b)


def _neighbours(files: Iterable[Path]) -> list[Path]:
    checked = {file.resolve() for file in files}
    folders = {file.parent for file in checked}
    own = {folder.resolve() for folder in own_folders()}
    if folders & own:
        folders |= {folder for folder in own if folder.is_dir()}
    return [file for file in places.files_in(sorted(folders)) if file.resolve() not in checked]


def shared_target(mine: Checked, other: Checked) -> list[str]:
    """A warning where the other dataset fills the same table."""
    a, b = mine.dataset, other.dataset
    assert a is not None
    assert b is not None
    where = [(one.postgres_conn_id, one.schema_name, one.table_name) for one in (a, b)]
    if where[0] != where[1]:
        return []
    if "replace" in (a.mode, b.mode):
        what = f"{(a if a.mode == 'replace' else b).name} has mode replace and deletes the rows of the other"
    elif set(a.key) != set(b.key):
        keys = [f"({', '.join(one.key)})" if one.key else "none" for one in (a, b)]
        what = f"their keys are {keys[0]} and {keys[1]}, so one row may stand in it twice"
    elif a.mode == "append":
        what = "both append to it"
    elif a.version != b.version:
        what = f"versions are by {a.version} and by {b.version}, so which row is newer is not one order"
    else:
        what = "of rows with one key the newer file's wins, whichever dataset it is of"
    return [f"{place_in(mine.file, ('target',))}: {other.file} fills {a.target} too: {what}"]
