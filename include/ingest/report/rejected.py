"""Rejected rows, by dataset, run, rule and column: in pages, counted, and all of them as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from include.ingest.replay.listing import STATES
from include.ingest.report.catalogue import Entry
from include.ingest.report.marking import marked

SHOWN = 4_000  # characters of a record and of a value: a record may have 512 MB
BLOCK_BYTES = 256 << 10  # the server sends row by row, and to hand on each took ten times as long
COUNTED = 3_000_000  # rows that are counted by rule, of the newest runs
ALL = sql.SQL("true")

# Runs from the newest one on. OFFSET 0 keeps the planner from joining first and sorting all of it.
RUNS = sql.SQL("""
FROM (
    SELECT run_id, dataset, started_at, status, plan FROM millrace.ingest_run
    WHERE {of_run}
    ORDER BY started_at DESC, run_id DESC OFFSET 0
) r
CROSS JOIN LATERAL ({rows}) j""")
# Of each run and state the first rows in the order in which they were rejected, so a page ends when it is full,
# wherever it began. The order is that of indexes which are on `id + 0` (decision 20); with a rule and a column, of one
# in which the column stands before.
FIRST = sql.SQL("""
    SELECT f.* FROM unnest({states}) AS s (state) CROSS JOIN LATERAL (
        SELECT j.* FROM millrace.rejected_row j
        WHERE j.run_id = r.run_id AND j.state = s.state AND {of_row}
        ORDER BY {order} j.id + 0 LIMIT {limit}
    ) f
    ORDER BY f.id LIMIT {limit}""")
IN_FILES = sql.SQL("""
    SELECT j.* FROM millrace.rejected_row j
    WHERE j.run_id = r.run_id AND j.state = ANY({states}) AND {of_row}
    ORDER BY j.file, j.byte_offset OFFSET 0""")
PAGE = sql.SQL("""
SELECT p.*, c.who AS changed_by, c.at AS changed_at, c.action AS changed, n.id AS again, n.reason AS again_reason
FROM (
    SELECT r.run_id, r.dataset, r.started_at, r.status AS run_status, j.id, j.chunk, j.file, j.line_number,
        j.byte_offset, j.column_name, j.rule, j.reason, left(j.value, {shown}) AS value, left(j.raw, {shown}) AS raw,
        length(j.raw) > {shown} AS cut,
        CASE WHEN j.state = 'open' AND j.corrected IS NOT NULL THEN 'corrected' ELSE j.state END AS state,
        left(j.corrected, {shown}) AS corrected, j.replay_run, j.earlier, r.plan -> 'positions' AS positions
    {runs} LIMIT {limit}
) p
LEFT JOIN LATERAL (
    SELECT who, at, action FROM millrace.rejected_row_change c WHERE c.rejected_id = p.id ORDER BY number DESC LIMIT 1
) c ON true
-- What a replay rejected again stands at the same place in the file, which is the key.
LEFT JOIN millrace.rejected_row n
    ON n.run_id = p.replay_run AND n.file = p.file AND n.byte_offset = p.byte_offset AND n.earlier = p.id
ORDER BY p.started_at DESC, p.run_id DESC, p.id""")
CSV = sql.SQL("""
COPY (
    SELECT r.dataset, r.run_id, j.file, j.line_number, j.byte_offset, j.column_name, j.value, j.rule, j.reason, j.raw,
        j.state, j.corrected
    {runs}
) TO STDOUT WITH (FORMAT csv, HEADER)""")
# Chunks count their rejected rows also where the run failed.
RULES = """
WITH run AS (
    SELECT r.run_id, coalesce(r.rejected, c.rejected, 0) AS rejected,
        sum(coalesce(r.rejected, c.rejected, 0)) OVER (ORDER BY r.started_at DESC, r.run_id DESC) AS so_far
    FROM millrace.ingest_run r
    LEFT JOIN LATERAL (
        SELECT sum(rejected) AS rejected FROM millrace.ingest_chunk c WHERE c.run_id = r.run_id AND r.rejected IS NULL
    ) c ON true
    WHERE r.dataset = ANY(%(names)s) AND (%(run_id)s::uuid IS NULL OR r.run_id = %(run_id)s)
)
SELECT j.rule, j.column_name, sum(j.number) FILTER (WHERE state <> 'corrected')::bigint AS rows,
    count(DISTINCT run_id) AS runs,
    coalesce(sum(j.number) FILTER (WHERE state = 'open'), 0)::bigint AS open,
    coalesce(sum(j.number) FILTER (WHERE state = 'corrected'), 0)::bigint AS corrected,
    coalesce(sum(j.number) FILTER (WHERE state = 'replayed'), 0)::bigint AS replayed,
    coalesce(sum(j.number) FILTER (WHERE state = 'dismissed'), 0)::bigint AS dismissed
