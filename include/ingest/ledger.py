"""The run's rows in `millrace.ingest_run` and `millrace.ingest_chunk`, and the account they make."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

import numpy as np
from psycopg import Cursor, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from include.ingest.cast.reject_advice import Rejected
from include.ingest.cast.rows import NO_LOSERS, Losers, Reject, storable_text
from include.ingest.csv.records import Chunk
from include.ingest.dataset.definition import Dataset
from include.ingest.drift.shape import Drift
from include.ingest.errors import IngestError
from include.ingest.keys.ascending import distinct
from include.ingest.source import Source, files_of

# The transaction that merged a run. It is drawn under the lock of the target, so runs are ordered by it as their merges
# were; clocks of several machines, and one that is set back, order them otherwise.
MERGED_BY: LiteralString = "written_by[cardinality(written_by)]"
COUNTS = ("read", "inserted", "updated", "unchanged", "superseded", "stale", "rejected", "deleted")
COLUMN_LISTS = ("unknown_columns", "missing_columns", "columns_come", "columns_gone", "added_columns")
OUTCOME = ("status", "reason", "finished_at", "file", "version", *COUNTS)  # of an attempt, see `set_aside`


@dataclass(frozen=True)
class Account:
    """What a run did. `read = inserted + updated + unchanged + superseded + rejected`, always."""

    run_id: str
    dataset: str
    target: str
    file: str
    version: str  # start of the data interval, ISO 8601
    status: str  # done, skipped or failed
    reason: str | None
    bytes: int
    chunks: int
    read: int
    inserted: int
    updated: int
    unchanged: int
    superseded: int
    stale: int  # those of superseded that are older than the table's
    rejected: int
    deleted: int
    unknown_columns: list[str]  # of the file, that the dataset does not name
    unknown_policy: str  # what became of them: ignore, warn, add or rescue
    missing_columns: list[str]  # of the dataset, that the file lacks
    renamed_columns: dict[str, str]  # under another than the first name of their `source`, with that name
    columns_come: list[str]  # of the file, since the last done run of the dataset
    columns_gone: list[str]
    added_columns: list[str]  # of the table, by this run
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The account as plain values."""
        return asdict(self)

    def warning(self) -> str | None:
        """What is odd about a run that is done, in words; None where nothing is."""
        return oddity(asdict(self)) if self.status == "done" else None


def oddity(account: Mapping[str, Any]) -> str | None:
    """What should not pass in silence about a run that went well; None where nothing is odd."""
    said = []
    if not account["read"]:
        said.append("the file holds no rows")
        if account["deleted"]:
            said.append(f"{account['deleted']:,} rows were deleted")
    elif account["stale"]:
        stale, read = account["stale"], account["read"]
        said.append(f"{stale:,} of {read:,} rows are older than the table's, and changed nothing")
    if account["added_columns"]:
        said.append(f"added to the table: {', '.join(account['added_columns'])}")
    if account["unknown_policy"] == "warn" and account["unknown_columns"]:
        names = ", ".join(account["unknown_columns"])
        said.append(f"ignored columns of the file, which the dataset does not name: {names}")
    return "; ".join(said) or None


def begin_run(cursor: Cursor, values: dict[str, Any]) -> None:
    """Have the run in the ledger from its first look on, as waiting for its file.

    A run that is done or skipped, and is tried again, stays so at first: it holds as long as nothing else is known.
    """
    cursor.execute(
        "INSERT INTO millrace.ingest_run AS r (run_id, dataset, target, airflow_run, file, version, forced, status)"
        " VALUES (%(run_id)s, %(dataset)s, %(target)s, %(airflow_run)s, %(file)s, %(version)s, %(forced)s, 'waiting')"
        " ON CONFLICT (run_id) DO UPDATE SET status = 'waiting', reason = NULL, finished_at = NULL,"
        " mistyped = false, file = excluded.file, version = excluded.version WHERE r.status NOT IN ('done', 'skipped')",
        values,
    )


