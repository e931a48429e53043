"""Rejected rows a page at a time, and how many there are of each rule.

The newest run comes first, and the rows of a run in the order in which they were rejected. A page is the first entries
of some ranges of an index, whatever is asked for, so the last page of a million is as quick as the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row, dict_row

from include.ingest.csv.text_form import TextForm, form_of
from include.ingest.errors import IngestError
from include.ingest.replay.fields import split

STATES = ("open", "replayed", "dismissed")
MOST = 1_000  # rows of a page


@dataclass(frozen=True)
class RejectedRow:
    """A rejected row as it is shown."""

    id: int
    run_id: UUID
    dataset: str
    version: datetime
    file: str
    line_number: int
    byte_offset: int
    column_name: str | None
    value: str | None
    rule: str
    reason: str
    raw: str
    whole: bool  # whether `raw` is all of the record; false also where that is not known
    marks: tuple[tuple[int, int], ...]  # where the bad values stand in `raw`, quotes included; empty: all of it
    fields: tuple[tuple[str | None, str], ...]  # column and value of each field; a column is None if no dataset has it
    state: str
    edited: bool
    corrected: str | None
    replay_run: UUID | None
    earlier: int | None


@dataclass(frozen=True)
class RuleCount:
    """How many rows broke a rule."""

    rule: str
    open: int
    replayed: int
    dismissed: int


# A lateral part takes the first rows of one run in one state, so nothing is sorted but what may be shown. Its order is
# that of two indexes (migration 13), which are on `id + 0`.
_PAGE: LiteralString = """
SELECT r.dataset, r.version, j.*
FROM millrace.ingest_run AS r
CROSS JOIN unnest(%(states)s::text[]) AS s (state)
CROSS JOIN LATERAL (
    SELECT * FROM millrace.rejected_row AS j
    WHERE j.run_id = r.run_id AND j.state = s.state AND {rule}
        AND j.id + 0 > CASE WHEN r.run_id = %(last_run)s THEN %(after)s ELSE 0 END
    ORDER BY j.id + 0 LIMIT %(limit)s
) AS j
WHERE {runs} AND coalesce(r.rejected > 0, true)
    AND (%(last_start)s::timestamptz IS NULL OR (r.started_at, r.run_id) <= (%(last_start)s, %(last_run)s::uuid))
ORDER BY r.started_at DESC, r.run_id DESC, j.id LIMIT %(limit)s
"""


def rejected(
    connection: Connection[Any],
    *,
    dataset: str | None = None,
    run_id: UUID | None = None,
    rule: str | None = None,
    state: str | None = None,
    after: int | None = None,
    limit: int = 100,
) -> list[RejectedRow]:
    """A page of rejected rows. `after` is the id of the last row of the page before.

    Raises IngestError when that row is gone, or the state is none.
    """
    if state is not None and state not in STATES:
        raise IngestError(f"{state} is no state of a rejected row: {', '.join(STATES)}")
    values: dict[str, Any] = {
        "states": [state] if state else list(STATES), "dataset": dataset, "run_id": run_id, "rule": rule,
        "after": after or 0, "limit": max(1, min(limit, MOST)), "last_start": None, "last_run": None,
    }  # fmt: skip
    if after is not None:
        values |= _place(connection, after)
    runs: LiteralString = "r.run_id = %(run_id)s" if run_id else "true"
    runs += " AND r.dataset = %(dataset)s" if dataset else ""
    query = _PAGE.replace("{rule}", "j.rule = %(rule)s" if rule else "true").replace("{runs}", runs)
    rows = connection.cursor(row_factory=dict_row).execute(query, values).fetchall()
    plans = _plans(connection, {row["run_id"] for row in rows})
    return [_shown(row, *plans[row["run_id"]]) for row in rows]


def one(connection: Connection[Any], rejected_id: int) -> RejectedRow | None:
    """That row, None: there is none."""
    query = (
        "SELECT r.dataset, r.version, j.* FROM millrace.rejected_row j JOIN millrace.ingest_run r USING (run_id)"
        " WHERE j.id = %s"
    )
    row = connection.cursor(row_factory=dict_row).execute(query, [rejected_id]).fetchone()
    return _shown(row, *_plans(connection, {row["run_id"]})[row["run_id"]]) if row else None


def count_by_rule(
    connection: Connection[Any], *, dataset: str | None = None, run_id: UUID | None = None
) -> list[RuleCount]:
    """How many rows each rule has rejected, the most open ones first."""
    runs: LiteralString = "run_id = %(run_id)s" if run_id else "true"
    if dataset:
        runs += " AND run_id IN (SELECT run_id FROM millrace.ingest_run WHERE dataset = %(dataset)s)"
    query = (
        "SELECT rule, count(*) FILTER (WHERE state = 'open') AS open,"
        " count(*) FILTER (WHERE state = 'replayed') AS replayed,"
        " count(*) FILTER (WHERE state = 'dismissed') AS dismissed"
        " FROM millrace.rejected_row WHERE " + runs + " GROUP BY rule ORDER BY open DESC, rule"
    )
    values = {"dataset": dataset, "run_id": run_id}
    return connection.cursor(row_factory=class_row(RuleCount)).execute(query, values).fetchall()


def _place(connection: Connection[Any], after: int) -> dict[str, Any]:
    row = connection.execute(
        "SELECT r.started_at, r.run_id FROM millrace.rejected_row j JOIN millrace.ingest_run r USING (run_id)"
        " WHERE j.id = %s",
        [after],
    ).fetchone()
    if row is None:
        raise IngestError(f"rejected row {after} is gone, so there is no page after it: begin with the first page")
    return {"last_start": row[0], "last_run": row[1]}


def _plans(connection: Connection[Any], runs: Iterable[UUID]) -> dict[UUID, tuple[TextForm | None, list[int]]]:
    """How the text of each run is written, and where the dataset's columns stand in a record."""
    found = connection.execute(
        "SELECT run_id, plan->'text_form', plan->'positions' FROM millrace.ingest_run WHERE run_id = ANY(%s)",
        [list(runs)],
    ).fetchall()
    return {run: (form_of({"text_form": form}), positions or []) for run, form, positions in found}


def _shown(row: dict[str, Any], form: TextForm | None, positions: Sequence[int]) -> RejectedRow:
    marks: tuple[tuple[int, int], ...] = ()
    fields: tuple[tuple[str | None, str], ...] = ()
    if form is not None:
        cut = split(row["raw"], form).fields
        names = dict(zip(positions, form.columns, strict=False))
        fields = tuple((names.get(number), field.value) for number, field in enumerate(cut))
        blamed = (row["column_name"] or "").split(", ")
        marks = tuple((field.start, field.end) for number, field in enumerate(cut) if names.get(number) in blamed)
    kept = {name: row[name] for name in RejectedRow.__annotations__ if name not in ("marks", "fields", "whole")}
    return RejectedRow(**kept, whole=bool(row["whole"]), marks=marks, fields=fields)
