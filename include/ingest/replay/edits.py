"""A rejected record with some of it replaced: by column, or as a whole. Nothing is written here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from psycopg import Connection
from psycopg.rows import dict_row

from include.ingest.csv.kept_record import bytes_of, readable
from include.ingest.csv.text_form import TextForm, form_for, form_of
from include.ingest.dataset.definition import Dataset
from include.ingest.drift.matching import ABSENT
from include.ingest.errors import CorrectionRefused
from include.ingest.replay.fields import joined, split
from include.ingest.replay.kept import kept_bytes
from include.ingest.source import files_of
from include.ingest.source.storage import Storage


def now_bytes(row: dict[str, Any], form: TextForm, storage: Storage) -> bytes | None:
    """The record as it is now, a corrected one as somebody wrote it; None: its bytes are not at hand any more."""
    if row["corrected_record"] is not None:
        return bytes(row["corrected_record"])
    return _original(row, form, storage)


def row_of(connection: Connection[Any], rejected_id: int) -> dict[str, Any] | None:
    """A row of the ledger with dataset, status and plan of its run; None: there is none, or not any more."""
    return connection.cursor(row_factory=dict_row).execute(
        "SELECT j.*, r.dataset, r.status AS run_status, r.version, r.plan FROM millrace.rejected_row j"
        " JOIN millrace.ingest_run r USING (run_id) WHERE j.id = %s",
        [rejected_id],
    ).fetchone()  # fmt: skip


def cells(row: dict[str, Any], dataset: Dataset) -> tuple[list[tuple[str, str]], str | None]:
    """Column and value of each field of the record as it is now, in the order of the file; or why it has no columns."""
    then = form_of(row["plan"])
    if then is None:
        return [], "the run is of a version that did not keep which field is which"
    if row["corrected"] is None and not row["whole"]:
        return [], "only the beginning of the record is kept"
    form = form_for(dataset) if row["corrected"] is not None else then
    cut, width = split(row["corrected"] or row["raw"], form), row["plan"]["fields"]
    if not cut.ended or not (len(cut.fields) == width or (len(cut.fields) < width and _filler(dataset) is not None)):
        return [], f"the record has {len(cut.fields)} fields instead of {width}, so it is not certain which is which"
    places = sorted((place, name) for name, place in _places(row, then).items())
    return [(name, cut.fields[place].value if place < len(cut.fields) else "") for place, name in places], None


def _places(row: dict[str, Any], then: TextForm) -> dict[str, int]:
    return {name: at for name, at in zip(then.columns, row["plan"]["positions"], strict=False) if at != ABSENT}


def edited(
    row: dict[str, Any], dataset: Dataset, storage: Storage,
    fields: Mapping[str, str | None] | None = None, raw: str | None = None,
) -> bytes:  # fmt: skip
    """The bytes of the row's record with these columns (None: null), or with this text as a whole.

    `row` is of the ledger, with the `plan` of its run. Raises CorrectionRefused where that is no record.
    """
    form = form_for(dataset)
    known = now_bytes(row, form, storage)
    if known is None and raw is None:
        raise CorrectionRefused(
            f"rejected row {row['id']}: only the beginning of the record is kept, and {row['file']} is gone"
            " or was changed since: give the whole record"
        )
    before = known or b""
    if raw is None:
        cells = _cells(dataset, fields or {})
        raw = _edited(before.decode(form.encoding, "surrogateescape"), form, row, cells, _filler(dataset))
    elif escapes := sorted(set(_ESCAPE.findall(raw))):
        _check_escapes(readable(before, form.encoding) if before else row["raw"], before, form, escapes)
    return _record(raw, form, row["id"])


def _original(row: dict[str, Any], form: TextForm, storage: Storage) -> bytes | None:
    """The record as it came."""
    then = form_of(row["plan"]) or form
    record = kept_bytes(row, then.encoding)
    if record is not None:
        return record
    from include.ingest.replay.files import Files  # with the compiled scanner, which pages seldom need

    files = Files(storage, files_of(row["plan"]), uuid4(), then.dialect)
    try:
        return files.record(row["file"], row["byte_offset"], row["line_number"])
    finally:
        files.close()


_ESCAPE = re.compile(r"\\x[0-9a-f]{2}")


def _check_escapes(shown: str, before: bytes, form: TextForm, escapes: list[str]) -> None:
    """Raise CorrectionRefused where what stands for a byte that is no text would become text."""
    if bytes_of(shown, form.encoding) != before and any(escape in shown for escape in escapes):
        raise CorrectionRefused(
            f"{', '.join(escapes)} in the text stands for bytes of the record that are no {form.encoding}: write the"
            " letters that they should be, or correct single columns"
        )


def _cells(dataset: Dataset, fields: Mapping[str, str | None]) -> dict[str, str]:
    """The values as they are written into a file."""
    if None in fields.values() and not dataset.csv.nulls:
        raise CorrectionRefused(f"{dataset.name}: `csv.nulls` is empty, so a file has no way to say null")
    return {name: dataset.csv.nulls[0] if value is None else value for name, value in fields.items()}


def _filler(dataset: Dataset) -> str | None:
    """What a cell holds that a short record lacks; None: such a record is not filled, or a file can't say null."""
    return next(iter(dataset.csv.nulls), None) if dataset.csv.short_rows == "fill" else None


def _edited(text: str, form: TextForm, row: dict[str, Any], fields: Mapping[str, str], filler: str | None) -> str:
    """The record with some fields replaced, the others with the values that they had."""
    if not fields:
        raise CorrectionRefused("give the columns to change, or the whole record")
    then = form_of(row["plan"])
    if then is None:
        raise CorrectionRefused("the run is of a version that did not keep which field is which: give the whole record")
    cut, places = split(text, form), _places(row, then)
    unknown = [name for name in fields if name not in places]
    if unknown:
        raise CorrectionRefused(f"the file has no column {', '.join(unknown)}; it has {', '.join(places)}")
    width = row["plan"]["fields"]
    if not (len(cut.fields) == width or (len(cut.fields) < width and filler is not None)) or not cut.ended:
        raise CorrectionRefused(
            f"the record has {len(cut.fields)} fields instead of {width}, so it is not certain which is"
            " which: give the whole record"
        )
    last = max(places[name] for name in fields)
    values = [field.value for field in cut.fields] + [filler or ""] * (last + 1 - len(cut.fields))
    for name, value in fields.items():
        values[places[name]] = value
    return joined(values, form)


def _record(text: str, form: TextForm, rejected_id: int) -> bytes:
    """The text as one record's bytes."""
    what = f"rejected row {rejected_id}: the corrected text"
    if not text:
        raise CorrectionRefused(f"{what} is empty, which is no record: dismiss the row instead")
    if not split(text, form).ended:
        raise CorrectionRefused(f"{what} is not one record: it holds a line end outside quotes, or ends within them")
    try:
        return text.encode(form.encoding, "surrogateescape")
    except UnicodeEncodeError as fault:
        letter = text[fault.start]
        raise CorrectionRefused(f"{what} holds {letter!r}, which {form.encoding} does not have") from None