def set_aside(cursor: Cursor, values: dict[str, Any]) -> None:
    """Have a run that is done or skipped, was cleared, and now waits or fails, as waiting.

    What it came to moves to `earlier`, from where `recall_run` brings it back.
    """
    held = sql.SQL(", ").join(sql.SQL("{}, {}").format(name, sql.Identifier(name)) for name in OUTCOME)
    gone = sql.SQL(", ").join(sql.SQL("{} = NULL").format(sql.Identifier(name)) for name in COUNTS)
    cursor.execute(
        sql.SQL(
            "UPDATE millrace.ingest_run SET earlier = jsonb_build_object({}), status = 'waiting', reason = NULL,"
            " finished_at = NULL, file = %(file)s, version = %(version)s, {}"
            " WHERE run_id = %(run_id)s AND status IN ('done', 'skipped')"
        ).format(held, gone),
        values,
    )


def recall_run(cursor: Cursor, run_id: UUID) -> None:
    """Give a run the outcome back that was set aside."""
    names = sql.SQL(", ").join(map(sql.Identifier, OUTCOME))
    cursor.execute(
        sql.SQL(
            "UPDATE millrace.ingest_run r SET earlier = NULL, ({0}) ="
            " (SELECT {0} FROM jsonb_populate_record(NULL::millrace.ingest_run, r.earlier))"
            " WHERE run_id = %s AND earlier IS NOT NULL"
        ).format(names),
        [run_id],
    )


def start_run(cursor: Cursor, values: dict[str, Any]) -> None:
    """Write the run's row; what an earlier try of the same run left goes with it."""
    cursor.execute("DELETE FROM millrace.ingest_run WHERE run_id = %(run_id)s", values)
    cursor.execute(
        "INSERT INTO millrace.ingest_run (run_id, dataset, target, airflow_run, status, reason, file, bytes,"
        " fingerprint, dataset_fingerprint, version, forced, chunks, plan, confirms, target_oid, plan_seconds,"
        " header, unknown_columns, unknown_policy, missing_columns, renamed_columns, columns_come, columns_gone)"
        " VALUES (%(run_id)s, %(dataset)s, %(target)s, %(airflow_run)s, %(status)s, %(reason)s, %(file)s, %(bytes)s,"
        " %(fingerprint)s, %(dataset_fingerprint)s, %(version)s, %(forced)s, %(chunks)s, %(plan)s, %(confirms)s,"
        " %(target_oid)s, %(plan_seconds)s,"
        " %(header)s, %(unknown_columns)s, %(unknown_policy)s, %(missing_columns)s, %(renamed_columns)s,"
        " %(columns_come)s, %(columns_gone)s)",
        {**dict.fromkeys(("target_oid", *column_values(Drift(), None))), **values},
    )


def last_header(cursor: Cursor, dataset: Dataset, run_id: UUID) -> list[str] | None:
    """The columns of the file that the dataset's last done run read, other than this run; None where there is none."""
    row = cursor.execute(
        "SELECT header FROM millrace.ingest_run WHERE dataset = %s AND status = 'done' AND run_id <> %s"
        f" AND header IS NOT NULL ORDER BY {MERGED_BY} DESC LIMIT 1",
        [dataset.name, run_id],
    ).fetchone()
    return row[0] if row else None


def column_values(drift: Drift, last: list[str] | None) -> dict[str, Any]:
    """What a run's row says of its file's columns; `last`: those of the file to compare with."""
    now = list(drift.header) if drift.header is not None else None
    compared = now is not None and last is not None
    return {
        "header": now,
        "unknown_columns": list(drift.unknown),
        "unknown_policy": drift.policy,
        "missing_columns": list(drift.missing),
        "renamed_columns": Jsonb(dict(drift.renamed)),
        "columns_come": [name for name in now or () if name not in (last or ())] if compared else None,
        "columns_gone": [name for name in last or () if name not in (now or ())] if compared else None,
    }


