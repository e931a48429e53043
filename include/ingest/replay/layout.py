"""Where the columns of a dataset, as it is now, stand in records that were rejected before: by their own header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from include.ingest.cast.clean_hook import code_of, load_hook
from include.ingest.cast.header import Header, HeaderPlace, header_names, match_header
from include.ingest.csv.grammar import Dialect
from include.ingest.csv.text_form import form_of
from include.ingest.dataset.definition import Dataset, fingerprint
from include.ingest.drift.shape import Drift, drift_of, positions_of, shaped
from include.ingest.errors import ReplayRefused
from include.ingest.plan import dialect_of
from include.ingest.replay.files import Files
from include.ingest.source import File, files_of
from include.ingest.source.storage import Storage


class Layout(NamedTuple):
    """How the records are read: as in a plan."""

    fields: int
    positions: tuple[int, ...]
    drift: Drift


def layout_of(
    base: dict[str, Any], dataset: Dataset, storage: Storage, reading: UUID, earlier: Mapping[str, str]
) -> Layout:
    """Where the columns of the dataset, as it is now, stand in the records; `earlier` as for `drift_of`.

    Raises HeaderMismatch or ReplayRefused.
    """
    plan, form = base["plan"], form_of(base["plan"])
    raw = form.header.encode(form.encoding) if form is not None and form.header is not None else b""
    if form is None:  # planned by a version that kept no header
        raw = _head_of(files_of(plan), storage, reading, dialect_of(dataset))
    if raw and dataset.csv.header:
        dialect, place = dialect_of(dataset), HeaderPlace(f"{base['file']} (its header as it was)", 1, raw)
        header = match_header(header_names([raw], dialect, dataset.csv.encoding), dataset, dialect, place)
        return _by(header, dataset, earlier)
    drift = Drift.from_dict(plan["drift"]) if "drift" in plan else Drift()
    same = form is not None and list(form.columns) == list(shaped(dataset, drift).columns)
    if same or base["dataset_fingerprint"] == fingerprint_of(dataset, drift):
        return Layout(plan["fields"], tuple(plan["positions"]), drift)
    if not dataset.csv.header and plan["fields"] == len(dataset.columns):
        return _by(Header(len(dataset.columns), tuple(range(len(dataset.columns)))), dataset, earlier)
    raise ReplayRefused(
        f"{dataset.name} was changed since run {base['run_id']}, and neither the ledger nor the file, which is gone or"
        " was changed, has the header of these records: ingest the files again"
    )


def _by(header: Header, dataset: Dataset, earlier: Mapping[str, str]) -> Layout:
    drift = drift_of(dataset, header, earlier)
    return Layout(header.fields, positions_of(dataset, header, drift), drift)


def _head_of(files: Sequence[File], storage: Storage, reading: UUID, dialect: Dialect) -> bytes:
    """The header record of the first file, empty where it is not the file that was read."""
    source = Files(storage, files, reading, dialect)
    try:
        return source.head(files[0].path)
    finally:
        source.close()


def fingerprint_of(dataset: Dataset, drift: Drift) -> str:
    """Of the dataset with all columns of such a run, as its plan has it."""
    return fingerprint(shaped(dataset, drift), code_of(load_hook(dataset.clean)), drift.rescued)
