"""Makes a dataset of a draft: its file and its table, or neither."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg

from include.ingest.dataset import places
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import DatasetError, IngestError
from include.ingest.new_dataset.draft import Asked, Draft
from include.ingest.preview.result import Preview
from include.ingest.table import target as targets

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Refused(IngestError):
    """Nothing was created, as something is for a person to decide."""


def check(connection: psycopg.Connection, draft: Draft, preview: Preview, asked: Asked) -> None:
    """Raise Refused, with all reasons and the way out, where making the dataset would be a guess."""
    reasons = list(_undecided(draft, asked))
    if _is_anothers(connection, draft.dataset):
        reasons.append(
            f"table {draft.dataset.target} is there already, with rows that no run of dataset {asked.name} wrote: give"
            " another `name`"
        )
    if preview.outcome == "failed":
        reasons.append(f"a run of this file would fail: {'; '.join(preview.reasons)}")
    if reasons:
        raise Refused(
            f"{asked.file}: nothing was created, as this is for you to decide:\n"
            + "\n".join(f"- {reason}" for reason in reasons)
            + "\nThe dataset file as it would be stands in this log: it may also be edited, and put beside the others."
        )


def _is_anothers(connection: psycopg.Connection, dataset: Dataset) -> bool:
    """Whether the target holds rows, and no run of the dataset has ever been done."""
    with connection.cursor() as cursor:
        if targets.describe(cursor, dataset) is None or targets.is_empty(cursor, dataset):
            return False
        known = "SELECT 1 FROM millrace.ingest_run WHERE dataset = %s AND target = %s AND status = 'done' LIMIT 1"
        name = f"{dataset.schema_name}.{dataset.table_name}"
        return cursor.execute(known, [dataset.name, name]).fetchone() is None


def _undecided(draft: Draft, asked: Asked) -> Iterator[str]:
    if draft.doubts and not asked.accept:
        yield from (f"ambiguous: {doubt}" for doubt in draft.doubts)
        yield "settle it with `dates`, `decimal_mark` or `key`, or tick `accept` to take it as it was read"
    if not draft.dataset.key and not asked.append:
        why = "; ".join(draft.remarks) or "no column, and no two of them, identify a row"
        yield f"no key was found ({why}): name it in `key`, or tick `append` to have each run add all rows of its file"


def create(connection: psycopg.Connection, draft: Draft, folders: Sequence[Path], *, table: bool) -> Path:
    """Write the dataset file into the first folder that can be written, and make the `table`, where that is asked for.

    Safe to repeat. Raises DatasetError where another dataset has the name, and where no folder can be written; then no
    table is there either. It fits by the preview, if there is one already.
    """
    dataset = draft.dataset
    with connection.transaction(), connection.cursor() as cursor:
        targets.queue_up(cursor, dataset)  # two of these at once would both find no file
        if table and targets.describe(cursor, dataset) is None:
            targets.create(cursor, dataset, targets.identifier(dataset))
            targets.add_key(cursor, dataset, targets.identifier(dataset))
        return _written(draft, folders)


def existing(draft: Draft, folders: Sequence[Path]) -> Path | None:
    """The dataset file that has the name already, and says something else."""
    found = _of_that_name(draft, folders)
    return None if found is None or _says(found, draft) else found


def _of_that_name(draft: Draft, folders: Sequence[Path]) -> Path | None:
    there = [folder for folder in folders if folder.is_dir()]
    return next((file for file in places.files_in(there) if file.stem == draft.dataset.name), None)


def _says(file: Path, draft: Draft) -> bool:
    return file.read_text(encoding="utf-8", errors="replace") == draft.text


def _written(draft: Draft, folders: Sequence[Path]) -> Path:
    name, faults = draft.dataset.name, []
    found = _of_that_name(draft, folders)
    if found is not None:  # an earlier try of this run, or of one like it, may have written it
        with suppress(OSError):
            _part_of(found).unlink()
        return _same(found, draft)
    for folder in folders:
        file = folder / f"{name}.yaml"
        try:
            write_new(file, draft.text)
        except FileExistsError:
            return _same(file, draft)
        except OSError as fault:
            faults.append(f"{folder}: {fault.strerror}")
        else:
            return file
    raise DatasetError(
        f"dataset {name} was not created, as no folder of dataset files can be written here ({'; '.join(faults)})."
        f" Copy the dataset file out of this log as {name}.yaml, and deploy it as you deploy the others; its DAG then"
        " creates the table"
    )


def _same(file: Path, draft: Draft) -> Path:
    if _says(file, draft):
        return file
    raise DatasetError(
        f"{file} is there already, and is never overwritten: give another `name`, or trigger"
        f" ingest_{draft.dataset.name} with this file as its path. If you no longer want that dataset, remove its file"
        " first"
    )


def _part_of(file: Path) -> Path:
    return file.with_name(f".{file.name}.part")


def write_new(file: Path, text: str) -> None:
    """Write a file whole, where there is none. Raises FileExistsError, and what the folder raises."""
    part = _part_of(file)
    part.unlink(missing_ok=True)  # of a try that was killed: it may be the whole file's other name
    try:
        with part.open("x", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())  # before it has its name: a machine that stops leaves the whole file or none
        try:
            file.hardlink_to(part)  # unlike a rename, it takes nobody's place
        except OSError as fault:
            if fault.errno not in NO_LINKS:
                raise
            if file.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file)) from None
            part.replace(file)
    finally:
        part.unlink(missing_ok=True)