def run_of(cursor: Cursor, run_id: UUID) -> dict[str, Any]:
    """The run's row. Raises IngestError when the run is unknown."""
    row = _record(cursor, "SELECT * FROM millrace.ingest_run WHERE run_id = %s", [run_id])
    if row is None:
        raise IngestError(f"run {run_id} is not in millrace.ingest_run: start it with its plan")
    return row


def status_of(cursor: Cursor, run_id: UUID) -> str | None:
    """waiting, planned, done, failed or skipped; None when the run is unknown."""
    row = cursor.execute("SELECT status FROM millrace.ingest_run WHERE run_id = %s", [run_id]).fetchone()
    return None if row is None else str(row[0])


def ended_of(cursor: Cursor, run_ids: Iterable[UUID]) -> set[UUID]:
    """Those of the runs that are done, skipped or failed."""
    query = "SELECT run_id FROM millrace.ingest_run WHERE run_id = ANY(%s) AND status NOT IN ('waiting', 'planned')"
    return {row[0] for row in cursor.execute(query, [list(run_ids)]).fetchall()}


def plan_of(cursor: Cursor, run_id: UUID) -> dict[str, Any]:
    """The plan that the run's `plan` step recorded. Raises IngestError when there is none."""
    row = cursor.execute("SELECT plan FROM millrace.ingest_run WHERE run_id = %s", [run_id]).fetchone()
    if row is None or row[0] is None:
        raise IngestError(f"run {run_id} has no plan in millrace.ingest_run: clear its `plan` task")
    return dict(row[0])


def _record(cursor: Cursor, query: str, values: Any) -> dict[str, Any] | None:
    """The first row of a query, by column name."""
    return cursor.connection.cursor(row_factory=dict_row).execute(query, values).fetchone()


def secret_of(cursor: Cursor, dataset: Dataset) -> bytes:
    """The secret (16 bytes) that seeds the hashes of the target's keys; made when it is first asked for."""
    found = find_secret(cursor, dataset)
    if found is None:
        name = f"{dataset.schema_name}.{dataset.table_name}"
        # Whoever comes second takes what the first one has made.
        cursor.execute(
            "INSERT INTO millrace.ingest_target VALUES (%s, %s) ON CONFLICT DO NOTHING", [name, secrets.token_bytes(16)]
        )
        found = find_secret(cursor, dataset)
    assert found is not None
    return found


def find_secret(cursor: Cursor, dataset: Dataset) -> bytes | None:
    """The same, where it was made before; None: nothing has been ingested into the target yet."""
    name = f"{dataset.schema_name}.{dataset.table_name}"
    row = cursor.execute("SELECT secret FROM millrace.ingest_target WHERE target = %s", [name]).fetchone()
    return None if row is None else bytes(row[0])


def seed_of(cursor: Cursor, dataset: Dataset) -> int:
    """Of the digests of files: 64 bits of the target's secret, so that nobody can prepare two files that look alike."""
    return seed_from(secret_of(cursor, dataset))


def seed_from(secret: bytes) -> int:
    """The seed that a target's secret gives."""
    return int.from_bytes(secret[8:], "little")


def has_appended(cursor: Cursor, values: dict[str, Any]) -> bool:
    """Whether the run itself has appended rows to the same table, whatever its file held."""
    row = cursor.execute(
        "SELECT 1 FROM millrace.appended_file WHERE run_id = %(run_id)s AND target_oid = %(target_oid)s", values
    ).fetchone()
    return row is not None


def note_appended(cursor: Cursor, run_id: UUID) -> None:
    """The run has appended rows, for good: clearing and forcing it does not take them back."""
    cursor.execute(
        "INSERT INTO millrace.appended_file (run_id, target_oid, file, fingerprint, dataset_fingerprint, target_shape,"
        "  inserted, written_by)"
        " SELECT run_id, target_oid, file, fingerprint, dataset_fingerprint, target_shape, inserted, written_by"
        " FROM millrace.ingest_run WHERE run_id = %s AND inserted > 0",
        [run_id],
    )


