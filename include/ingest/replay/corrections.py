"""What people do to rejected rows: correct one, dismiss some, open them again. Who did what is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from psycopg import Connection, Cursor
from psycopg.rows import class_row, dict_row

from include.ingest.csv.kept_record import bytes_of, readable
from include.ingest.csv.text_form import TextForm, form_for, form_of
from include.ingest.dataset.definition import Dataset
from include.ingest.drift.matching import ABSENT
from include.ingest.errors import CorrectionRefused
from include.ingest.replay.fields import joined, split
from include.ingest.replay.kept import kept_bytes
from include.ingest.source import files_of
from include.ingest.source.storage import LOCAL, Storage


@dataclass(frozen=True)
class Change:
    """What somebody did to a rejected row."""

    action: str  # corrected, dismissed or reopened
    who: str
    at: datetime
    before: str | None
    after: str | None
    why: str | None


def correct(
    connection: Connection[Any],
    dataset: Dataset,
    rejected_id: int,
    *,
    who: str,
    fields: Mapping[str, str | None] | None = None,
    raw: str | None = None,
    storage: Storage = LOCAL,
) -> str:
    """Correct an open row, by column (None: null) or as a whole record, and return the record as it is now.

    What it was stays in `raw`, and each correction in `changes`. The row's rules are checked when it is replayed.
    Raises CorrectionRefused where the row is not open, or the text is no record of the dataset's encoding.
    """
    with connection.transaction(), connection.cursor() as cursor:
        row = _locked(cursor, rejected_id)
        if row["dataset"] != dataset.name:
            raise CorrectionRefused(f"rejected row {rejected_id} is of dataset {row['dataset']}, not of {dataset.name}")
        if row["state"] != "open":
            raise CorrectionRefused(f"rejected row {rejected_id} is {row['state']}: only an open one can be corrected")
        form = form_for(dataset)
        if row["corrected_record"] is not None:
            before = bytes(row["corrected_record"])
        else:
            known = _original(row, form, storage)
            if known is None and raw is None:
                raise CorrectionRefused(
                    f"rejected row {rejected_id}: only the beginning of the record is kept, and {row['file']} is gone"
                    " or was changed since: give the whole record"
                )
            before = known or b""
        if raw is None:
            cells = _cells(dataset, fields or {})
            filler = _filler(dataset)
            raw = _edited(before.decode(form.encoding, "surrogateescape"), form, row, cells, filler)
        elif escapes := sorted(set(_ESCAPE.findall(raw))):
            _check_escapes(readable(before, form.encoding) if before else row["raw"], before, form, escapes)
        record = _record(raw, form, rejected_id)
        shown = readable(record, form.encoding)
        cursor.execute(
            "UPDATE millrace.rejected_row SET corrected = %s, corrected_record = %b, edited = true WHERE id = %s",
            [shown, record, rejected_id],
        )
        _note(cursor, [rejected_id], "corrected", who, before=row["corrected"] or row["raw"], after=shown)
    return shown


def dismiss(connection: Connection[Any], ids: Iterable[int], *, who: str, why: str) -> int:
    """Close open rows for good, as they need no replay; returns how many. Others are left as they are."""
    return _turn(connection, ids, "open", "dismissed", "dismissed", who, why)


def reopen(connection: Connection[Any], ids: Iterable[int], *, who: str, why: str) -> int:
    """Open dismissed rows again; returns how many. A row that was replayed stays so."""
    return _turn(connection, ids, "dismissed", "open", "reopened", who, why)


def changes(connection: Connection[Any], rejected_id: int) -> list[Change]:
    """What people did to a row, and to those of which it is the replay, in the order in which they did it."""
    query = (
        "WITH RECURSIVE line AS (SELECT id, earlier FROM millrace.rejected_row WHERE id = %s"
        " UNION SELECT j.id, j.earlier FROM millrace.rejected_row j JOIN line ON j.id = line.earlier)"
        " SELECT action, who, at, before, after, why FROM millrace.rejected_row_change c"
        " JOIN line ON line.id = c.rejected_id ORDER BY c.number"
    )
    return connection.cursor(row_factory=class_row(Change)).execute(query, [rejected_id]).fetchall()


def _turn(
    connection: Connection[Any], ids: Iterable[int], before: str, after: str, action: str, who: str, why: str
) -> int:
    with connection.transaction(), connection.cursor() as cursor:
        found = cursor.execute(
            "UPDATE millrace.rejected_row SET state = %s WHERE id = ANY(%s) AND state = %s RETURNING id",
            [after, list(ids), before],
        ).fetchall()
        _note(cursor, [one for (one,) in found], action, who, why=why)
    return len(found)


def _locked(cursor: Cursor[Any], rejected_id: int) -> dict[str, Any]:
    """The row, which nobody else corrects or replays until the transaction ends."""
    row = (
        cursor.connection.cursor(row_factory=dict_row)
        .execute(
            "SELECT j.*, r.plan, r.dataset FROM millrace.rejected_row j JOIN millrace.ingest_run r USING (run_id)"
            " WHERE j.id = %s FOR UPDATE OF j",
            [rejected_id],
        )
        .fetchone()
    )
    if row is None:
        raise CorrectionRefused(f"there is no rejected row {rejected_id}: it went with its run")
    return row


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
    cut, positions, columns = split(text, form), row["plan"]["positions"], then.columns
    places = {name: place for name, place in zip(columns, positions, strict=False) if place != ABSENT}
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


def _note(
    cursor: Cursor[Any], ids: list[int], action: str, who: str,
    *, before: str | None = None, after: str | None = None, why: str | None = None,
) -> None:  # fmt: skip
    cursor.execute(
        "INSERT INTO millrace.rejected_row_change (rejected_id, action, who, before, after, why)"
        " SELECT unnest(%s::bigint[]), %s, %s, %s, %s, %s",
        [ids, action, who, before, after, why],
    )
