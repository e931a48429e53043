"""Replay: rejected rows of a run once more, through the same checks into the same table (decision 20).

All of it is one transaction: killed at any moment, it has done nothing. It begins with its place in the queue for the
target, so that no two replays and no merge of a file work on the table at once. Readers wait for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from psycopg import Connection, Cursor, OperationalError, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from include.ingest import ledger
from include.ingest.cast.rows import FILE_SHIFT, Losers
from include.ingest.csv.text_form import TextForm, form_for, form_of
from include.ingest.dataset.definition import Dataset, RejectLimit
from include.ingest.drift.added_columns import added_before
from include.ingest.drift.shape import Drift
from include.ingest.errors import HookError, IngestError, RejectLimitExceeded, ReplayRefused
from include.ingest.keys.duplicates import read_keys
from include.ingest.ledger import Account
from include.ingest.load import load_chunk
from include.ingest.merge import merge_here
from include.ingest.plan import Plan, Replay, reader_for
from include.ingest.replay.choice import CHOSEN, Choice, Origin, chosen
from include.ingest.replay.files import Files
from include.ingest.replay.kept import kept_bytes
from include.ingest.replay.layout import fingerprint_of, layout_of
from include.ingest.replay.spool import Record, Spool, spooled
from include.ingest.source import files_of
from include.ingest.source.storage import LOCAL, Storage
from include.ingest.table import staging
from include.ingest.table import target as targets
from include.ingest.table.refused_rows import REFUSALS

SHOWN = 3  # rows that an error names
FETCH_ROWS = 5_000
NO_LIMIT = RejectLimit(rows=None, ratio=None)


def replay(
    connection: Connection[Any],
    dataset: Dataset,
    run_id: UUID,
    *,
    who: str,
    ids: Sequence[int] | None = None,
    rule: str | None = None,
    storage: Storage = LOCAL,
) -> Account:
    """Replay the open rows of a run with these ids, or of that rule; as `replay_chosen`."""
    return replay_chosen(connection, dataset, run_id, Choice(ids, rule), Origin(who), storage)


def replay_chosen(
    connection: Connection[Any], dataset: Dataset, run_id: UUID, choice: Choice, origin: Origin,
    storage: Storage = LOCAL,
) -> Account:  # fmt: skip
    """Replay the open rejected rows of a run as a run of their own, of the same version, and return its account.

    A row that is rejected again is a new rejected row, which names the earlier one. Where none is open any more, the
    account says so and its status is `skipped`: nothing is replayed twice. `connection` is in no transaction.

    Raises ReplayRefused where the run or the table can't be built on, RejectLimitExceeded where so many rows are
    rejected again that the file would not have been loaded, and whatever the steps of an ingest raise. Nothing was
    changed then, and the ledger has the failed run.
    """
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise ReplayRefused("a replay is a transaction of its own: call it on a connection that is in none")
    new = uuid4()
    try:
        for probed in (False, True):
            try:
                with connection.transaction(), connection.cursor() as cursor:
                    Attempt(cursor, dataset, run_id, new, choice, origin, storage).run(probed=probed)
                break
            except REFUSALS:
                if probed:
                    raise
            except HookError as error:
                raise HookError(f"replay of run {run_id}: {error} (lines are counted among the replayed)") from error
    except Exception as error:
        with suppress(OperationalError):
            _note_failure(connection, dataset, run_id, new, origin, str(error) or type(error).__name__)
        raise
    with connection.cursor() as cursor:
        return ledger.account(cursor, new)


class Attempt:
    """One try, in one transaction."""

    def __init__(
        self, cursor: Cursor[Any], dataset: Dataset, run_id: UUID, new: UUID, choice: Choice, origin: Origin,
        storage: Storage,
    ) -> None:  # fmt: skip
        self.cursor, self.dataset, self.run_id, self.new = cursor, dataset, run_id, new
        self.choice, self.origin, self.storage = choice, origin, storage
        self.left_out = 0  # rows of which neither the ledger nor the file has all bytes

    def run(self, *, probed: bool) -> None:
        """Replay, or enter a run that is skipped."""
        # First of all: what is written before would give this transaction a number out of its turn (decision 18).
        targets.queue_up(self.cursor, self.dataset)
        base = base_run(self.cursor, self.dataset, self.run_id)
        if targets.describe(self.cursor, self.dataset) is None:
            raise ReplayRefused(
                f"the table {self.dataset.target} is gone since run {self.run_id}: ingest its files again instead"
            )
        # Of two copies of a key among them, the corrected one is to win.
        first = self.dataset.duplicates == "first"
        with spooled(self._records(base), f"{base['file']} (replay)", edited_first=first) as spool:
            if spool.chunks:
                self._load(base, spool, probed=probed)
            else:
                self._skip(base)

    def _records(self, base: dict[str, Any]) -> Iterator[Record]:
        """The chosen rows that are open, in the order of the files, with their bytes. Nobody else can change them."""
        files = files_of(base["plan"])
        then = form_of(base["plan"]) or form_for(self.dataset)
        # Where records end was found with the dialect of then; what they hold is read with that of now.
        source = Files(self.storage, files, self.new, then.dialect)
        numbers = {file.path: number for number, file in enumerate(files)}
        try:
            for row in _open_rows(self.cursor, self.run_id, self.choice, [file.path for file in files]):
                data = row["corrected_record"] or kept_bytes(row, then.encoding)
                if data is None and not row["edited"]:
                    data = source.record(row["file"], row["byte_offset"], row["line_number"])
                if data is None:
                    self.left_out += 1
                    continue
                number = numbers.get(row["file"], 0)
                yield Record(row["id"], bytes(data), row["edited"], number, row["line_number"])
        finally:
            source.close()

    def _load(self, base: dict[str, Any], spool: Spool, *, probed: bool) -> None:
        dataset = self.dataset.model_copy(update={"reject_limit": NO_LIMIT})  # the limit is that of the whole file
        plan = self.plan(base, spool)
        self.enter(base, plan, "planned", None)
        ledger.save_losers(self.cursor, self.new, plan.chunks, self._losers(spool, plan))
        staging.create(self.cursor, self.new, plan.shape(dataset), "merge", base["version"].isoformat())
        parts = {spool.is_edited(chunk): chunk for chunk in plan.chunks}
        for edited in (False, True):
            if edited in parts:
                load_chunk(self.cursor.connection, dataset, plan, parts[edited], probed=probed)
            if not edited and dataset.key:
                staging.note_as_is(self.cursor, self.new, dataset)
        self._place_rejects(base, spool)
        self._check_limit(base)
        merge_here(self.cursor, dataset, plan)
        self.cursor.execute(
            "UPDATE millrace.rejected_row SET state = 'replayed', replay_run = %s WHERE id = ANY(%s)",
            [self.new, spool.places.ids.tolist()],
        )
        counts = ledger.run_of(self.cursor, self.new)
        self.cursor.execute(
            "UPDATE millrace.ingest_run SET reason = %s WHERE run_id = %s",
            [_said(counts, len(spool.places.ids), self.left_out), self.new],
        )

    def plan(self, base: dict[str, Any], spool: Spool) -> Plan:
        """How the records of the spool are read."""
        layout = layout_of(base, self.dataset, self.storage, self.new, added_before(self.cursor, self.dataset))
        files = [file.path for file in files_of(base["plan"])]
        began = base["started_at"] - timedelta(seconds=base["plan_seconds"] or 0)
        return Plan(
            self.new, self.dataset.name, spool.name, spool.size, (spool.file,), layout.fields,
            layout.positions, "merge", spool.chunks, False, drift=layout.drift,
            storage=spool, replay=Replay(files if len(files) > 1 else [], began.isoformat()),
        )  # fmt: skip

    def _losers(self, spool: Spool, plan: Plan) -> Losers:
        """Copies of one key among the replayed records; what they lose to is named by its line in its own file."""
        losers = read_keys(plan.text, reader_for(self.dataset, plan), plan.chunks).losers
        places = spool.places
        at = np.searchsorted(places.text_lines, losers.first_lines & (1 << FILE_SHIFT) - 1)
        at = np.minimum(at, len(places.lines) - 1)
        return Losers(losers.offsets, places.lines[at] + (places.files[at] << FILE_SHIFT))

    def enter(self, base: dict[str, Any], plan: Plan | None, status: str, reason: str | None) -> None:
        """The run's row in the ledger. Its plan names the files that the records came from."""
        kept = {**base["plan"], "chunks": [], "run_id": str(self.new), "base": None}
        if plan is not None:
            now = form_for(plan.shape(self.dataset))._replace(header=(form_of(base["plan"]) or _NO_FORM).header)
            places = {"fields": plan.fields, "positions": plan.positions, "drift": asdict(plan.drift)}
            kept |= places | {"text_form": now, "replay": plan.replay}
        target = targets.describe(self.cursor, self.dataset)
        drift = plan.drift if plan is not None else Drift()
        values = {
            **_first_values(base, self.new),
            # Without the header: columns of the next file are compared with those of the last one, not of an older one.
            **ledger.column_values(replace(drift, header=None), None),
            "status": status, "reason": reason, "bytes": plan.size if plan else 0,
            # Of no file, so that none is ever taken for the same content.
            "fingerprint": f"replay {self.new}",
            "dataset_fingerprint": fingerprint_of(self.dataset, drift),
            "chunks": len(plan.chunks) if plan else 0, "plan": Jsonb(kept),
            "target_oid": target.oid if target else None, "plan_seconds": None,
        }  # fmt: skip
        ledger.start_run(self.cursor, values)
        _note_origin(self.cursor, self.new, self.run_id, self.origin)

    def _place_rejects(self, base: dict[str, Any], spool: Spool) -> None:
        """Have the rows that were rejected again at the places of the earlier ones, which they name."""
        self.cursor.execute("CREATE TEMPORARY TABLE replayed_record (at bigint, earlier bigint) ON COMMIT DROP")
        with self.cursor.copy("COPY replayed_record FROM STDIN") as copy:
            for pair in zip(spool.places.offsets.tolist(), spool.places.ids.tolist(), strict=True):
                copy.write_row(pair)
        self.cursor.execute(
            "UPDATE millrace.rejected_row n SET file = o.file, byte_offset = o.byte_offset,"
            " line_number = o.line_number, earlier = o.id, edited = o.edited,"
            # The file holds a corrected record as it was before.
            " record = CASE WHEN n.whole THEN n.record ELSE coalesce(o.corrected_record, o.record) END"
            " FROM replayed_record p JOIN millrace.rejected_row o ON o.id = p.earlier"
            " WHERE n.run_id = %s AND n.byte_offset = p.at",
            [self.new],
        )

    def _check_limit(self, base: dict[str, Any]) -> None:
        """Raise RejectLimitExceeded where the file would not have been loaded with so many rejected rows."""
        counted = ledger.counted(self.cursor, self.new)
        over = self.dataset.reject_limit.exceeded(
            max(_file_rows(self.cursor, base), counted["read"]), counted["rejected"]
        )
        if not over:
            return
        found = self.cursor.execute(
            "SELECT file || ':' || line_number || ': ' || coalesce(column_name || ' ' || quote_literal(value) || ': ',"
            " '') || reason FROM millrace.rejected_row WHERE run_id = %s ORDER BY id LIMIT %s",
            [self.new, SHOWN],
        ).fetchall()
        shown = "; ".join(said for (said,) in found)
        raise RejectLimitExceeded(
            f"replay of run {self.run_id}: {over}: {counted['rejected']:,} of {counted['read']:,} replayed rows were"
            f" rejected again, such as {shown}. Nothing was changed, and the rows stay open"
        )

    def _skip(self, base: dict[str, Any]) -> None:
        self.enter(base, None, "skipped", self._why_none())
        none = sql.SQL(", ").join(sql.SQL("{} = 0").format(sql.Identifier(name)) for name in ledger.COUNTS)
        self.cursor.execute(
            sql.SQL("UPDATE millrace.ingest_run SET {}, finished_at = clock_timestamp() WHERE run_id = %s").format(
                none
            ),
            [self.new],
        )

    def _why_none(self) -> str:
        """Why there is nothing to replay. Raises ReplayRefused where something was left out, or nothing was meant."""
        if self.left_out:
            raise ReplayRefused(
                f"run {self.run_id}: of {self.left_out:,} rejected rows only the beginning is kept, and their file is"
                " gone or was changed since. Correct them as whole records, or deliver the file again"
            )
        found = self.cursor.execute(
            "SELECT state, count(*), string_agg(DISTINCT replay_run::text, ', ') FROM millrace.rejected_row"
            f" WHERE run_id = %(run_id)s AND {CHOSEN} GROUP BY 1 ORDER BY 1",
            chosen(self.run_id, self.choice),
        ).fetchall()
        if not found:
            raise ReplayRefused(f"run {self.run_id} has no such rejected rows")
        said = [f"{count:,} {state}" + (f" by run {by}" if by else "") for state, count, by in found]
        return f"nothing to replay: of the rejected rows are {', '.join(said)}"


