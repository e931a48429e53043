"""What people do to rejected rows: correct one, take that back, dismiss some, open them again. Who did what is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection, Cursor
from psycopg.rows import class_row, dict_row

from include.ingest.csv.kept_record import readable
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import ChangedMeanwhile, CorrectionRefused
from include.ingest.replay.edits import edited
from include.ingest.source.storage import LOCAL, Storage


@dataclass(frozen=True)
class Change:
    """What somebody did to a rejected row."""

    number: int  # they ascend
    action: str  # corrected, restored, dismissed or reopened
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
    seen: int | None = None,
    storage: Storage = LOCAL,
) -> str:
    """Correct an open row, by column (None: null) or as a whole record, and return the record as it is now.

    What it was stays in `raw`, and each correction in `changes`. The row's rules are checked when it is replayed.
    Raises CorrectionRefused where the row is not open, or the text is no record of the dataset's encoding, and
    ChangedMeanwhile where somebody has changed it since change number `seen` (0: since it was rejected).
    """
    with connection.transaction(), connection.cursor() as cursor:
        row = _locked_row(cursor, rejected_id, dataset.name, seen, "open", "corrected")
        record = edited(row, dataset, storage, fields, raw)
        shown = readable(record, dataset.csv.encoding)
        cursor.execute(
            "UPDATE millrace.rejected_row SET corrected = %s, corrected_record = %b, edited = true WHERE id = %s",
            [shown, record, rejected_id],
        )
        _note(cursor, [rejected_id], "corrected", who, before=row["corrected"] or row["raw"], after=shown)
    return shown


def restore(connection: Connection[Any], rejected_id: int, *, dataset: str, who: str, seen: int | None = None) -> None:
    """Take the corrections of an open row back: it is again as it came. Raises as `correct`."""
    with connection.transaction(), connection.cursor() as cursor:
        row = _locked_row(cursor, rejected_id, dataset, seen, "open", "corrected")
        if row["corrected"] is None:
            raise CorrectionRefused(f"rejected row {rejected_id} is as it came: there is no correction to take back")
        cursor.execute(
            "UPDATE millrace.rejected_row j SET corrected = NULL, corrected_record = NULL,"
            # The record that came may be one that somebody had corrected before, and a replay rejected again.
            " edited = coalesce((SELECT e.edited FROM millrace.rejected_row e WHERE e.id = j.earlier), false)"
            " WHERE id = %s",
            [rejected_id],
        )
        _note(cursor, [rejected_id], "restored", who, before=row["corrected"], after=row["raw"])


def dismiss(connection: Connection[Any], ids: Iterable[int], *, who: str, why: str) -> int:
    """Close open rows for good, as they need no replay; returns how many. Others are left as they are."""
    return _turn(connection, ids, "open", "dismissed", "dismissed", who, why)


def reopen(connection: Connection[Any], ids: Iterable[int], *, who: str, why: str) -> int:
    """Open dismissed rows again; returns how many. A row that was replayed stays so."""
    return _turn(connection, ids, "dismissed", "open", "reopened", who, why)


def dismiss_one(
    connection: Connection[Any], rejected_id: int, *, dataset: str, who: str, why: str, seen: int | None = None
) -> None:
    """Close one open row for good. Raises as `correct`."""
    with connection.transaction(), connection.cursor() as cursor:
        _locked_row(cursor, rejected_id, dataset, seen, "open", "dismissed")
        dismiss(connection, [rejected_id], who=who, why=why)


def reopen_one(
    connection: Connection[Any], rejected_id: int, *, dataset: str, who: str, why: str, seen: int | None = None
) -> None:
    """Open one dismissed row again. Raises CorrectionRefused where it is not dismissed, and ChangedMeanwhile."""
    with connection.transaction(), connection.cursor() as cursor:
        _locked_row(cursor, rejected_id, dataset, seen, "dismissed", "opened again")
        reopen(connection, [rejected_id], who=who, why=why)


def changes(connection: Connection[Any], rejected_id: int) -> list[Change]:
    """What people did to a row, and to those of which it is the replay, in the order in which they did it."""
    query = (
        "WITH RECURSIVE line AS (SELECT id, earlier FROM millrace.rejected_row WHERE id = %s"
        " UNION SELECT j.id, j.earlier FROM millrace.rejected_row j JOIN line ON j.id = line.earlier)"
        " SELECT number, action, who, at, before, after, why FROM millrace.rejected_row_change c"
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


def _locked_row(
    cursor: Cursor[Any], rejected_id: int, dataset: str, seen: int | None, state: str, action: str
) -> dict[str, Any]:
    """The row, which is in that state and which nobody else changes or replays until the transaction ends."""
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
    if row["dataset"] != dataset:
        raise CorrectionRefused(f"rejected row {rejected_id} is of dataset {row['dataset']}, not of {dataset}")
    if seen is not None:
        _check_seen(cursor, rejected_id, seen)
    if row["state"] != state:
        one = f"an {state}" if state == "open" else f"a {state}"
        raise CorrectionRefused(f"rejected row {rejected_id} is {row['state']}: only {one} one can be {action}")
    return row


def _check_seen(cursor: Cursor[Any], rejected_id: int, seen: int) -> None:
    """Raise ChangedMeanwhile where there is a change that came after the one that was seen."""
    newer = cursor.execute(
        "SELECT who, at, action, after FROM millrace.rejected_row_change WHERE rejected_id = %s AND number > %s"
        " ORDER BY number DESC LIMIT 1",
        [rejected_id, seen],
    ).fetchone()
    if newer is not None:
        raise ChangedMeanwhile(f"{newer[0]} has {newer[2]} this row meanwhile. Nothing of yours was saved", *newer)


def _note(
    cursor: Cursor[Any], ids: list[int], action: str, who: str,
    *, before: str | None = None, after: str | None = None, why: str | None = None,
) -> None:  # fmt: skip
    cursor.execute(
        "INSERT INTO millrace.rejected_row_change (rejected_id, action, who, before, after, why)"
        " SELECT unnest(%s::bigint[]), %s, %s, %s, %s, %s",
        [ids, action, who, before, after, why],
    )
