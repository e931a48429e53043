"""A file whose content came before: prove that loading it would change nothing, instead of loading it.

Two proofs (`row_writers`): every row version that the earlier run of this content wrote is still there, and that was
all of it; or that run was the last one, and the table is as it left it. Without one of them the file is loaded, and
what is missing or was changed comes back. A later run proves nothing of what others did before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import numpy as np
from psycopg import Cursor

from include.ingest import ledger
from include.ingest.dataset.definition import Dataset
from include.ingest.keys.confirmed_keys import keep_file, newest_version, note_version
from include.ingest.source import files_of
from include.ingest.table import target as targets
from include.ingest.table.row_writers import appended_by, intact_rows, is_untouched

# What the ledger keeps of the file's keys, without those of the records at some offsets.
Hashes = Callable[[np.ndarray], Iterable[np.ndarray]]
log = logging.getLogger("millrace")


def is_in(cursor: Cursor, dataset: Dataset, target: targets.Target, values: dict[str, Any], hashes: Hashes) -> bool:
    """Whether the content is in the target already; then the run is recorded, and nothing is left to do.

    `values` are the run's row in the ledger. `hashes` is asked only where the content comes again for a newer version.
    """
    values = {**values, "target_oid": target.oid}
    if dataset.mode == "append":
        return _is_appended(cursor, dataset, values)
    found = _earlier(cursor, values)
    if found is None:
        return False
    earlier, rejects = found
    # What is found of the table is entered as true of it, so no other run may write meanwhile; nor would one that does
    # see what this one confirms.
    targets.queue_up(cursor, dataset)
    if not _changes_nothing(cursor, dataset, target, earlier, values):
        return False
    if earlier["run_id"] == values["run_id"]:
        return True  # the run itself, cleared: its account stands
    _record(cursor, dataset, earlier, values)
    if values["version"] > earlier["version"]:
        note_version(cursor, values["run_id"], target.oid)
        if targets.SOURCE_VERSION in targets.system_columns(dataset):
            keep_file(cursor, dataset, values["run_id"], target.oid, hashes(rejects))
    return True


def held_by(cursor: Cursor, dataset: Dataset, target: targets.Target, values: dict[str, Any]) -> UUID | None:
    """The run that ingested the content before, if a new one that is not forced would be skipped now.

    Nothing is written and no lock is taken: it holds for the moment of the question.
    """
    values = {**values, "target_oid": target.oid, "forced": False}
    if dataset.mode == "append":
        return appended_by(cursor, dataset, values)
    found = _earlier(cursor, values)
    if found is None or not _changes_nothing(cursor, dataset, target, found[0], values):
        return None
    return UUID(str(found[0]["run_id"]))


def _earlier(cursor: Cursor, values: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray] | None:
    """The run that loaded the same content, with the offsets of all records that it rejected."""
    earlier = ledger.earlier_run(cursor, values)
    if earlier is None:
        return None
    rejects = ledger.rejected_offsets(cursor, earlier)
    return (earlier, rejects) if len(rejects) == earlier["rejected"] else None


def _is_appended(cursor: Cursor, dataset: Dataset, values: dict[str, Any]) -> bool:
    """Whether the run itself, or one of the same file, has appended. Equal content of another name is new data."""
    if values["forced"]:
        return False
    if ledger.has_appended(cursor, values):
        earlier, reason = values["run_id"], "this run has already appended: set `force` to append again"
        log.warning("%s: %s", values["file"], reason)
        if ledger.status_of(cursor, earlier) == "done":
            return True  # its account stands
    else:
        earlier = appended_by(cursor, dataset, values)
        reason = f"the same file was ingested by run {earlier}"
    if earlier is None:
        return False
    ledger.start_run(cursor, {**values, "status": "skipped", "reason": reason, "confirms": earlier})
    return True


def _changes_nothing(
    cursor: Cursor, dataset: Dataset, target: targets.Target, earlier: dict[str, Any], values: dict[str, Any]
) -> bool:
    """Whether a load is proved to change nothing, and where the run is forced, to find each row unchanged."""
    newest = newest_version(cursor, target.oid)
    if dataset.mode == "replace" and values["forced"] and newest is not None and newest > values["version"]:
        return False  # an older file: its rows count as stale
    if _is_intact(cursor, dataset, earlier):
        return True
    if earlier["stale"] and (values["forced"] or values["version"] > earlier["version"]):
        return False  # rows that lost then may win now
    return ledger.last_done(cursor, target.oid) == earlier["run_id"] and is_untouched(
        cursor, dataset, earlier["run_id"]
    )


def _is_intact(cursor: Cursor, dataset: Dataset, earlier: dict[str, Any]) -> bool:
    """Whether the run wrote each row of its content, and all of them are as it wrote them."""
    if earlier["unchanged"] or earlier["stale"] or targets.shape(cursor, dataset) != earlier["target_shape"]:
        return False
    written = earlier["inserted"] + earlier["updated"]
    intact, total = intact_rows(cursor, dataset, earlier["run_id"])
    return intact == written and (dataset.mode != "replace" or total == written)


def _record(cursor: Cursor, dataset: Dataset, earlier: dict[str, Any], values: dict[str, Any]) -> None:
    """Enter the run: as skipped, or where it is forced as done, with the account that a load would have had."""
    if not values["forced"]:
        reason = f"the same file was ingested by run {earlier['run_id']}"
        ledger.start_run(cursor, {**values, "status": "skipped", "reason": reason, "confirms": earlier["run_id"]})
        return
    confirmed = {"status": "planned", "reason": None, "chunks": 0, "confirms": earlier["run_id"]}
    ledger.start_run(cursor, {**values, **confirmed})
    names = [[file.path for file in files_of(plan)] for plan in (earlier["plan"], values["plan"].obj)]
    cursor.execute(
        "INSERT INTO millrace.rejected_row (run_id, file, line_number, byte_offset, column_name, value, rule, reason,"
        "  raw, record, whole, chunk)"
        " SELECT %s, later, line_number, byte_offset, column_name, value, rule, reason, raw, record, whole, chunk"
        " FROM millrace.rejected_row JOIN unnest(%s::text[], %s::text[]) AS f (before, later) ON file = before"
        " WHERE run_id = %s",
        [values["run_id"], *names, earlier["run_id"]],
    )
    counts = {
        "read": earlier["read"],
        "inserted": 0,
        "updated": 0,
        "unchanged": earlier["inserted"] + earlier["updated"] + earlier["unchanged"],
        "superseded": earlier["superseded"],
        "stale": earlier["stale"],
        "rejected": earlier["rejected"],
        "deleted": 0,
    }
    reason = f"nothing to load: run {earlier['run_id']} ingested the same file, and the table still holds it"
    after = {"oid": values["target_oid"], "rows": None, "shape": targets.shape(cursor, dataset)}
    ledger.finish_run(cursor, values["run_id"], counts, after, reason=reason)
