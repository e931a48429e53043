"""Rejected rows, by dataset, run, rule and column: in pages, counted, and all of them as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from include.ingest.report.catalogue import Entry
from include.ingest.report.marking import marked

SHOWN = 4_000  # characters of a record and of a value: a record may have 512 MB
BLOCK_BYTES = 256 << 10  # the server sends row by row, and to hand on each took ten times as long
COUNTED = 3_000_000  # rows that are counted by rule, of the newest runs
ALL = sql.SQL("true")

# Runs from the newest one on, and of each its rows in the order of its files, which is the table's key: a page ends
# when it is full, wherever it began. OFFSET 0 keeps the planner from joining first and sorting all of it.
RUNS = sql.SQL("""
FROM (
    SELECT run_id, dataset, started_at, plan FROM millrace.ingest_run
    WHERE {of_run}
    ORDER BY started_at DESC, run_id DESC OFFSET 0
) r
CROSS JOIN LATERAL (
    SELECT j.* FROM millrace.rejected_row j
    WHERE j.run_id = r.run_id AND {of_row}
    ORDER BY j.file, j.byte_offset {each}
) j""")
PAGE = sql.SQL("""
SELECT r.run_id, r.dataset, r.started_at, j.chunk, j.file, j.line_number, j.byte_offset, j.column_name, j.rule,
    j.reason, left(j.value, {shown}) AS value, left(j.raw, {shown}) AS raw, length(j.raw) > {shown} AS cut,
    r.plan -> 'positions' AS positions
{runs} LIMIT {limit}""")
CSV = sql.SQL("""
COPY (
    SELECT r.dataset, r.run_id, j.file, j.line_number, j.byte_offset, j.column_name, j.value, j.rule, j.reason, j.raw
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
SELECT j.rule, j.column_name, sum(j.number)::bigint AS rows, count(*) AS runs
FROM run CROSS JOIN LATERAL (
    SELECT rule, column_name, count(*) AS number FROM millrace.rejected_row WHERE run_id = run.run_id
    GROUP BY rule, column_name
) j
WHERE run.rejected > 0 AND run.so_far - run.rejected < %(counted)s
GROUP BY j.rule, j.column_name ORDER BY rows DESC, j.rule, j.column_name LIMIT %(limit)s"""


@dataclass(frozen=True)
class Wanted:
    """Which rows: of these datasets, and of what else is named."""

    names: list[str]
    run_id: UUID | None = None
    rule: str | None = None
    column: str | None = None  # empty: those where the whole record is at fault


@dataclass(frozen=True)
class After:
    """The last row of the page before."""

    run_id: UUID
    byte_offset: int
    file: str

    @classmethod
    def read(cls, text: str) -> After:
        """What `next` says. Raises ValueError where it can't be that."""
        run_id, offset, file = text.split("~", 2)
        return cls(UUID(run_id), int(offset), file)


async def rows(
    connection: AsyncConnection[Any], wanted: Wanted, entries: Mapping[str, Entry | None], limit: int,
    after: After | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A page of rejected rows, each with its record cut around the bad value, and where the next page begins."""
    cursor = connection.cursor(row_factory=dict_row)
    found: list[dict[str, Any]] = []
    # First the rest of the run where the page before ended, then older runs: each by the table's key.
    for part in (_rest(after), _older(after)) if after else ({},):
        runs = _runs(wanted, sql.SQL("LIMIT {}").format(limit + 1), **part)
        query = PAGE.format(shown=sql.Literal(SHOWN), limit=sql.Literal(limit + 1 - len(found)), runs=runs)
        found += await (await cursor.execute(query)).fetchall()
        if len(found) > limit:
            break
    page = found[:limit]
    more = "{run_id}~{byte_offset}~{file}".format(**page[-1]) if len(found) > limit else None
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
    query = CSV.format(runs=_runs(wanted, sql.SQL("OFFSET 0")))
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
    place = (sql.Literal(after.file), sql.Literal(after.byte_offset))
    return {
        "run": sql.SQL("run_id = {}").format(sql.Literal(after.run_id)),
        "row": sql.SQL("(j.file, j.byte_offset) > ({}, {})").format(*place),
    }


def _older(after: After) -> dict[str, sql.Composable]:
    last = sql.SQL("(SELECT a.started_at, a.run_id FROM millrace.ingest_run a WHERE a.run_id = {})")
    return {"run": sql.SQL("(started_at, run_id) < ") + last.format(sql.Literal(after.run_id))}


def _runs(
    wanted: Wanted, each: sql.Composable, run: sql.Composable = ALL, row: sql.Composable = ALL
) -> sql.Composed:  # fmt: skip
    of_run, of_row = [sql.SQL("dataset = ANY({})").format(sql.Literal(wanted.names)), run], [row]
    if wanted.run_id:
        of_run.append(sql.SQL("run_id = {}").format(sql.Literal(wanted.run_id)))
    if wanted.rule:
        of_row.append(sql.SQL("j.rule = {}").format(sql.Literal(wanted.rule)))
    if wanted.column:
        of_row.append(sql.SQL("j.column_name = {}").format(sql.Literal(wanted.column)))
    elif wanted.column is not None:
        of_row.append(sql.SQL("j.column_name IS NULL"))
    both = sql.SQL(" AND ")
    return RUNS.format(of_run=both.join(of_run), of_row=both.join(of_row), each=each)


def _told(row: dict[str, Any], entry: Entry | None) -> dict[str, Any]:
    dataset = entry.dataset if entry else None
    positions, name = row.pop("positions") or [], row["column_name"]
    names = list(dataset.columns) if dataset else []
    # A run may have columns beside the dataset's, which come after them, and lack some of these: -1.
    place = positions[names.index(name)] if name in names and len(positions) >= len(names) else -1
    place = place if place >= 0 else None
    parts = marked(row.pop("raw"), row["value"], place, dataset.csv if dataset else None)
    return {**row, **asdict(parts)}