def earlier_run(cursor: Cursor, values: dict[str, Any]) -> dict[str, Any] | None:
    """The last run that loaded the same content by the same dataset into the same table, if any."""
    return _record(
        cursor,
        "SELECT * FROM millrace.ingest_run WHERE status = 'done' AND confirms IS NULL"
        " AND target = %(target)s AND target_oid = %(target_oid)s"
        " AND fingerprint = %(fingerprint)s AND dataset_fingerprint = %(dataset_fingerprint)s"
        f" ORDER BY {MERGED_BY} DESC LIMIT 1",
        values,
    )


def last_done(cursor: Cursor, target_oid: int) -> UUID | None:
    """The run that wrote to the table last."""
    row = cursor.execute(
        "SELECT run_id FROM millrace.ingest_run WHERE target_oid = %s AND status = 'done' AND confirms IS NULL"
        f" ORDER BY {MERGED_BY} DESC LIMIT 1",
        [target_oid],
    ).fetchone()
    return row[0] if row else None


def last_run(cursor: Cursor, values: dict[str, Any]) -> dict[str, Any] | None:
    """The run that wrote to the table last; None when a newer version is known, or another run is under way."""
    return _record(
        cursor,
        "SELECT * FROM millrace.ingest_run r WHERE target = %(target)s AND status = 'done' AND confirms IS NULL"
        " AND target_oid = %(target_oid)s AND NOT EXISTS (SELECT FROM millrace.held_version v"
        "  WHERE v.target_oid = r.target_oid AND v.newest > %(version)s)"
        " AND run_id <> %(run_id)s AND NOT EXISTS (SELECT FROM millrace.ingest_run o WHERE o.target = r.target"
        "  AND o.run_id <> %(run_id)s AND o.status = 'planned' AND o.started_at > now() - interval '1 day')"
        f" ORDER BY r.{MERGED_BY} DESC LIMIT 1",
        values,
    )


def is_last(cursor: Cursor, run_id: UUID, values: dict[str, Any]) -> bool:
    """Whether that run is still the last one on the target."""
    last = last_run(cursor, values)
    return last is not None and last["run_id"] == run_id


def rejected_offsets(cursor: Cursor, run: dict[str, Any]) -> np.ndarray:
    """Offsets (int64) in the text of all files of the records that a run rejected, as far as the ledger has them."""
    starts = {file.path: file.offset for file in files_of(run["plan"])}
    found = cursor.connection.execute(
        "SELECT file, byte_offset FROM millrace.rejected_row WHERE run_id = %s", [run["run_id"]], binary=True
    ).fetchall()
    return np.fromiter((starts[file] + offset for file, offset in found), np.int64, len(found))


def records_without_row(cursor: Cursor, run: dict[str, Any]) -> np.ndarray | None:
    """Offsets (int64, ascending) of a finished run's records that are no row of the target.

    None when the ledger does not hold them all any more.
    """
    offsets = rejected_offsets(cursor, run)
    lost = cursor.connection.execute(
        "SELECT offsets FROM millrace.ingest_loser WHERE run_id = %s", [run["run_id"]], binary=True
    ).fetchall()
    losers = np.concatenate([np.empty(0, np.int64), *(np.frombuffer(part, np.int64) for (part,) in lost)])
    if len(offsets) != run["rejected"] or len(losers) < run["superseded"]:
        return None
    return distinct([losers, offsets])


def save_chunk(cursor: Cursor, run_id: UUID, values: dict[str, Any]) -> None:
    """Write a loaded chunk's row; a second load of the same chunk replaces it."""
    cursor.execute(
        "INSERT INTO millrace.ingest_chunk (run_id, chunk, byte_offset, bytes, first_line, read, rejected,"
        " superseded, known, written_by, seconds) VALUES (%(run_id)s, %(chunk)s, %(byte_offset)s, %(bytes)s,"
        " %(first_line)s, %(read)s, %(rejected)s, %(superseded)s, %(known)s, pg_current_xact_id(), %(seconds)s)",
        {**values, "run_id": run_id},
    )