_NO_FORM = TextForm("utf-8", ",", None, None, None, ())


def _open_rows(cursor: Cursor[Any], run_id: UUID, choice: Choice, files: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The chosen rows that are open, locked, in the order of the files."""
    with cursor.connection.cursor("millrace_rejected", row_factory=dict_row) as found:
        found.itersize = FETCH_ROWS
        found.execute(
            "SELECT id, file, line_number, byte_offset, raw, record, whole, corrected_record, edited"
            f" FROM millrace.rejected_row WHERE run_id = %(run_id)s AND state = 'open' AND {CHOSEN}"
            " ORDER BY array_position(%(files)s, file), byte_offset FOR UPDATE",
            {**chosen(run_id, choice), "files": list(files)},
        )
        yield from found


def base_run(cursor: Cursor[Any], dataset: Dataset, run_id: UUID) -> dict[str, Any]:
    """The run whose rows are replayed. Raises ReplayRefused where it is none that loaded this dataset."""
    run = cursor.connection.cursor(row_factory=dict_row).execute(
        "SELECT * FROM millrace.ingest_run WHERE run_id = %s", [run_id]
    ).fetchone()  # fmt: skip
    if run is None:
        raise ReplayRefused(f"there is no run {run_id} in millrace.ingest_run")
    if run["dataset"] != dataset.name:
        raise ReplayRefused(f"run {run_id} is of dataset {run['dataset']}, not of {dataset.name}")
    if run["target"] != f"{dataset.schema_name}.{dataset.table_name}":
        raise ReplayRefused(
            f"run {run_id} loaded into {run['target']}, and {dataset.name} loads into {dataset.target} by now: ingest"
            " the files again"
        )
    if run["status"] != "done":
        raise ReplayRefused(
            f"run {run_id} is {run['status']}: none of its rows are in the table. Correct the file or the dataset and"
            " ingest it again; rejected rows of a run that is done can be replayed"
        )
    return run


def _file_rows(cursor: Cursor[Any], base: dict[str, Any]) -> int:
    """Records of the files that the rows came from in the end, where a replay is replayed."""
    row = cursor.execute(
        "WITH RECURSIVE line AS (SELECT run_id, replay_of, read FROM millrace.ingest_run WHERE run_id = %s"
        " UNION SELECT r.run_id, r.replay_of, r.read FROM millrace.ingest_run r JOIN line ON r.run_id = line.replay_of)"
        " SELECT max(read) FROM line",
        [base["run_id"]],
    ).fetchone()
    return int(row[0] or 0) if row else 0


def _said(counts: dict[str, Any], asked: int, left_out: int) -> str | None:
    """What should not pass in silence about a replay that went well."""
    said: list[str] = []
    if counts["rejected"]:
        said.append(f"{counts['rejected']:,} of {asked:,} rows were rejected again")
    if counts["stale"]:
        said.append(
            f"{counts['stale']:,} of {asked:,} rows changed nothing: the table has a newer row of their key, or another"
            " one of the same file"
        )
    if left_out:
        said.append(
            f"{left_out:,} rows stay open: only their beginning is kept, and their file is gone or was changed since"
        )
    return "; ".join(said) or None


def _first_values(base: dict[str, Any], new: UUID) -> dict[str, Any]:
    same = {name: base[name] for name in ("dataset", "target", "file", "version")}
    return {**same, "run_id": new, "airflow_run": None, "forced": False, "confirms": None}


def _note_origin(cursor: Cursor[Any], new: UUID, run_id: UUID, origin: Origin) -> None:
    cursor.execute(
        "UPDATE millrace.ingest_run SET replay_of = %s, asked_by = %s, replay_request = %s, airflow_run = %s"
        " WHERE run_id = %s",
        [run_id, origin.who, origin.request, origin.airflow_run, new],
    )


def _note_failure(
    connection: Connection[Any], dataset: Dataset, run_id: UUID, new: UUID, origin: Origin, reason: str
) -> None:
    """Enter the run as failed, where there is one that it replays."""
    with connection.transaction(), connection.cursor() as cursor:
        try:
            base = ledger.run_of(cursor, run_id)
        except IngestError:
            return
        if base["dataset"] != dataset.name:
            return
        ledger.begin_run(cursor, _first_values(base, new))
        ledger.fail_run(cursor, new, reason)
        _note_origin(cursor, new, run_id, origin)