FROM run CROSS JOIN LATERAL (
    SELECT rule, column_name, state, count(*) AS number FROM millrace.rejected_row WHERE run_id = run.run_id
    GROUP BY rule, column_name, state
    UNION ALL
    SELECT rule, column_name, 'corrected', count(*) FROM millrace.rejected_row
    WHERE run_id = run.run_id AND state = 'open' AND corrected IS NOT NULL
    GROUP BY rule, column_name
) j
WHERE run.rejected > 0 AND run.so_far - run.rejected < %(counted)s
GROUP BY j.rule, j.column_name ORDER BY rows DESC, j.rule, j.column_name LIMIT %(limit)s"""
State = Literal["open", "corrected", "replayed", "dismissed"]  # corrected ones are open too


@dataclass(frozen=True)
class Wanted:
    """Which rows: of these datasets, and of what else is named."""

    names: list[str]
    run_id: UUID | None = None
    rule: str | None = None
    column: str | None = None  # empty: those where the whole record is at fault
    state: State | None = None


@dataclass(frozen=True)
class After:
    """The last row of the page before."""

    run_id: UUID
    id: int

    @classmethod
    def read(cls, text: str) -> After:
        """What `next` says. Raises ValueError where it can't be that."""
        run_id, _, number = text.partition("~")
        return cls(UUID(run_id), int(number))


async def rows(
    connection: AsyncConnection[Any], wanted: Wanted, entries: Mapping[str, Entry | None], limit: int,
    after: After | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A page of rejected rows, each with its record cut around the bad value, and where the next page begins."""
    cursor = connection.cursor(row_factory=dict_row)
    found: list[dict[str, Any]] = []
    # First the rest of the run where the page before ended, then older runs: each by an index.
    for part in (_rest(after), _older(after)) if after else ({},):
        most = sql.Literal(limit + 1)
        order = sql.SQL("j.column_name," if wanted.rule and wanted.column is not None else "")
        runs = _runs(wanted, FIRST, limit=most, order=order, **part)
        query = PAGE.format(shown=sql.Literal(SHOWN), limit=sql.Literal(limit + 1 - len(found)), runs=runs)
        found += await (await cursor.execute(query)).fetchall()
        if len(found) > limit:
            break
    page = found[:limit]
    more = "{run_id}~{id}".format(**page[-1]) if len(found) > limit else None
    return {"rows": [_told(row, entries.get(row["dataset"])) for row in page], "next": more}


async def rules(
    connection: AsyncConnection[Any], names: list[str], run_id: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """How many rows broke which rule in which column: of one run, or of the newest runs up to a few million rows."""
    cursor = connection.cursor(row_factory=dict_row)
    values = {"names": names, "run_id": run_id, "counted": COUNTED, "limit": limit}
    return await (await cursor.execute(RULES, values)).fetchall()


async def as_csv(connection: AsyncConnection[Any], wanted: Wanted) -> AsyncIterator[bytes]:
    """All of these rows as CSV with a header, as PostgreSQL writes them."""
    query = CSV.format(runs=_runs(wanted, IN_FILES))
    gathered = bytearray()
    async with connection.cursor() as cursor, cursor.copy(query) as copy:
        async for row in copy:
            gathered += row
            if len(gathered) > BLOCK_BYTES:
                yield bytes(gathered)
                gathered.clear()
    if gathered:
        yield bytes(gathered)


def _rest(after: After) -> dict[str, sql.Composable]:
    return {
        "run": sql.SQL("run_id = {}").format(sql.Literal(after.run_id)),
        "row": sql.SQL("j.id + 0 > {}").format(sql.Literal(after.id)),
    }


def _older(after: After) -> dict[str, sql.Composable]:
    last = sql.SQL("(SELECT a.started_at, a.run_id FROM millrace.ingest_run a WHERE a.run_id = {})")
    return {"run": sql.SQL("(started_at, run_id) < ") + last.format(sql.Literal(after.run_id))}


def _runs(
    wanted: Wanted, rows: sql.SQL, run: sql.Composable = ALL, row: sql.Composable = ALL, **more: sql.Composable
) -> sql.Composed:
    of_run, of_row = [sql.SQL("dataset = ANY({})").format(sql.Literal(wanted.names)), run], [row]
    if wanted.run_id:
        of_run.append(sql.SQL("run_id = {}").format(sql.Literal(wanted.run_id)))
    if wanted.rule:
        of_row.append(sql.SQL("j.rule = {}").format(sql.Literal(wanted.rule)))
    if wanted.column:
        of_row.append(sql.SQL("j.column_name = {}").format(sql.Literal(wanted.column)))
    elif wanted.column is not None:
        of_row.append(sql.SQL("j.column_name IS NULL"))
    if wanted.state == "corrected":  # in words, as the index has it that holds these only
        of_row.append(sql.SQL("j.state = 'open' AND j.corrected IS NOT NULL"))
    state = "open" if wanted.state == "corrected" else wanted.state
    states = sql.SQL("{}::text []").format(sql.Literal([state] if state else list(STATES)))
    both = sql.SQL(" AND ")
    chosen = rows.format(states=states, of_row=both.join(of_row), **more)
    return RUNS.format(of_run=both.join(of_run), rows=chosen)


def _told(row: dict[str, Any], entry: Entry | None) -> dict[str, Any]:
    dataset = entry.dataset if entry else None
    positions, name = row.pop("positions") or [], row["column_name"]
    names = list(dataset.columns) if dataset else []
    # A run may have columns beside the dataset's, which come after them, and lack some of these: -1.
    place = positions[names.index(name)] if name in names and len(positions) >= len(names) else -1
    place = place if place >= 0 else None
    parts = marked(row.pop("raw"), row["value"], place, dataset.csv if dataset else None)
    return {**row, **asdict(parts)}