def forget_chunk(cursor: Cursor, run_id: UUID, chunk: int) -> None:
    """Delete what an earlier load of the chunk recorded."""
    for table in ("ingest_chunk", "ingest_profile", "rejected_row"):
        cursor.execute(f"DELETE FROM millrace.{table} WHERE run_id = %s AND chunk = %s", [run_id, chunk])


def save_rejects(cursor: Cursor, run_id: UUID, source: Source, chunk: int, rejects: Iterable[Reject]) -> None:
    """Copy rejected rows into `millrace.rejected_row`, each with its file and the place in it."""
    with cursor.copy(
        "COPY millrace.rejected_row (run_id, file, line_number, byte_offset, column_name, value, rule, reason, raw,"
        " record, whole, chunk) FROM STDIN"
    ) as copy:
        for reject in rejects:
            file, offset = source.where(reject.byte_offset)
            copy.write_row([run_id, file, *asdict(replace(reject, byte_offset=offset)).values(), chunk])


def some_rejects(cursor: Cursor, run_id: UUID, most: int) -> list[Rejected]:
    """Some of the rejected rows of a run, with the beginnings of their records."""
    query = "SELECT rule, value, left(raw, 8000) FROM millrace.rejected_row WHERE run_id = %s LIMIT %s"
    return [Rejected(*row) for row in cursor.execute(query, [run_id, most]).fetchall()]


def counted(cursor: Cursor, run_id: UUID) -> dict[str, int]:
    """Rows read, rejected, superseded and known in all chunks loaded so far."""
    row = _record(
        cursor,
        "SELECT coalesce(sum(read), 0)::bigint AS read, coalesce(sum(rejected), 0)::bigint AS rejected,"
        " coalesce(sum(superseded), 0)::bigint AS superseded, coalesce(sum(known), 0)::bigint AS known"
        " FROM millrace.ingest_chunk WHERE run_id = %s",
        [run_id],
    )
    assert row is not None
    return row


def save_losers(cursor: Cursor, run_id: UUID, chunks: Iterable[Chunk], losers: Losers) -> None:
    """Keep which records lose to another one of the same key, by chunk."""
    for chunk in chunks:
        part = losers.within(chunk.offset, chunk.offset + chunk.length)
        if len(part.offsets):
            cursor.execute(
                "INSERT INTO millrace.ingest_loser (run_id, chunk, offsets, first_lines) VALUES (%s, %s, %b, %b)",
                [run_id, chunk.number, part.offsets.tobytes(), part.first_lines.tobytes()],
            )


def forget_losers(cursor: Cursor, run_id: UUID) -> None:
    """Delete the losers of a run that nothing will build on."""
    cursor.execute("DELETE FROM millrace.ingest_loser WHERE run_id = %s", [run_id])


def forget_older_losers(cursor: Cursor, run_id: UUID) -> None:
    """Delete the losers of runs on the same target that ended before: only the last run's are of use."""
    cursor.execute(
        "DELETE FROM millrace.ingest_loser l USING millrace.ingest_run r, millrace.ingest_run mine"
        " WHERE l.run_id = r.run_id AND mine.run_id = %s AND r.run_id <> mine.run_id AND r.target = mine.target"
        " AND r.status <> 'planned'",
        [run_id],
    )


def target_rows(cursor: Cursor, run_id: UUID) -> int:
    """Rows of the target when that run ended."""
    row = cursor.execute("SELECT target_rows FROM millrace.ingest_run WHERE run_id = %s", [run_id]).fetchone()
    assert row is not None
    return int(row[0])


def losers_of(cursor: Cursor, run_id: UUID, chunk: int) -> Losers:
    """The chunk's records that lose to another one of the same key."""
    row = cursor.connection.execute(
        "SELECT offsets, first_lines FROM millrace.ingest_loser WHERE run_id = %s AND chunk = %s",
        [run_id, chunk],
        binary=True,
    ).fetchone()
    return NO_LOSERS if row is None else Losers(*(np.frombuffer(part, np.int64) for part in row))


