"""A draft: the dataset that a file would become, and what a person has to know of it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from pathlib import Path

from include.ingest.dataset.definition import RESERVED_DATASETS, Dataset
from include.ingest.dataset.interval import holding, last_complete
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import IngestError
from include.ingest.infer import names
from include.ingest.infer.said import NOTHING, Said
from include.ingest.source.storage import Storage


@dataclass(frozen=True)
class Asked:
    """What a person asks for."""

    file: str
    name: str
    said: Said = NOTHING
    accept: bool = False  # what is ambiguous, as it was read
    append: bool = False  # where no column identifies a row


@dataclass(frozen=True)
class Draft:
    """A dataset that there is not yet."""

    dataset: Dataset
    text: str  # of its file
    rows: int
    doubts: list[str] = field(default_factory=list)  # what is ambiguous
    rejects: list[str] = field(default_factory=list)  # what a run would reject of the file
    remarks: list[str] = field(default_factory=list)  # on the key


def asked_for(file: str, name: str | None, said: Said, *, accept: bool = False, append: bool = False) -> Asked:
    """The same, checked. Raises IngestError for what is no place of a file, or no name."""
    file = file.strip()
    if "://" not in file:
        if not Path(file).is_absolute():
            raise IngestError(
                f"{file or 'file'}: give the whole path, as /srv/inbox/orders.csv, or a URL. A worker has no folder of"
                " its own from which another path could lead"
            )
        if Path(file).is_dir():
            raise IngestError(f"{file} is a folder: give one of its files. The dataset's `source` may name them all")
    name = (name or "").strip() or names.dataset_name(file)
    if not names.NAME.fullmatch(name) or name in RESERVED_DATASETS:
        raise IngestError(
            f"name: {name} is no name of a dataset, which is a to z, digits and _, up to 41, a letter first, and not"
            f" {' or '.join(RESERVED_DATASETS)}"
        )
    return Asked(file, name, said, accept, append)


def draft(asked: Asked, storage: Storage, inbox: str) -> Draft:
    """What the file would become. Every row is read. Raises what reading the file raises."""
    from include.ingest.infer import compose  # its compiled loops take a moment to load
    from include.ingest.infer.command import look

    found = look(asked.file, asked.said, storage=storage)
    source = names.source_of(asked.file, inbox)
    text = compose.compose(found, asked.name, source, Path(asked.file).name)
    return Draft(
        dataset=_read(text, asked.name),
        text=text,
        rows=found.rows,
        doubts=[doubt.removeprefix("--") for doubt in compose.doubts_of(found)],
        rejects=compose.warnings_of(found),
        remarks=list(found.key.remarks),
    )


def version_of(file: str, dataset: Dataset, now: datetime) -> datetime:
    """The version that the file has: that of the day in its name, so that a run of that day finds it loaded.

    Without one, that of the last complete interval by `now`.
    """
    day = names.day_of(file)
    if day is None:
        return last_complete(dataset.schedule, now).start
    return holding(dataset.schedule, datetime.combine(day, time.min, UTC)).start


def _read(text: str, name: str) -> Dataset:
    """The dataset of a file's text, checked as every dataset file is."""
    with tempfile.TemporaryDirectory(prefix="millrace-draft-") as folder:
        file = Path(folder) / f"{name}.yaml"
        file.write_text(text, encoding="utf-8")
        return load_dataset(file)