def finish_run(
    cursor: Cursor,
    run_id: UUID,
    counts: dict[str, int],
    target: dict[str, Any],
    *,
    seconds: float = 0.0,
    reason: str | None = None,
) -> None:
    """Write the counts and mark the run done. `target` is the table's oid, its rows, its shape and columns added.

    The transactions that wrote rows are kept with the run, this one as the last, which its stamp bears out. `reason`
    takes the place of what an earlier, failed try may have noted.
    """
    # The snapshot is taken while the lock on the target still keeps all other writers out: `row_writers` rests on that.
    cursor.execute(
        "UPDATE millrace.ingest_run SET status = 'done', finished_at = clock_timestamp(),"
        " read = %(read)s, inserted = %(inserted)s, updated = %(updated)s, unchanged = %(unchanged)s,"
        " superseded = %(superseded)s, stale = %(stale)s, rejected = %(rejected)s, deleted = %(deleted)s,"
        " target_oid = %(oid)s, target_rows = %(rows)s, target_shape = %(shape)s, added_columns = %(added)s,"
        " seen = pg_current_snapshot(), reason = %(reason)s,"
        " merge_seconds = %(seconds)s,"
        " written_by = array_append(ARRAY(SELECT written_by FROM millrace.ingest_chunk WHERE run_id = %(run_id)s),"
        " pg_current_xact_id()) WHERE run_id = %(run_id)s",
        {"added": [], **counts, "run_id": run_id, **target, "reason": reason, "seconds": seconds},
    )
    # Written anew, so that its `xmin` is this transaction, also where the run was done before.
    cursor.execute("DELETE FROM millrace.ingest_stamp WHERE run_id = %s", [run_id])
    cursor.execute("INSERT INTO millrace.ingest_stamp VALUES (%s)", [run_id])


def note_reason(cursor: Cursor, run_id: UUID, reason: str, *, mistyped: bool = False) -> None:
    """Keep why a step failed for which nothing is tried again. `mistyped`: by a path that a person gave."""
    cursor.execute(
        "UPDATE millrace.ingest_run SET reason = %s, mistyped = %s"
        " WHERE run_id = %s AND status IN ('waiting', 'planned')",
        [storable_text(reason), mistyped, run_id],
    )


def fail_run(cursor: Cursor, run_id: UUID, reason: str) -> None:
    """Mark the run failed, unless it is done."""
    cursor.execute(
        "UPDATE millrace.ingest_run SET status = 'failed', reason = coalesce(reason, %s),"
        " finished_at = clock_timestamp() WHERE run_id = %s AND status NOT IN ('done', 'skipped')",
        [storable_text(reason), run_id],
    )


def account(cursor: Cursor, run_id: UUID) -> Account:
    """The run's account as the ledger has it. Raises IngestError when the run is unknown."""
    row = run_of(cursor, run_id)
    ended: datetime | None = row["finished_at"]
    values: dict[str, Any] = {
        **{name: row[name] for name in ("dataset", "target", "file", "status", "reason")},
        **{name: row[name] or 0 for name in ("bytes", "chunks", *COUNTS)},
        "version": row["version"].astimezone(UTC).isoformat(),
        **{name: row[name] or [] for name in COLUMN_LISTS},
        "unknown_policy": row["unknown_policy"] or "ignore",
        "renamed_columns": row["renamed_columns"] or {},
    }
    seconds = round((ended - row["started_at"]).total_seconds(), 3) if ended else 0.0
    return Account(run_id=str(run_id), seconds=seconds, **values)


def move_facts(cursor: Cursor, before: int, after: int) -> None:
    """The table has been replaced by one of ours: what is known of it holds on."""
    cursor.execute("UPDATE millrace.held_version SET target_oid = %s WHERE target_oid = %s", [after, before])
    cursor.execute("UPDATE millrace.ingest_run SET target_oid = %s WHERE target_oid = %s", [after, before])
